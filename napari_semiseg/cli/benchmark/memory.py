"""Section (f): the peak memory of training steps and of a whole scan, each in a process of its own.

On a CUDA device it is what PyTorch allocated there at most, else what the process held at most beyond
the libraries it had loaded.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import torch

from napari_semiseg.cli.benchmark.fresh import in_fresh_process
from napari_semiseg.cli.benchmark.generated import write_scan
from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.timing import Work, wait_for
from napari_semiseg.cli.benchmark.twins import LATE, build, build_plain, crops_for, papers_plan
from napari_semiseg.cli.benchmark.whole_scan import monai_whole_scan, our_whole_scan
from napari_semiseg.cli.benchmark.workload import Shape, Workload, in_words
from napari_semiseg.engine.planning.machine import describe_machine

METHODS = ("supervised", "ua-mt", "ug-mcl")
"""Whose steps are measured where the user names none: one network, a teacher, and two tasks."""

MEGABYTE = 2**20


def measure_memory(workload: Workload) -> Section:
    """Measure peaks; the numbers of bytes are differences to just before the work was set up."""
    rows: list[Row] = []
    for patch in workload.patches:
        for key in workload.methods or METHODS:
            peaks = {
                name: in_fresh_process(
                    peak_of_step,
                    key=key,
                    patch=patch,
                    filters=workload.filters,
                    device=workload.device,
                    plain=name == "plain",
                )
                for name in ("plain", "fast")
            }
            rows.append(_row(f"step of {key}, crops of {in_words(patch)}", peaks))
    peaks = {
        name: in_fresh_process(peak_of_scan, workload=_as_json(workload), plain=name == "plain")
        for name in ("plain", "fast")
    }
    rows.append(_row("a whole scan, all maps (plain: MONAI, prediction alone)", peaks))
    remarks = (
        "Each in a fresh process; plain is float32 with contiguous tensors. The scan comes from a file "
        "and goes to files; reading and writing are part of it.",
    )
    return Section("Peak memory", tuple(rows), remarks)


def _row(what: str, peaks: dict[str, float]) -> Row:
    row: Row = {"what": what}
    row |= {f"{name} MB": peak / MEGABYTE for name, peak in peaks.items()}
    return row | {"times smaller": peaks["plain"] / max(peaks["fast"], 1.0)}


def peak_of_step(key: str, patch: Shape, filters: int, device: str, plain: bool) -> float:
    """Return the bytes that two training steps of a method need at most, its networks included.

    Parameters
    ----------
    patch : sequence of int
        Crops (z, y, x).
    device : str
        As for `Workload`.
    """
    machine = describe_machine(device)
    plan = papers_plan((patch[0], patch[1], patch[2]), filters)

    def work() -> None:
        method = (build_plain if plain else build)(key, plan, machine)
        for _ in range(2):  # momentum and gradients are there from the first step on
            method.training_step(crops_for(method, 0), LATE)

    return peak_bytes(work, machine.device)


def peak_of_scan(workload: dict[str, Any], plain: bool) -> float:
    """Return the bytes that a whole scan needs at most.

    Parameters
    ----------
    workload : dict
        Fields of a `Workload`, as JSON knows them.
    plain : bool
        Measure MONAI's sliding window in float32 in place of the project.
    """
    given = Workload(**workload)
    job: Callable[[Workload, Path, Path], Work] = monai_whole_scan if plain else our_whole_scan
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        generated = folder / "scan.nii.gz"
        scan = given.scan_file or write_scan(generated, given.scan)
        machine = describe_machine(given.device)
        return peak_bytes(lambda: job(given, Path(scan), folder / "maps")(), machine.device)


def peak_bytes(work: Work, device: str) -> float:
    """Run ``work`` and return the most bytes it held at once, beyond what was held before.

    On the CPU the figure counts from the highest mark of the process so far, so that it is right only
    where little has happened before.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        wait_for(device)
        return float(torch.cuda.max_memory_allocated() - before)
    before = psutil.Process().memory_info().rss
    work()
    return float(highest_mark() - before)


def highest_mark() -> int:
    """Return the most bytes of memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count what the parent process held before it started this one
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _as_json(workload: Workload) -> dict[str, Any]:
    fields = asdict(workload)
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in fields.items()
    }
