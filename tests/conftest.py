"""What all tests share: which of them need a display, and where real scans may lie."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # On a developer's machine without a display these are skipped; elsewhere a missing display
    # is a failure.
    if "DISPLAY" in os.environ or "CI" in os.environ or os.name != "posix":
        return
    no_display = pytest.mark.skip(reason="needs a display: run under xvfb-run")
    for item in items:
        names = getattr(item, "fixturenames", ())
        if any(name.startswith("make_napari_viewer") for name in names):
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
