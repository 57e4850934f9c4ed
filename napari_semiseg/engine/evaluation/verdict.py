"""Whether the unlabelled scans helped: a run against its supervised twin, case by case.

The same held-out cases are measured with both, so their differences are paired; a bootstrap over the
cases gives the interval. Comparisons and the desk put the answer in one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
FEWEST_CASES = 3  # with fewer, an interval over cases says nothing


@dataclass(frozen=True)
class Difference:
    """Mean difference of Dice between a run and its twin, or another run, on the same cases.

    Attributes
    ----------
    mean : float
        Method minus twin.
    low, high : float or None
        95 % interval of the mean over cases; None with fewer than three.
    cases : int
        Cases that both were measured on.
    """

    mean: float
    low: float | None
    high: float | None
    cases: int

    def sentence(self, title: str, yardstick: str | None = None) -> str:
        """Say whether ``title`` helped, in one sentence.

        Parameters
        ----------
        yardstick : str, optional
            What it was compared with, where that is not its supervised twin.
        """
        if self.low is None or self.high is None:
            against = f" against {yardstick}" if yardstick else ""
            what = "whether it helped" if yardstick is None else "which is better"
            return (
                f"{title}: {self.mean:+.3f} Dice{against} on {self.cases} cases, too few to tell "
                f"{what}; hold out at least three."
            )
        interval = f"{self.mean:+.3f} Dice, 95 % interval {self.low:+.3f}…{self.high:+.3f}, "
        interval += f"{self.cases} cases"
        if self.low > 0:
            helped = "helped" if yardstick is None else f"is better than {yardstick}"
            return f"{title} {helped}: {interval}."
        if self.high < 0:
            harmed = "did harm" if yardstick is None else f"is worse than {yardstick}"
            return f"{title} {harmed}: {interval}."
        against = f" to {yardstick}" if yardstick else ""
        return (
            f"{title} made no difference{against} that {self.cases} cases could show: {interval}."
        )


def mean_over_seeds(runs: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Average the score of each case over runs that differ in their seed only.

    Parameters
    ----------
    runs : sequence of mapping
        Case name to score; None where it is not defined.

    Returns
    -------
    dict
        Cases that have a score in every run.
    """
    if not runs:
        return {}
    means = {}
    for case in runs[0]:
        scores = [run.get(case) for run in runs]
        known = [score for score in scores if score is not None]
        if len(known) == len(runs):
            means[case] = float(np.mean(known))
    return means


def compare_with_twin(method: Mapping[str, float], twin: Mapping[str, float]) -> Difference | None:
    """Compare two sets of scores on the cases that both have.

    Returns
    -------
    Difference or None
        None where they share no case.
    """
    shared = sorted(set(method) & set(twin))
    if not shared:
        return None
    differences = np.array([method[case] - twin[case] for case in shared])
    mean = float(differences.mean())
    if len(shared) < FEWEST_CASES:
        return Difference(mean, None, None, len(shared))
    random = np.random.default_rng(0)
    drawn = random.integers(len(shared), size=(DRAWS, len(shared)))
    low, high = np.percentile(differences[drawn].mean(axis=1), (2.5, 97.5))
    return Difference(mean, float(low), float(high), len(shared))
