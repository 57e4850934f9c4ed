"""How long the viewer keeps its user waiting while a model trains behind it.

Opens the real viewer on a study (by default one made of the sample brains, four of them labelled),
trains through the desk's own worker with previews on screen, and measures how late a 10 ms timer of
the event loop fires: idle, while training, and while training with the slice slider moved at 20 Hz.
Run it by hand on a machine with a display or under xvfb; it ends with 1 where the waits are too long.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import napari
import numpy as np
from event_loop_lag import (
    LAG_HEADER,
    LARGEST_MS,
    LARGEST_P95_MS,
    LagMeter,
    is_too_long,
    lag_line,
    run_event_loop,
)
from napari_semiseg.sample_data import CLASSES, image_path, label_path, sample_cases
from qtpy.QtCore import QCoreApplication, QTimer

from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.events import Preview, Progress
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.volumes import Geometry, find_scans
from napari_semiseg.gui.train.runner import TrainingWorker
from napari_semiseg.gui.viewer.layers import CaseLayers

SCRUB_MS = 50
LABELLED = 4
LONGEST_START_SECONDS = 120.0


@contextmanager
def scrubbing(viewer: napari.Viewer) -> Iterator[None]:
    """Move the slice slider up and down at 20 Hz."""
    slices = int(viewer.dims.nsteps[0])
    position = [0]

    def move() -> None:
        position[0] += 1
        there_and_back = position[0] % (2 * (slices - 1))
        viewer.dims.set_current_step(0, min(there_and_back, 2 * (slices - 1) - there_and_back))

    timer = QTimer()
    timer.timeout.connect(move)
    timer.start(SCRUB_MS)
    try:
        yield
    finally:
        timer.stop()


def sample_study(folder: Path) -> Path:
    """Make a study of the sample brains with the first four labelled."""
    with Study.create(folder / "brains", CLASSES) as study:
        for index, name in enumerate(sample_cases()):
            study.scans.add(find_scans([image_path(name)])[0])
            if index < LABELLED:
                study.labels.import_file(name, label_path(name))
        return study.path


def blank_maps(case: str, geometry: Geometry) -> CaseMaps:
    """Return maps as a preview has them, with nothing in them."""
    shared = {
        "prediction": np.zeros(geometry.shape, np.uint8),
        "uncertainty": np.zeros(geometry.shape, np.float32),
    }
    return CaseMaps(case, geometry, shared, uncertainty_source="nobody")


def measure(study_path: Path, seconds: float) -> dict[str, tuple[np.ndarray, int, int]]:
    """Return for each phase the lags in ms, the steps trained and the previews made meanwhile."""
    viewer = napari.Viewer()
    layers, worker, meter = CaseLayers(viewer), TrainingWorker(), LagMeter()
    steps: list[int] = []
    previews: list[int] = []
    problems: list[str] = []

    def on_event(event: object) -> None:
        if isinstance(event, Progress):
            steps.append(event.step)
        elif isinstance(event, Preview):
            previews.append(event.step)
            layers.show_preview(event.maps, classes, event.step)

    results: dict[str, tuple[np.ndarray, int, int]] = {}

    def phase(name: str) -> None:
        before = len(steps), len(previews)
        lags = meter.measure(seconds)
        results[name] = lags, len(steps) - before[0], len(previews) - before[1]

    worker.event.connect(on_event)
    worker.failed.connect(problems.append)
    with Study.open(study_path) as study:
        classes = study.classes
        case = study.unlabelled_cases()[0] if study.unlabelled_cases() else study.cases()[0]
        volume, label = study.scans.read(case.name), study.labels.load(case.name)
    layers.show_case(case, volume, label, classes)
    run_event_loop(2.0)
    phase("idle")
    with scrubbing(viewer):
        phase("idle, scrolling")
        # what drawing a preview's layers costs by itself: below this no worker can bring the lag
        layers.show_maps(blank_maps(case.name, volume.geometry), classes, "none")
        phase("idle, scrolling with maps")
        layers.clear_maps()
    settings = TrainingSettings(minutes=2 + seconds / 15)
    worker.start(study_path, settings, shown_case=case.name)
    give_up = time.monotonic() + LONGEST_START_SECONDS
    while not steps and not problems and time.monotonic() < give_up:
        run_event_loop(0.2)
    phase("training")
    with scrubbing(viewer):
        phase("training, scrolling")
    worker.close()
    QCoreApplication.processEvents()
    viewer.close()
    if problems or not steps:
        raise SystemExit(problems[0] if problems else "Training took no step in time.")
    return results


def main() -> int:
    """Measure, print the table, and return 1 where training makes the user wait."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", type=Path, help="folder of a study with labelled cases")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each phase")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        study_path = arguments.study or sample_study(Path(folder))
        results = measure(study_path, arguments.seconds)
    print(f"{LAG_HEADER}{'steps':>8}{'previews':>10}")
    too_long = False
    for phase, (lags, steps, previews) in results.items():
        print(f"{lag_line(phase, lags)}{steps:>8}{previews:>10}")
        if phase.startswith("training"):
            too_long |= is_too_long(lags)
    print("too long" if too_long else f"within p95 ≤ {LARGEST_P95_MS:g}, max ≤ {LARGEST_MS:g}")
    return int(too_long)


if __name__ == "__main__":
    sys.exit(main())
