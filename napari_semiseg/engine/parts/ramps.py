"""Weights that grow over training, as pure functions of the share of the budget used (spec §4.2)."""

from __future__ import annotations

import math

STAIRS = 40  # the papers' code raises the weight every 150 of 6000 iterations


def gaussian_ramp(share: float) -> float:
    """Rise from 0.0067 at 0 to 1 at 1, as exp(−5 (1 − share)²).

    Parameters
    ----------
    share : float
        Share of the ramp that is over; clipped to 0…1.
    """
    return math.exp(-5.0 * (1.0 - min(max(share, 0.0), 1.0)) ** 2)


def stepped_ramp(share: float) -> float:
    """`gaussian_ramp` in the 40 stairs of the papers' code, ``floor(iteration / 150) / 40``."""
    return gaussian_ramp(math.floor(share * STAIRS + 1e-9) / STAIRS)


def certainty_threshold(share: float, classes: int) -> float:
    """Entropy below which a voxel counts as certain: 3/4 of ln C, rising to ln C (spec §4.5).

    Parameters
    ----------
    share : float
        Share of training that is over, 0…1.
    classes : int
        Number of classes C; the papers' code has ln 2 whatever C is.
    """
    return (0.75 + 0.25 * gaussian_ramp(share)) * math.log(classes)
