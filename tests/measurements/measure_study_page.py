"""How long a study of many scans keeps its user waiting, and how fast one goes from scan to scan.

Opens the real viewer with the desk on a made-up study of 500 small scans and measures how late a 10 ms
timer of the event loop fires: while the study opens and its scans are looked at for the first time,
while the list is filtered, sorted and scrolled, and when it opens again. Then, with --scans, it makes a
study of the first five of them and measures the time from asking for a scan to seeing it. Run it by
hand on a machine with a display or under xvfb; it ends with 1 where a wait is too long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from event_loop_lag import LagMeter, run_event_loop
from qtpy.QtCore import QSettings, Qt

from napari_semiseg.engine.study import Study, parse_classes
from napari_semiseg.engine.volumes import Geometry, find_scans, write_map
from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.scans.study_menu import RecentStudies

MANY = 500
SHAPE = (24, 32, 32)
LARGEST_P95_MS = 50.0
LARGEST_SWITCH_SECONDS = 1.0
SWITCHES = 20
LONGEST_WAIT_SECONDS = 300.0


def made_up_study(folder: Path, count: int) -> Path:
    """Make a study of noise, every tenth scan labelled."""
    noise = np.random.default_rng(0)
    scans = folder / "scans"
    scans.mkdir()
    grid = Geometry(SHAPE, np.diag([1.5, 1.5, 2.0, 1.0]), None)
    for index in range(count):
        voxels = noise.normal(100, 20, SHAPE).astype(np.float32)
        write_map(scans / f"scan_{index:03d}.nii.gz", voxels, grid)
    label = np.zeros(SHAPE, np.uint8)
    label[8:16, 8:16, 8:16] = 1
    with Study.create(folder / "many", parse_classes("1=liver,2=tumour")) as study:
        for index, case in enumerate(study.scans.add_all([scans])):
            if index % 10 == 0:
                study.labels.save(case.name, label)  # type: ignore[union-attr]
        return study.path


def study_of(folder: Path, scans: Path, count: int) -> Path:
    """Make a study of the first scans of a folder."""
    with Study.create(folder / "few", parse_classes("1=structure")) as study:
        for source in find_scans([scans])[:count]:
            study.scans.add(source)
        return study.path


def wait_for(condition: Callable[[], bool]) -> None:
    """Let Qt work until something is true."""
    give_up = time.monotonic() + LONGEST_WAIT_SECONDS
    while not condition():
        if time.monotonic() > give_up:
            raise SystemExit("It took too long to begin.")
        run_event_loop(0.02)


def measure_list(widget: SemisegWidget, study: Path) -> dict[str, np.ndarray]:
    """Return the lags in ms of each phase with the list of scans."""
    session, page, meter = widget.session, widget.scans_page, LagMeter()
    results: dict[str, np.ndarray] = {}

    def until_looked_at(name: str) -> None:
        lags = []
        session.open_study.open(study)
        while (
            session.open_study.study is None or session.overview.busy or not session.overview.cases
        ):
            lags.append(meter.measure(0.5))
        results[name] = np.concatenate(lags)

    def acting(name: str, acts: list[Callable[[], None]]) -> None:
        lags = []
        for act in acts:
            start = time.perf_counter()
            act()
            lags.append(np.array([1000 * (time.perf_counter() - start)]))
            lags.append(meter.measure(0.15))
        results[name] = np.concatenate(lags)

    until_looked_at("opening, first time")
    bar = page.table.verticalScrollBar()
    orders = (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder)
    acting("filtering", [lambda text=text: page.filter.setText(text) for text in "12345"])
    page.filter.clear()
    acting(
        "sorting",
        [
            lambda column=column, order=order: page.table.sortByColumn(column, order)
            for column in range(5)
            for order in orders
        ],
    )
    acting("scrolling", [lambda step=step: bar.setValue(10 * step) for step in range(20)])
    acting("a change of the records", [session.open_study.refresh] * 5)
    session.open_study.close_study()
    run_event_loop(0.5)
    until_looked_at("opening again")
    return results


def measure_switching(widget: SemisegWidget, study: Path) -> tuple[list[float], np.ndarray]:
    """Return the seconds from asking for a scan to seeing it, and the lags in ms meanwhile."""
    session, meter = widget.session, LagMeter()
    session.open_study.close_study()
    wait_for(lambda: session.open_study.study is None and not session.open_study.lane.busy)
    session.open_study.open(study)
    wait_for(lambda: session.open_study.study is not None and not session.overview.busy)
    names = [case.name for case in session.open_study.records.cases]
    session.on_show.show(names[-1])
    wait_for(lambda: session.on_show.name == names[-1])
    seconds, lags = [], []
    for index in range(SWITCHES):
        name, start = names[index % len(names)], time.perf_counter()
        drawn: list[float] = []

        def on_shown(name: str = name, drawn: list[float] = drawn) -> None:
            if session.on_show.name == name and session.on_show.reading is None:
                drawn.append(time.perf_counter())

        session.on_show.shown_changed.connect(on_shown)
        session.on_show.show(name)
        while not drawn:
            lags.append(meter.measure(0.1))
        session.on_show.shown_changed.disconnect(on_shown)
        seconds.append(drawn[0] - start)
        lags.append(meter.measure(0.5))
    return seconds, np.concatenate(lags)


def main() -> int:
    """Measure, print the tables, and return 1 where a wait is too long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=MANY, help="scans of the made-up study")
    parser.add_argument("--scans", type=Path, help="folder of scans to go through")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        viewer = napari.Viewer()
        settings = QSettings(str(folder / "recent.ini"), QSettings.Format.IniFormat)
        widget = SemisegWidget(viewer, recent=RecentStudies(settings))
        viewer.window.add_dock_widget(widget, name=TITLE, area="right")
        wait_for(lambda: bool(widget.session.open_study.methods))
        results = measure_list(widget, made_up_study(folder, arguments.cases))
        too_long = False
        print(f"{f'{arguments.cases} scans: lag (ms)':<28}{'median':>9}{'p95':>9}{'max':>9}")
        if arguments.scans is not None:
            seconds, lags = measure_switching(widget, study_of(folder, arguments.scans, 5))
            results["going from scan to scan"] = lags
            too_long = max(seconds) > LARGEST_SWITCH_SECONDS
        for phase, lags in results.items():
            median, p95, largest = np.percentile(lags, (50, 95, 100))
            print(f"{phase:<28}{median:>9.1f}{p95:>9.1f}{largest:>9.1f}")
            too_long |= p95 >= LARGEST_P95_MS
        if arguments.scans is not None:
            print(f"a scan shows after {np.median(seconds):.2f} s, at most {max(seconds):.2f} s")
        widget.session.close()
        viewer.close()
    return int(too_long)


if __name__ == "__main__":
    sys.exit(main())
