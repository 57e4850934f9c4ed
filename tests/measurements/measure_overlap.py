"""What the overlap of windows and windows in the air change: Dice and seconds on held-out scans.

Predicts held-out scans of a study with a trained run: with windows that overlap by a quarter and by
half, with the papers' stride of 18×18×4 voxels (x, y, z; the same share of the run's patch as of their
112×112×80), and with windows in the air looked at and not. Prints the mean Dice, how it differs from
the papers' stride, and seconds a scan. The study is only read.

    python tests/measurements/measure_overlap.py STUDY [--run RUN] [--cases 4] [--no-papers]
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_semiseg.engine.evaluation.metrics import dice_per_class
from napari_semiseg.engine.inference import windows
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.inference.windows import OVERLAP
from napari_semiseg.engine.methods.assembly import restore
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.study import Study

PAPERS_SHARE = (4 / 80, 18 / 112, 18 / 112)
"""The papers' stride as a share of their patch, z, y, x."""


@dataclass(frozen=True)
class Way:
    """One way to lay windows over a scan."""

    name: str
    overlap: float = OVERLAP
    skip_air: bool = True
    papers: bool = False


WAYS = (
    Way("stride 18×18×4 (the papers)", skip_air=False, papers=True),
    Way("overlap 0.25", 0.25),
    Way("overlap 0.5"),
    Way("overlap 0.75", 0.75),
    Way("overlap 0.5, air looked at", skip_air=False),
)


def main() -> int:
    """Predict, compare with the labels, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--run")
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--no-papers", action="store_true", help="leave the papers' stride out")
    arguments = parser.parse_args()
    ways = [way for way in WAYS if not (way.papers and arguments.no_papers)]
    with Study.open(arguments.study) as study:
        method, _ = restore(study.runs.get(arguments.run).folder, describe_machine("cpu"))
        cases = [case for case in study.held_out_cases() if case.has_label][: arguments.cases]
        dice = {way.name: [] for way in ways}
        seconds = {way.name: [] for way in ways}
        for case in cases:
            volume, truth = study.scans.read(case.name), study.labels.load(case.name)
            for way in ways:
                began = time.perf_counter()
                prediction = predict(method, case.name, volume, way)
                seconds[way.name].append(time.perf_counter() - began)
                found = dice_per_class(prediction, truth, method.plan.class_values)
                dice[way.name].append(np.nanmean([*found.values()]))
    print(f"{len(cases)} held-out scans, patch {method.plan.patch}")
    first = np.array(dice[ways[0].name])
    for way in ways:
        difference = np.array(dice[way.name]) - first
        print(
            f"{way.name:28s} Dice {np.mean(dice[way.name]):.4f}  difference {difference.mean():+.4f} "
            f"({difference.min():+.4f}…{difference.max():+.4f})  "
            f"{np.median(seconds[way.name]):6.2f} s a scan"
        )
    return 0


def predict(method: Method, name: str, volume: object, way: Way) -> np.ndarray:
    """Return the prediction alone, (z, y, x) class values."""
    with strides_of_papers(way.papers):
        work = predict_case(method, name, volume, (), overlap=way.overlap, skip_air=way.skip_air)
        while True:
            try:
                next(work)
            except StopIteration as finished:
                return finished.value.prediction


@contextmanager
def strides_of_papers(wanted: bool) -> Iterator[None]:
    """Lay windows as far apart as the papers' code, the last one at the end of the scan."""
    evenly = windows._places
    if wanted:
        windows._places = papers_places
    try:
        yield
    finally:
        windows._places = evenly


def papers_places(
    extents: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> list[tuple[int, ...]]:
    """Return where the papers' windows begin in a scan that is no smaller than one of them."""
    starts = [
        sorted({*range(0, extent - size, max(1, round(share * size))), extent - size})
        for extent, size, share in zip(extents, patch, PAPERS_SHARE, strict=True)
    ]
    return list(itertools.product(*starts))


if __name__ == "__main__":
    sys.exit(main())
