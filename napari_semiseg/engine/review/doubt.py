"""How doubtful each voxel of an answer is, and where its borders are.

Entropy is hard to read and grows faster than the errors that it stands for; a chance of error can be
summed into voxels that are probably wrong. The trust score and the ranking of slices share these
functions. Pure functions on arrays, for any thread; all heavy work is in compiled code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import edt
import numpy as np

_STEPS = 512


@cache
def _errors_by_entropy() -> tuple[np.ndarray, np.ndarray]:
    """Tabulate the entropy (bits) of two classes by the probability of the lesser one, 0…1/2."""
    # steep at 0 and flat at 1/2: both ends want many steps
    ends = np.geomspace(1e-6, 0.25, _STEPS)
    inner = np.concatenate([ends, 0.5 - ends[-2::-1], [0.5]])
    errors = np.concatenate([[0.0], inner])
    entropies = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner))
    return np.concatenate([[0.0], entropies]).astype(np.float32), errors.astype(np.float32)


def chance_of_error(uncertainty: np.ndarray, classes: int) -> np.ndarray:
    """Return the probability that a voxel has another class than the most probable one.

    The entropy is taken as that of two competing classes, which it nearly is at every border; where
    it is more than two classes can have, the chance is 1/2.

    Parameters
    ----------
    uncertainty : ndarray
        Normalised entropy, 0…1, of any shape.
    classes : int
        Number of classes with the background, C, at least 2.

    Returns
    -------
    ndarray of float32
        Of the same shape, 0…1/2; it rises with the uncertainty.
    """
    entropies, errors = _errors_by_entropy()
    bits = np.clip(uncertainty, 0.0, 1.0) * math.log2(classes)
    expected: np.ndarray = np.interp(bits, entropies, errors).astype(np.float32)
    return expected


def voxel_doubt(
    uncertainty: np.ndarray | None, disagreement: np.ndarray | None, classes: int
) -> np.ndarray | None:
    """Return how doubtful each voxel is: its chance of error, or the disagreement where that is more.

    Parameters
    ----------
    uncertainty : ndarray or None
        (z, y, x) normalised entropy, 0…1.
    disagreement : ndarray or None
        (z, y, x) how far two answers lie apart, 0…1.

    Returns
    -------
    ndarray of float32, or None
        (z, y, x) in 0…1; None where there is neither map.
    """
    error = None if uncertainty is None else chance_of_error(uncertainty, classes)
    if disagreement is None:
        return error
    apart = np.clip(disagreement, 0.0, 1.0).astype(np.float32)
    worse: np.ndarray = apart if error is None else np.maximum(error, apart)
    return worse


def distance_to_border(answer: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Return how far each voxel's centre lies from the nearest voxel of another class.

    Parameters
    ----------
    answer : ndarray of int, shape (z, y, x)
        Class values.
    spacing : sequence of float
        Voxel size along (z, y, x) in mm.

    Returns
    -------
    ndarray of float32, shape (z, y, x)
        Millimetres, at least the smallest voxel size; infinite where there is one class only.
    """
    # one is added because the transform takes 0 for "not asked for", and background is asked for
    shifted = answer.astype(np.uint16) + np.uint16(1)
    distance: np.ndarray = edt.edt(
        shifted, anisotropy=tuple(map(float, spacing)), black_border=False
    )
    return distance
