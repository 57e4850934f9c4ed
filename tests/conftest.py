"""What all tests share: which of them need a display, screens for workers, and where real scans lie."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_configure(config: pytest.Config) -> None:
    # A screen has one active window and one pointer, so that each parallel worker needs its own.
    if not hasattr(config, "workerinput") or shutil.which("Xvfb") is None:
        return
    number, told = os.pipe()
    until_the_worker_ends = f"Xvfb -displayfd {told} -screen 0 1280x900x24 & cat; kill $!"
    subprocess.Popen(
        ["sh", "-c", until_the_worker_ends],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[told],
    )
    os.close(told)
    with open(number) as stream:
        os.environ["DISPLAY"] = f":{stream.readline().strip()}"
    os.environ.pop("XAUTHORITY", None)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # On a developer's machine without a display these are skipped; elsewhere a missing display
    # is a failure.
    skipped = "DISPLAY" not in os.environ and "CI" not in os.environ and os.name == "posix"
    no_display = pytest.mark.skip(reason="needs a display: run under xvfb-run")
    for item in items:
        names = getattr(item, "fixturenames", ())
        if "qapp" in names:
            item.add_marker("window")
        if skipped and any(name.startswith("make_napari_viewer") for name in names):
            item.add_marker(no_display)


@pytest.fixture(scope="session")
def real_scans() -> Path:
    """Return the folder of real scans that SEMISEG_REAL_SCANS names."""
    folder = os.environ.get("SEMISEG_REAL_SCANS")
    if not folder:
        pytest.skip("SEMISEG_REAL_SCANS names no folder of real scans")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"SEMISEG_REAL_SCANS names {path}, which is no folder")
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread: small tensors are quicker so, and sums always alike."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
