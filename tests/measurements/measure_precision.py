"""What the fast precision costs: each method trained in it and in float32, Dice of held-out scans.

Same labels, steps, seed and sampling; only the precision differs. Exits with 1 where a mean Dice
differs by more than 0.01. The study is copied first, so that it stays as it is.

    python tests/measurements/measure_precision.py STUDY --methods supervised ua-mt --steps 500
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from napari_semiseg.engine.evaluation.held_out import evaluate
from napari_semiseg.engine.planning import machine
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings

LARGEST_DIFFERENCE = 0.01


def main() -> int:
    """Train every method twice and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--methods", nargs="+", default=["supervised", "ua-mt"])
    parser.add_argument("--preset", choices=("modern", "paper"), default="modern")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    fast = machine.describe_machine("auto").precision
    print(f"| method | {fast} | 32-true | difference | largest of a case |")
    print("| --- | --- | --- | --- | --- |")
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        place = shutil.copytree(arguments.study, Path(folder) / arguments.study.name)
        with Study.open(place) as study:
            for method in arguments.methods:
                settings = TrainingSettings(
                    method=method,
                    preset=arguments.preset,
                    steps=arguments.steps,
                    seed=arguments.seed,
                )
                first, second = (
                    dice_of_cases(study, settings, precision) for precision in (fast, "32-true")
                )
                difference = float(first.mean() - second.mean())
                largest = float(np.abs(first - second).max())
                print(
                    f"| {method} | {first.mean():.4f} | {second.mean():.4f} | {difference:+.4f} "
                    f"| {largest:.4f} |",
                    flush=True,
                )
                worst = max(worst, abs(difference))
    return int(worst > LARGEST_DIFFERENCE)


def dice_of_cases(study: Study, settings: TrainingSettings, precision: str) -> np.ndarray:
    """Train in a precision and return the mean Dice of each held-out scan, (cases,)."""
    with patch.object(machine, "_precision", return_value=precision):
        run = finish(train(study, settings))
        evaluation = finish(evaluate(study, run.identifier))
    return np.array([metrics.mean_dice for metrics in evaluation.metrics.values()], float)


def finish(work: Generator[Any, Any, Any]) -> Any:
    """Let a generator come to its end and return its answer."""
    while True:
        try:
            next(work)
        except StopIteration as ended:
            return ended.value


if __name__ == "__main__":
    sys.exit(main())
