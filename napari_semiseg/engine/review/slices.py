"""Which slices of a case most need a look: those in which most is probably wrong.

A slice counts by the area that is probably wrong at or near the borders of what is marked: that is
where corrections happen, and stray doubt far from any structure must not win. The desk's key for the
next-worst slice and the suggestions call this, on a worker's thread.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when used, so the desk opens sooner

from napari_semiseg.engine.review.doubt import distance_to_border, voxel_doubt

REACH_MM = 3.0
"""Doubt this far from a border counts 60 % of what it counts at one, and farther off ever less."""

MARGIN_MM = 3 * REACH_MM
"""Farther from what is marked, doubt counts 1 % at most and is left out."""

APART_MM = 3.0
"""Slices nearer than this to one that needs a look more are not listed beside it."""

_AXES = ("z", "y", "x")


@dataclass(frozen=True)
class SliceNeed:
    """A slice that needs a look.

    Attributes
    ----------
    axis : int
        0, 1 or 2: the slice lies across z, y or x.
    index : int
        Its index along that axis.
    wrong_mm2 : float
        Area in it that is probably wrong.
    """

    axis: int
    index: int
    wrong_mm2: float

    def __str__(self) -> str:
        return f"slice {_AXES[self.axis]} {self.index}: about {_area(self.wrong_mm2)} may be wrong"


def _area(square_millimetres: float) -> str:
    if square_millimetres >= 100:
        return f"{square_millimetres / 100:.1f} cm²"
    return f"{square_millimetres:.1f} mm²"


def slice_needs(
    answer: np.ndarray,
    uncertainty: np.ndarray | None,
    disagreement: np.ndarray | None,
    spacing: Sequence[float],
    classes: int,
) -> dict[int, np.ndarray]:
    """Return how much area of each slice is probably wrong.

    Parameters
    ----------
    answer : ndarray of int, shape (z, y, x)
        Predicted class values.
    uncertainty, disagreement : ndarray or None
        (z, y, x) in 0…1; at least one of them.
    spacing : sequence of float
        Voxel size along (z, y, x) in mm.

    Returns
    -------
    dict of int to ndarray
        By axis, 0, 1 and 2: mm² for each slice along it, float64.

    Raises
    ------
    ValueError
        There is neither an uncertainty nor a disagreement map.
    """
    box = _box_around(answer, spacing)
    doubt = voxel_doubt(
        None if uncertainty is None else uncertainty[box],
        None if disagreement is None else disagreement[box],
        classes,
    )
    if doubt is None:
        raise ValueError("slices are ranked by uncertainty or disagreement, and there is neither")
    distance = distance_to_border(answer[box], spacing)
    if np.isfinite(distance).any():  # an empty answer has no border to be near to
        doubt *= np.exp(-0.5 * np.square(distance / REACH_MM))
    volume = float(np.prod(spacing))
    needs: dict[int, np.ndarray] = {}
    for axis, rest in ((0, (1, 2)), (1, (0, 2)), (2, (0, 1))):
        needs[axis] = np.zeros(answer.shape[axis])
        wrong = doubt.sum(axis=rest, dtype=np.float64) * volume
        needs[axis][box[axis]] = wrong / float(spacing[axis])
    return needs


def _box_around(answer: np.ndarray, spacing: Sequence[float]) -> tuple[slice, slice, slice]:
    """Return the box of what is marked, with a margin beyond which doubt hardly counts."""
    found = scipy.ndimage.find_objects((answer != 0).view(np.uint8))
    if not found:
        return slice(None), slice(None), slice(None)
    z, y, x = (
        slice(max(0, part.start - margin), part.stop + margin)
        for part, margin in zip(
            found[0], (int(np.ceil(MARGIN_MM / size)) for size in spacing), strict=True
        )
    )
    return z, y, x


def rank_slices(
    needs: Mapping[int, np.ndarray],
    axis: int,
    spacing: Sequence[float],
    *,
    seen: Collection[int] = (),
    most: int | None = None,
    apart_mm: float = APART_MM,
) -> list[SliceNeed]:
    """List the slices that need a look, the neediest first, without their near neighbours.

    Parameters
    ----------
    needs : mapping of int to ndarray
        From `slice_needs`.
    axis : int
        The axis across which the slices are viewed.
    spacing : sequence of float
        Voxel size along (z, y, x) in mm.
    seen : collection of int
        Slices along this axis that were looked at or marked as done: they and their near neighbours
        are left out.
    most : int or None
        Length of the list; None lists all.
    apart_mm : float
        Least distance between two listed slices; adjacent slices are never both listed.

    Returns
    -------
    list of SliceNeed
        Slices in which nothing is doubtful are not among them.
    """
    scores = np.asarray(needs[axis], float)
    positions = np.arange(len(scores))
    apart = max(1.0, apart_mm / float(spacing[axis]))
    free = scores > 0
    for index in seen:
        free &= np.abs(positions - index) > apart
    found: list[SliceNeed] = []
    # stable, so that of equal slices the first comes first
    for index in np.argsort(-scores, kind="stable").tolist():
        if most is not None and len(found) >= most:
            break
        if free[index]:
            found.append(SliceNeed(axis, index, float(scores[index])))
            free &= np.abs(positions - index) > apart
    return found


def next_worst_slice(
    needs: Mapping[int, np.ndarray],
    axis: int,
    spacing: Sequence[float],
    seen: Collection[int] = (),
) -> SliceNeed | None:
    """Return the neediest slice away from those seen already; None where none is left."""
    ranked = rank_slices(needs, axis, spacing, seen=seen, most=1)
    return ranked[0] if ranked else None
