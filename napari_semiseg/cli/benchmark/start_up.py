"""How long people wait at the start: for the import, for the dock widget, for the first training step.

Each is measured in a fresh process. Imports are inside the functions: what they cost is what is
measured.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from napari_semiseg.cli.benchmark.fresh import in_fresh_process
from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.workload import Workload

IMPORT_LIMIT, WIDGET_LIMIT, STEP_LIMIT = 0.3, 1.0, 5.0
"""Seconds that people should wait at most."""


def measure_start_up(workload: Workload) -> Section:
    """Measure the three waits, and the command line's."""
    repeats = max(1, workload.repeats // 2)

    def median(measure: Callable[[], float]) -> float:
        return statistics.median(measure() for _ in range(repeats))

    def median_to_first_step(loaded: bool) -> float:
        given = {"device": workload.device, "loaded": loaded}
        return median(lambda: in_fresh_process(seconds_to_first_step, **given))

    widget = median(lambda: in_fresh_process(seconds_to_open)) if has_screen() else None
    rows = (
        _row("import napari_semiseg", median(seconds_to_import), IMPORT_LIMIT),
        _row("napari-semiseg --help, whole process", median(seconds_of_help), None),
        _row("dock widget, after napari is up", widget, WIDGET_LIMIT),
        _row("first step after Train, engine loaded", median_to_first_step(True), STEP_LIMIT),
        _row("first step after Train, nothing loaded", median_to_first_step(False), None),
    )
    remarks = [
        f"Each in a fresh process; medians of {repeats}. Training is on the sample brains, whose scans "
        "are prepared first; the desk loads the engine in the background while people look around."
    ]
    if widget is None:
        remarks.append("The dock widget was not measured: there is no screen (or use xvfb-run).")
    return Section("Start-up", rows, tuple(remarks))


def _row(what: str, seconds: float | None, limit: float | None) -> Row:
    return {"what": what, "s": seconds, "at most s": limit}


def has_screen() -> bool:
    """Tell whether a window can be opened."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def seconds_to_import() -> float:
    """Import the package in an interpreter that has nothing of it."""
    code = (
        "import time; started = time.perf_counter(); import napari_semiseg; "
        "print(time.perf_counter() - started)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def seconds_of_help() -> float:
    """Run the command line's help, from the start of Python to its end."""
    code = "from napari_semiseg.cli.commands import app; app(['--help'])"
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return time.perf_counter() - started


def seconds_to_open() -> float:
    """Open napari, then the dock widget, and wait until it is drawn."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "settings.yaml")  # before napari reads it
        import napari
        from qtpy.QtWidgets import QApplication

        from napari_semiseg.gui.hooks.launch import PLUGIN, WIDGET

        viewer = napari.Viewer()
        QApplication.processEvents()
        started = time.perf_counter()
        viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
        QApplication.processEvents()
        seconds = time.perf_counter() - started
        viewer.close()
    return seconds


def seconds_to_first_step(device: str, loaded: bool) -> float:
    """Train on the sample brains until the first step is done.

    Parameters
    ----------
    device : str
        As for `Workload`.
    """
    from napari_semiseg.cli.demo import sample_study

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        sample_study(Path(folder)) as study,
    ):
        if loaded:
            import napari_semiseg.engine.training.loop  # noqa: F401
        started = time.perf_counter()
        from napari_semiseg.engine.training.events import Progress
        from napari_semiseg.engine.training.loop import train
        from napari_semiseg.engine.training.settings import TrainingSettings

        work = train(study, TrainingSettings(method="ua-mt", steps=2, device=device))
        while not isinstance(next(work), Progress):
            continue
        seconds = time.perf_counter() - started
        work.close()
    return seconds
