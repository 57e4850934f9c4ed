"""Strokes: what a person painted, as the boxes of a label that it changed.

A stroke changes thousands of the voxels of a label that has a hundred million, so strokes are kept,
sent to the disk and laid over labels without a copy of the label that they were painted in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[slice, ...]
"""A part of an array, with a slice from start to stop along each axis."""


@dataclass(frozen=True, eq=False)
class PaintedBox:
    """What a stroke changed.

    Attributes
    ----------
    box : tuple of slice
        Where (z, y, x) it lies in the label.
    before, after : ndarray, of the shape of the box
        Class values before and after; a voxel where both are alike was not painted.
    """

    box: Box
    before: np.ndarray
    after: np.ndarray

    @property
    def painted(self) -> np.ndarray:
        """Which voxels of the box were painted, bool."""
        painted: np.ndarray = self.before != self.after
        return painted


def lay_over(label: np.ndarray, strokes: Sequence[PaintedBox]) -> np.ndarray:
    """Return a copy of a label with strokes painted in it, the first one first.

    Parameters
    ----------
    label : ndarray, shape (z, y, x)
        Not always the one that they were painted in. A voxel that was painted and then given back its
        value of before stays as it is in this label.
    strokes : sequence of PaintedBox
        Boxes inside the label.
    """
    after = label.copy()
    if len(strokes) == 1:  # the usual case, in which no voxel is given back its value
        _put(after, strokes[0], strokes[0].after)
        return after
    for stroke in reversed(strokes):
        _put(after, stroke, stroke.before)
    before = after.copy()
    for stroke in strokes:
        _put(after, stroke, stroke.after)
    return np.where(before == after, label, after)


def _put(label: np.ndarray, stroke: PaintedBox, values: np.ndarray) -> None:
    np.copyto(label[stroke.box], values, where=stroke.painted, casting="same_kind")
