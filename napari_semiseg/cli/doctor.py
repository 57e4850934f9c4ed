"""What this installation can do, and one line on how to fix each thing that it cannot.

Nothing here needs a display or a network.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from napari_semiseg.cli.console import output, table

PACKAGES = (
    "napari-semiseg", "napari", "torch", "monai", "lightning-fabric", "SimpleITK", "nibabel",
    "numpy", "zarr", "magicgui", "qtpy", "superqt", "pyqtgraph", "edt", "pydicom", "highdicom",
)  # fmt: skip
OPTIONAL = ("pydicom", "highdicom")
LOW_MEMORY = 4 * 2**30
LOW_DISK = 2 * 2**30


@dataclass
class Findings:
    """What was found.

    Attributes
    ----------
    facts : dict
        Versions, device, Qt, memory and disk, by name.
    fixes : list of str
        One sentence for each thing to mend.
    fatal : bool
        Training cannot work as it is.
    """

    facts: dict[str, str] = field(default_factory=dict)
    fixes: list[str] = field(default_factory=list)
    fatal: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {"facts": self.facts, "fixes": self.fixes, "ok": not self.fatal}

    def print(self) -> None:
        """Print the findings for people."""
        table("This installation", ("what", "found"), list(self.facts.items()))
        for fix in self.fixes:
            output.print(f"Fix: {fix}", highlight=False)
        if not self.fixes:
            output.print("Nothing to fix.")


def examine() -> Findings:
    """Examine versions, device, Qt, memory and disk."""
    findings = Findings()
    findings.facts["Python"] = f"{platform.python_version()} on {platform.platform()}"
    _packages(findings)
    _device(findings)
    _qt(findings)
    _space(findings)
    return findings


def _packages(findings: Findings) -> None:
    for package in PACKAGES:
        try:
            findings.facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            findings.facts[package] = "not installed"
            if package not in OPTIONAL:
                findings.fixes.append(f"Install {package}: pip install {package}")
                findings.fatal = True
    if findings.facts["torch"].startswith("2.9."):
        findings.fixes.append(
            "PyTorch 2.9 is slow in 3D convolutions: pip install 'torch>=2.6,!=2.9.*'"
        )


def _device(findings: Findings) -> None:
    if findings.facts["torch"] == "not installed":
        return
    from napari_semiseg.engine.planning.machine import describe_machine

    machine = describe_machine()
    findings.facts["training device"] = f"{machine.device_name} ({machine.device})"
    findings.facts["free memory there"] = f"{machine.free_memory / 2**30:.1f} GB"
    findings.facts["precision"] = machine.precision
    if machine.free_memory < LOW_MEMORY:
        findings.fixes.append(
            f"Only {machine.free_memory / 2**30:.1f} GB of memory are free; close other programs."
        )
    if machine.device == "cpu" and shutil.which("nvidia-smi"):
        findings.fixes.append(
            "There is an NVIDIA card but PyTorch has no CUDA: install the build for it from "
            "pytorch.org/get-started."
        )


def _qt(findings: Findings) -> None:
    try:
        qtpy = importlib.import_module("qtpy")
        findings.facts["Qt"] = f"{qtpy.API_NAME} {qtpy.PYQT_VERSION or qtpy.PYSIDE_VERSION}"
    except Exception as problem:  # noqa: BLE001 - a broken Qt fails in many ways, all told the same
        findings.facts["Qt"] = f"not usable ({type(problem).__name__})"
        findings.fixes.append(
            "The dock widget needs a Qt binding: pip install 'napari-semiseg[gui]'"
        )
    screen = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    findings.facts["screen"] = "yes" if screen else "none; the command line works without one"


def _space(findings: Findings) -> None:
    free = shutil.disk_usage(Path.cwd()).free
    findings.facts["free disk here"] = f"{free / 2**30:.1f} GB"
    if free < LOW_DISK:
        findings.fixes.append(f"Only {free / 2**30:.1f} GB of disk are free here; make room.")
