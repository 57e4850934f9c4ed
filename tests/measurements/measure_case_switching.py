"""How long it takes from one scan to the next, and whether memory stays flat over many of them.

Opens the real viewer with the desk on a study and goes from scan to scan, each time until the scan is
drawn; the first is told apart, because napari makes its shaders then. Afterwards it says how much a
step through the slices takes, with and without the linked views.
Run it by hand on a machine with a display or under xvfb; it ends with 1 where a later switch takes
longer than a second or memory grows by more than five per cent.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import psutil
from event_loop_lag import run_event_loop
from measure_study_page import wait_for
from qtpy.QtCore import QCoreApplication, QSettings

from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.scans.study_menu import RecentStudies
from napari_semiseg.gui.session import Session

LARGEST_SECONDS = 1.0
LARGEST_GROWTH = 0.05
WARMING_UP = 10
"""The first switches load what later ones find loaded; memory is compared from here on."""

PAUSE_SECONDS = 0.1
SCROLL_STEPS = 60
MEBIBYTE = 2**20


def switch(session: Session, name: str, maps: bool) -> tuple[float, float]:
    """Go to a scan and return the seconds until it was drawn, and those the main thread worked."""
    start, worked = time.perf_counter(), time.thread_time()
    if maps:
        session.maps.show_case(name)
    else:
        session.on_show.show(name)
    on_show = session.on_show
    while on_show.name != name or on_show.reading is not None:
        QCoreApplication.processEvents()
        time.sleep(0.001)  # the thread that reads shall have its turn
        if time.perf_counter() - start > 60:
            raise SystemExit(f"{name} did not come onto the screen.")
    QCoreApplication.processEvents()
    return time.perf_counter() - start, time.thread_time() - worked


def measure_switches(
    session: Session, names: list[str], count: int, maps: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return seconds and working seconds, shape (switches, 2), and the resident memory in MiB."""
    process, seconds, memory = psutil.Process(), [], []
    for number in range(count):
        seconds.append(switch(session, names[number % len(names)], maps))
        run_event_loop(PAUSE_SECONDS)
        memory.append(process.memory_info().rss / MEBIBYTE)
    return np.array(seconds), np.array(memory)


def measure_scrolling(session: Session) -> tuple[float, float]:
    """Return the median milliseconds of a step through the slices, with drawing.

    The first are those that pass, the second those of processor time that the main thread works: the
    first grow when other programs keep the machine busy.
    """
    dims, milliseconds = session.on_show.layers.dims, []
    for number in range(SCROLL_STEPS):
        start = time.perf_counter(), time.thread_time()
        dims.set_current_step(0, number % int(dims.nsteps[0]))
        QCoreApplication.processEvents()
        QCoreApplication.processEvents()  # the linked views draw in the next turn
        passed = time.perf_counter() - start[0], time.thread_time() - start[1]
        milliseconds.append(1000 * np.array(passed))
    wall, work = np.median(milliseconds, axis=0)
    return float(wall), float(work)


def growth_of(memory: np.ndarray) -> float:
    """Return by which share memory is larger at the end than after warming up."""
    fifth = max(1, (len(memory) - WARMING_UP) // 4)
    begun = np.median(memory[WARMING_UP : WARMING_UP + fifth])
    return float(np.median(memory[-fifth:]) / begun - 1)


def main() -> int:
    """Measure, print the figures, and return 1 where it takes too long or memory grows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path, help="folder of a study; its records stay as they are")
    parser.add_argument("--switches", type=int, default=50)
    parser.add_argument("--cases", type=int, default=10, help="how many scans to go round")
    parser.add_argument("--maps", action="store_true", help="with the maps of the newest run")
    parser.add_argument("--views", action="store_true", help="with the linked views open")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = QSettings(str(Path(folder) / "desk.ini"), QSettings.Format.IniFormat)
        viewer = napari.Viewer()
        widget = SemisegWidget(viewer, recent=RecentStudies(settings))
        viewer.window.add_dock_widget(widget, name=TITLE, area="right")
        session = widget.session
        wait_for(lambda: bool(session.open_study.methods))
        session.open_study.open(arguments.study)
        wait_for(lambda: session.open_study.study is not None and not session.overview.busy)
        widget.show_page(1)
        names = [case.name for case in session.open_study.records.cases][: arguments.cases]
        if arguments.views:
            widget.views.want(True)
        seconds, memory = measure_switches(session, names, arguments.switches, arguments.maps)
        widget.views.want(False)
        run_event_loop(1.0)
        # alternately, because other programs on the machine have their busy moments
        alone, beside = [], []
        for _ in range(3):
            widget.views.want(False)
            run_event_loop(0.5)
            alone.append(measure_scrolling(session))
            widget.views.want(True)
            run_event_loop(0.5)
            beside.append(measure_scrolling(session))
        session.close()
        viewer.close()
        gc.collect()
    growth = growth_of(memory)
    shape = " × ".join(str(length) for length in session.open_study.records.cases[0].geometry.shape)
    print(f"{len(names)} scans, the first of {shape} voxels, {len(seconds)} switches")
    for what, column in zip(("seconds a switch", "of them in the window"), seconds.T, strict=True):
        first, later = column[0], column[1:]
        print(
            f"{what}: median {np.median(later):.2f}, largest {later.max():.2f}, first {first:.2f}"
        )
    print(f"memory: {memory[WARMING_UP]:.0f} MiB, then {memory[-1]:.0f} MiB, {growth:+.1%}")
    print(
        "a step through the slices: {:.0f} ms ({:.0f} of work), with the linked views {:.0f} ms "
        "({:.0f} of work)".format(*np.median(alone, axis=0), *np.median(beside, axis=0))
    )
    return int(seconds[1:, 0].max() > LARGEST_SECONDS or growth > LARGEST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
