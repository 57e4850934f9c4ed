"""What a study of very many scans costs: to open, to overview, to prepare, and a batch of crops.

The records are made up: every case has the same one scan on the disk, under names and contents of its
own. Each figure is taken with rising numbers of cases, so that what is not flat shows.

    python tests/measurements/measure_large_study.py --cases 10 1000 10000
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_semiseg.cli.progress import status_of
from napari_semiseg.engine.planning.fingerprint import take_fingerprint
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.sampling.batches import BatchSampler
from napari_semiseg.engine.sampling.patch_cache import cache_cases
from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.study.overview import overview_cases
from napari_semiseg.engine.volumes import Geometry, write_map

SHAPE = (24, 32, 32)
LONGEST_OPENING_SECONDS = 2.0
LARGEST_BATCH_RATIO = 1.5
BATCHES = 200


def made_up_study(folder: Path, count: int) -> Path:
    """Make a study of ``count`` cases with one scan file, of which the first is labelled."""
    scan = folder / "scan.nii.gz"
    voxels = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    write_map(scan, voxels, Geometry(SHAPE, np.diag([1.5, 1.5, 2.0, 1.0]), None))
    label = np.zeros(SHAPE, np.uint8)
    label[8:16, 8:16, 8:16] = 1
    with Study.create(folder / f"study {count}", parse_classes("1=liver")) as study:
        (case,) = study.scans.add_all([scan])
        study.labels.save(case.name, label, state=CaseState.LABELLED)  # type: ignore[union-attr]
        path = study.path
    multiply(path, count)
    return path


def multiply(path: Path, count: int) -> None:
    """Add records of ``count`` − 1 unlabelled cases that have the scan of the first."""
    with sqlite3.connect(path / "study.sqlite") as connection:
        connection.row_factory = sqlite3.Row
        first = dict(connection.execute("SELECT * FROM cases").fetchone())
        first |= {"state": "unlabelled", "label_version": None, "previous_label_version": None}
        del first["identifier"]
        columns, marks = ", ".join(first), ", ".join("?" * len(first))
        connection.executemany(
            f"INSERT INTO cases ({columns}) VALUES ({marks})",
            [
                tuple((first | {"name": f"case_{i:05d}", "content_hash": f"{i:064x}"}).values())
                for i in range(1, count)
            ],
        )


def seconds_of(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long something takes, and what it returns."""
    start = time.perf_counter()
    outcome = work()
    return time.perf_counter() - start, outcome


def measure(path: Path) -> tuple[dict[str, float], BatchSampler]:
    """Return the seconds of each part of the work on a study, and a sampler of its scans."""
    figures: dict[str, float] = {}
    figures["open"], study = seconds_of(lambda: Study.open(path))
    with study:
        figures["list and status"], _ = seconds_of(lambda: status_of(study))
        figures["overview, first time"], _ = seconds_of(lambda: list(overview_cases(study)))
        figures["overview, again"], _ = seconds_of(lambda: list(overview_cases(study)))
        figures["fingerprint"], fingerprint = seconds_of(lambda: take_fingerprint(study))
        plan = make_plan(fingerprint, describe_machine("cpu"), (1,))
        labelled = list(cache_cases(study, plan, study.labelled_cases(), "all"))
        others = study.unlabelled_cases()
        figures["prepare, first time"], _ = seconds_of(
            lambda: list(cache_cases(study, plan, others, "none"))
        )
        figures["prepare, again"], unlabelled = seconds_of(
            lambda: list(cache_cases(study, plan, others, "none"))
        )
    return figures, BatchSampler(labelled, unlabelled, plan, 0, torch.device("cpu"))


def seconds_a_batch(samplers: dict[int, BatchSampler]) -> dict[int, float]:
    """Return the median seconds of a batch of one labelled and one unlabelled crop, in turn."""
    taken: dict[int, list[float]] = {count: [] for count in samplers}
    for _ in range(BATCHES):
        for count, sampler in samplers.items():
            taken[count].append(seconds_of(partial(sampler.draw, 1, 1))[0])
    return {count: float(np.median(seconds)) for count, seconds in taken.items()}


def main() -> int:
    """Measure, print a table or JSON, and return 1 where opening or sampling is too slow."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, nargs="+", default=[10, 1000, 10_000])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures, samplers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for count in arguments.cases:
            figures[count], samplers[count] = measure(made_up_study(Path(folder), count))
        for count, seconds in seconds_a_batch(samplers).items():
            figures[count]["a batch"] = seconds
    few, many = figures[arguments.cases[0]], figures[arguments.cases[-1]]
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        print(f"{'seconds':<24}" + "".join(f"{count:>14,}" for count in arguments.cases))
        for part in many:
            print(f"{part:<24}" + "".join(f"{figures[n][part]:>14.4f}" for n in arguments.cases))
    opening = many["open"] + many["list and status"]
    slow = (
        opening > LONGEST_OPENING_SECONDS or many["a batch"] > LARGEST_BATCH_RATIO * few["a batch"]
    )
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
