"""The slices of a label that a person has marked as done; what lies outside was never looked at.

A label without marks is complete. As soon as one slice is marked, only marked slices count: a voxel
of any other slice is neither a class nor background, and training must not learn from it. Marks are
stored as JSON beside each version of a label, so that restoring a label restores its marks. Plain
values, used on any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.errors import StudyError

NOT_ANNOTATED = 255
"""Value of voxels that nobody has looked at, in the labels that training learns from."""

AXES = ("z", "y", "x")

FORMAT = 1
"""Raise when the meaning of the stored JSON changes."""


@dataclass(frozen=True)
class DoneSlices:
    """Slices that a person has marked as done.

    Attributes
    ----------
    along : tuple of frozenset of int
        The indices of the marked slices along z, y and x; at least one index in all.

    Raises
    ------
    ValueError
        There are not three axes, no slice at all, or a negative index.
    """

    along: tuple[frozenset[int], frozenset[int], frozenset[int]]

    def __post_init__(self) -> None:
        if len(self.along) != len(AXES) or not any(self.along):
            raise ValueError(f"done slices want indices along z, y and x, not {self.along}")
        if min(index for indices in self.along for index in indices) < 0:
            raise ValueError(f"slices are counted from 0: {self.along}")

    @property
    def count(self) -> int:
        """Number of marked slices along all axes together."""
        return sum(map(len, self.along))

    def mask(self, shape: tuple[int, int, int]) -> np.ndarray:
        """Return which voxels lie in a marked slice.

        Parameters
        ----------
        shape : tuple of int
            Voxels along (z, y, x).

        Returns
        -------
        ndarray of bool, shape (z, y, x)
            True where a person has looked.
        """
        annotated = np.zeros(shape, bool)
        for axis, indices in enumerate(self.along):
            np.moveaxis(annotated, axis, 0)[sorted(indices)] = True
        return annotated

    def hide_the_rest(self, label: np.ndarray) -> np.ndarray:
        """Return a label with `NOT_ANNOTATED` wherever nobody has looked.

        Parameters
        ----------
        label : ndarray of uint8, shape (z, y, x)
            Class values; left as it is.
        """
        return np.where(self.mask(label.shape), label, np.uint8(NOT_ANNOTATED))

    def to_json(self) -> str:
        """Return the text that `read_done_slices` reads."""
        record: dict[str, object] = {"format": FORMAT}
        record |= {axis: sorted(self.along[index]) for index, axis in enumerate(AXES)}
        return json.dumps(record, sort_keys=True)

    def __str__(self) -> str:
        named = zip(AXES, self.along, strict=True)
        return "; ".join(
            f"{axis} {', '.join(map(str, sorted(indices)))}" for axis, indices in named if indices
        )


def read_done_slices(text: str | None) -> DoneSlices | None:
    """Return the marks that `DoneSlices.to_json` wrote; None for a complete label.

    Parameters
    ----------
    text : str or None
        What is stored beside the label.

    Raises
    ------
    StudyError
        A newer version of the program wrote them: reading them wrongly would train on voxels that
        nobody has looked at.
    """
    if text is None:
        return None
    record = json.loads(text)
    if record.get("format") != FORMAT:
        raise StudyError(
            "The marks of finished slices were written by a newer version of napari-semiseg: "
            "update napari-semiseg."
        )
    z, y, x = (frozenset(map(int, record[axis])) for axis in AXES)
    return DoneSlices((z, y, x))


def with_marks(
    former: DoneSlices | None, axis: int, indices: Iterable[int], done: bool
) -> DoneSlices | None:
    """Return marks after some slices were marked, or their marks taken away.

    Parameters
    ----------
    former : DoneSlices or None
        The marks of before.
    axis : int
        0, 1 or 2 for slices along z, y or x.
    indices : iterable of int
        The slices.
    done : bool
        Whether they are done from now on.

    Returns
    -------
    DoneSlices or None
        None where no mark is left; the label then counts as complete.
    """
    along = [set(), set(), set()] if former is None else [set(there) for there in former.along]
    along[axis] = along[axis] | set(indices) if done else along[axis] - set(indices)
    z, y, x = map(frozenset, along)
    return DoneSlices((z, y, x)) if any(along) else None
