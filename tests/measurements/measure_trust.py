"""How well the trust in predictions ranks them by their true Dice, against uncertainty alone.

Give a copy of a study with a trained run and the folder of the true labels, named like the scans. Scans
without a label in the study are predicted where the run has not done so, and the maps are stored in
the study; the true labels are read by this script only. Cases that helped to design the score can be
left out with --skip.

    python tests/measurements/measure_trust.py copy.semiseg \\
        --labels ../shared/data/hippocampus/labels --run 003-supervised \\
        [--other-run 009-supervised] [--skip 60] [--cases 40]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy import stats

from napari_semiseg.engine.evaluation.metrics import dice_per_class
from napari_semiseg.engine.inference.prediction import CasePredicted, predict
from napari_semiseg.engine.inference.stored_maps import load_maps
from napari_semiseg.engine.review.case_queue import queue_cases
from napari_semiseg.engine.review.suggestions import unsure_of
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.volumes import read_label

KINDS = ("prediction", "uncertainty", "disagreement")
RESAMPLES = 2000


def main() -> int:
    """Predict what is missing, judge, and print how the scores rank the cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--run")
    parser.add_argument("--other-run")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--cases", type=int, default=40)
    arguments = parser.parse_args()
    with Study.open(arguments.study) as study:
        run = study.runs.get(arguments.run).identifier
        names = [case.name for case in study.unlabelled_cases()]
        names = names[arguments.skip : arguments.skip + arguments.cases]
        for other in filter(None, (run, arguments.other_run)):
            predict_missing(study, other, names)
        measured = measure(study, run, arguments.other_run, names, arguments.labels)
    report(measured)
    return 0


def predict_missing(study: Study, run: str, names: list[str]) -> None:
    """Predict the cases that the run has no maps of."""
    missing = [
        name
        for name in names
        if not {"prediction", "uncertainty"} <= {*study.runs.maps.kinds(run, name)}
    ]
    if missing:
        for step in predict(study, run, missing, KINDS):
            if isinstance(step, CasePredicted):
                print(f"{run} predicted {step.case}", file=sys.stderr)


def measure(
    study: Study, run: str, other_run: str | None, names: list[str], folder: Path
) -> dict[str, np.ndarray]:
    """Return the true Dice and every score of the cases, each with larger for better."""
    work = queue_cases(study, run, names, other_run)
    while True:
        try:
            next(work)
        except StopIteration as finished:
            queue = finished.value
            break
    values = [item.value for item in study.classes]
    rows = []
    for item in queue:
        maps = load_maps(study, run, item.case)
        truth = read_label(label_of(folder, item.case), study.case(item.case).geometry).voxels
        dice = [each for each in dice_per_class(maps.prediction, truth, values).values() if each]
        assert maps.uncertainty is not None
        marked = maps.prediction > 0
        rows.append(
            {
                "dice": float(np.mean(dice)),
                "trust": item.trust.score,
                "expected overlap": 1 - unsure_of(maps, values),
                "uncertainty, what is marked": -float(maps.uncertainty[marked].mean()),
                "uncertainty, whole scan": -float(maps.uncertainty.mean()),
            }
        )
        for reason in item.trust.reasons:
            print(
                f"{item.case}  Dice {rows[-1]['dice']:.3f}  trust {item.trust.score:.2f}: {reason}"
            )
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def label_of(folder: Path, case: str) -> Path:
    """Return the label file of a case."""
    return next(path for path in folder.iterdir() if path.name.partition(".")[0] == case)


def report(measured: dict[str, np.ndarray]) -> None:
    """Print the rank correlation of each score with the Dice, and what the trust is worth."""
    dice = measured["dice"]
    print(f"\n{len(dice)} cases, Dice {dice.mean():.3f} ({dice.min():.3f} to {dice.max():.3f})")
    print(f"{'score':30s} {'Spearman':>8s} {'95 % interval':>16s}  worst fifth found")
    for key, scores in measured.items():
        if key != "dice":
            low, high = interval(scores, dice)
            rank = stats.spearmanr(scores, dice).statistic
            print(f"{key:30s} {rank:8.3f} {low:8.3f} …{high:6.3f}  {worst_found(scores, dice):.0%}")
    trust = measured["trust"]
    print(f"mean trust {trust.mean():.3f} against a mean Dice of {dice.mean():.3f}")


def interval(scores: np.ndarray, dice: np.ndarray) -> tuple[float, float]:
    """Return the bootstrap interval of the rank correlation over cases."""
    random = np.random.default_rng(0)
    drawn = random.integers(0, len(dice), (RESAMPLES, len(dice)))
    ranks = [stats.spearmanr(scores[cases], dice[cases]).statistic for cases in drawn]
    low, high = np.nanpercentile(ranks, [2.5, 97.5])
    return float(low), float(high)


def worst_found(scores: np.ndarray, dice: np.ndarray) -> float:
    """Return how many of the worst fifth of the cases are in the fifth with the lowest score."""
    count = max(1, len(dice) // 5)
    return len({*np.argsort(scores)[:count]} & {*np.argsort(dice)[:count]}) / count


if __name__ == "__main__":
    sys.exit(main())
