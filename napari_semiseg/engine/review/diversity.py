"""Choosing scans of which a model is unsure and that differ from each other: farthest first.

Pure functions on a few numbers for each scan; the suggestions call them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Choice:
    """A candidate that `choose_diverse` chose, by index.

    Attributes
    ----------
    index : int
        Of the candidate.
    score : float
        0…1.
    distance : float
        From the nearest known or already chosen scan; infinite where there was none.
    nearest : int or None
        Index of that scan, known ones first and then the candidates; None where there was none.
    """

    index: int
    score: float
    distance: float
    nearest: int | None


def choose_diverse(
    unsure: np.ndarray, features: np.ndarray, known: np.ndarray, count: int
) -> list[Choice]:
    """Choose candidates one after the other, unsure ones that lie far from all before them.

    Parameters
    ----------
    unsure : ndarray, shape (n,)
        How unsure the model is of each candidate, in any unit.
    features : ndarray, shape (n, F)
        Features of the candidates.
    known : ndarray, shape (k, F)
        Features of the scans that are labelled; k may be 0.
    count : int
        How many to choose; fewer where there are fewer candidates.

    Returns
    -------
    list of Choice
        In the order of choice; of equal candidates the first comes first.
    """
    points = standardised(np.concatenate([known, features]))
    candidates = points[len(known) :]
    ranks = (np.argsort(np.argsort(unsure, kind="stable"), kind="stable") + 1) / len(unsure)
    distance = np.full(len(candidates), np.inf)
    nearest = np.full(len(candidates), -1)
    free = np.ones(len(candidates), bool)
    for index, point in enumerate(points[: len(known)]):
        _come_nearer(distance, nearest, candidates, point, index)
    chosen: list[Choice] = []
    while free.any() and len(chosen) < count:
        farthest = float(distance[free].max())
        relative = np.ones(len(candidates))  # nothing known yet, or all alike: the most unsure
        if np.isfinite(farthest) and farthest > 0:
            relative = distance / farthest
        scores = np.where(free, ranks * relative, -1.0)
        best = int(np.argmax(scores))
        near = None if nearest[best] < 0 else int(nearest[best])
        chosen.append(Choice(best, float(scores[best]), float(distance[best]), near))
        free[best] = False
        _come_nearer(distance, nearest, candidates, candidates[best], len(known) + best)
    return chosen


def standardised(features: np.ndarray) -> np.ndarray:
    """Scale every feature (n, F) to mean 0 and deviation 1; one that is always the same to 0."""
    centred = features - features.mean(axis=0)
    deviation = centred.std(axis=0)
    scaled: np.ndarray = centred / np.where(deviation > 1e-6, deviation, np.inf)
    return scaled


def _come_nearer(
    distance: np.ndarray, nearest: np.ndarray, candidates: np.ndarray, point: np.ndarray, index: int
) -> None:
    """Note where ``point`` is nearer to a candidate than all points before."""
    here = np.linalg.norm(candidates - point, axis=1)
    closer = here < distance
    distance[closer] = here[closer]
    nearest[closer] = index
