"""Whether labelling what is suggested beats labelling at random, at equal numbers of labels.

For every seed: some random scans are labelled, a model is trained, and then two arms go on from there;
in each round one arm labels the scan that is suggested and the other a random one, both with the true
label, and train anew with the same budget and seed. The Dice on the held-out scans is kept after every
round, one JSON line each, in WORK/results.jsonl; running it again goes on where it stood.

    python tests/measurements/measure_suggestions.py WORK --data ../shared/data/hippocampus \\
        --classes 1=anterior,2=posterior --held-out val.list:20 --seeds 0 1 2 --steps 300
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
from compare_methods import names_in

from napari_semiseg.engine.evaluation.held_out import evaluate
from napari_semiseg.engine.review.suggestions import suggest_cases
from napari_semiseg.engine.study import Study, parse_classes
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings

ARMS = ("suggested", "random")


def main() -> int:
    """Run all rounds that are missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--start", type=int, default=3, help="scans labelled at the beginning")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pool", type=int, help="use only so many scans besides the held-out ones")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        Simulation(arguments, seed).run()
    print_table(read_results(arguments.work / "results.jsonl"), arguments.rounds)
    return 0


class Simulation:
    """One seed: both arms from the same beginning."""

    def __init__(self, arguments: argparse.Namespace, seed: int) -> None:
        self.arguments = arguments
        self.seed = seed
        self.results = arguments.work / "results.jsonl"
        self.start = arguments.work / f"start-{seed}.semiseg"

    def run(self) -> None:
        """Run the rounds whose results are not there yet."""
        if self.is_missing("both", 0):
            shutil.rmtree(self.start, ignore_errors=True)
            make_study(self.arguments, self.start, self.seed)
            with Study.open(self.start) as study:
                labelled = [case.name for case in study.labelled_cases()]
                self.train_and_measure(study, "both", 0, labelled, "")
        for arm in ARMS:
            path = self.arguments.work / f"{arm}-{self.seed}.semiseg"
            if self.is_missing(arm, 1):
                shutil.rmtree(path, ignore_errors=True)
                # beside the first one, so that the relative paths of the scans still lead there
                shutil.copytree(self.start, path)
            with Study.open(path) as study:
                for round_ in range(1, self.arguments.rounds + 1):
                    if self.is_missing(arm, round_):
                        self.label_one_more(study, arm, round_)

    def label_one_more(self, study: Study, arm: str, round_: int) -> None:
        """Label one more scan, train anew and measure."""
        labelled = {case.name for case in study.labelled_cases()}
        wanted = self.arguments.start + round_
        reason = "chosen before an interruption"
        if len(labelled) < wanted:
            name, reason = self.choose(study, arm, round_)
            study.labels.import_file(name, label_file(self.arguments.data, name))
            labelled.add(name)
        self.train_and_measure(study, arm, round_, sorted(labelled), reason)

    def choose(self, study: Study, arm: str, round_: int) -> tuple[str, str]:
        """Return the scan that an arm labels next, and why."""
        if arm == "random":
            random = np.random.default_rng([self.seed, round_])
            names = [case.name for case in study.unlabelled_cases()]
            return names[int(random.integers(len(names)))], "at random"
        (best,) = finish(suggest_cases(study, count=1, device=self.arguments.device))
        return best.case, best.reason

    def train_and_measure(
        self, study: Study, arm: str, round_: int, labelled: list[str], reason: str
    ) -> None:
        """Train from scratch, measure on the held-out scans and keep the result."""
        settings = TrainingSettings(
            method=self.arguments.method,
            steps=self.arguments.steps,
            seed=self.seed,
            device=self.arguments.device,
            validation_cases=0,
        )
        run = finish(train(study, settings))
        evaluation = finish(evaluate(study, run.identifier, self.arguments.device))
        result = {
            "seed": self.seed,
            "arm": arm,
            "round": round_,
            "labelled": labelled,
            "reason": reason,
            "steps": self.arguments.steps,
            "method": self.arguments.method,
            "dice": evaluation.dice,
        }
        with open(self.results, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        print(f"seed {self.seed} {arm} round {round_}: Dice {evaluation.dice:.4f}  {reason}")

    def is_missing(self, arm: str, round_: int) -> bool:
        """Tell whether there is no result of this arm and round yet."""
        return not any(
            (each["seed"], each["arm"], each["round"]) == (self.seed, arm, round_)
            for each in read_results(self.results)
        )


def make_study(arguments: argparse.Namespace, path: Path, seed: int) -> None:
    """Make a study with the first random labels, and with the held-out scans locked away."""
    held_out = names_in(arguments.data, arguments.held_out)
    random = np.random.default_rng(seed)
    images = {
        file.name.partition(".")[0]: file for file in (arguments.data / "images").glob("*.nii*")
    }
    pool = sorted(images.keys() - held_out)
    pool = [str(name) for name in random.permutation(pool)][: arguments.pool]
    with Study.create(path, parse_classes(arguments.classes)) as study:
        for _ in study.scans.add_all([images[name] for name in sorted({*pool, *held_out})]):
            pass
        for name in [*pool[: arguments.start], *sorted(held_out)]:
            study.labels.import_file(name, label_file(arguments.data, name))
        for name in sorted(held_out):
            study.hold_out(name)


def label_file(data: Path, name: str) -> Path:
    """Return the file of the true label of a scan."""
    return next((data / "labels").glob(f"{name}.nii*"))


def finish(generator: Any) -> Any:
    """Run a generator to its end and return its value."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def read_results(path: Path) -> list[dict[str, Any]]:
    """Return all results so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def print_table(results: list[dict[str, Any]], rounds: int) -> None:
    """Print the mean Dice of each arm by round, and the mean paired difference with its error."""
    dice = {(each["seed"], each["arm"], each["round"]): each["dice"] for each in results}
    seeds = sorted({each["seed"] for each in results})
    print(f"\n{'round':>5s} {'suggested':>10s} {'random':>10s} {'difference':>11s}  seeds")
    for round_ in range(1, rounds + 1):
        pairs = [
            (dice[seed, "suggested", round_], dice[seed, "random", round_])
            for seed in seeds
            if all((seed, arm, round_) in dice for arm in ARMS)
        ]
        if not pairs:
            continue
        suggested, random = np.array(pairs).T
        apart = suggested - random
        error = f" ± {apart.std(ddof=1) / np.sqrt(len(apart)):.4f}" if len(apart) > 1 else ""
        print(
            f"{round_:5d} {suggested.mean():10.4f} {random.mean():10.4f} {apart.mean():+11.4f}{error}"
            f"  {len(pairs)}"
        )


if __name__ == "__main__":
    sys.exit(main())
