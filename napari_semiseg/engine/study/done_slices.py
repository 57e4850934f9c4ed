"""What of a label counts: the slices that a person marked as done, and the voxels that are decided.

A label without marks is complete. As soon as one slice is marked, only marked slices count: a voxel
of any other slice is neither a class nor background, and training must not learn from it. A label made
of accepted parts of a prediction counts, besides, where its provenance says that a voxel is decided.
Marks are stored as JSON beside each version of a label, so that restoring a label restores its marks.
Plain values, used on any thread.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from napari_semiseg.engine.errors import StudyError

NOT_ANNOTATED = 255
"""Value of voxels that nobody has looked at, in the labels that training learns from."""

AXES = ("z", "y", "x")

FORMAT = 1
"""Of marks of slices alone; raise both formats when the meaning of the stored JSON changes."""

DECIDED_FORMAT = 2
"""Of marks with decided voxels, which programs that know slices only must refuse to train with."""


@dataclass(frozen=True)
class DoneSlices:
    """Slices that a person has marked as done, and whether decided voxels count outside them.

    Attributes
    ----------
    along : tuple of frozenset of int
        The indices of the marked slices along z, y and x; at least one index in all, unless decided
        voxels count.
    decided : str or None
        SHA-256 of the codes of the provenance whose decided voxels count, too; None where slices
        alone do.

    Raises
    ------
    ValueError
        There are not three axes, nothing counts at all, or an index is negative.
    """

    NONE_ALONG: ClassVar = (frozenset[int](), frozenset[int](), frozenset[int]())

    along: tuple[frozenset[int], frozenset[int], frozenset[int]]
    decided: str | None = None

    def __post_init__(self) -> None:
        if len(self.along) != len(AXES) or not (any(self.along) or self.decided):
            raise ValueError(f"done slices want indices along z, y and x, not {self.along}")
        if min((index for indices in self.along for index in indices), default=0) < 0:
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

    def hide_the_rest(self, label: np.ndarray, decided: np.ndarray | bool = False) -> np.ndarray:
        """Return a label with `NOT_ANNOTATED` wherever nobody has looked.

        Parameters
        ----------
        label : ndarray of uint8, shape (z, y, x)
            Class values; left as it is.
        decided : ndarray of bool or bool
            Voxels (z, y, x) that count outside the marked slices.
        """
        return np.where(self.mask(label.shape) | decided, label, np.uint8(NOT_ANNOTATED))

    def to_json(self) -> str:
        """Return the text that `read_done_slices` reads."""
        record: dict[str, object] = {"format": FORMAT}
        if self.decided is not None:
            record = {"format": DECIDED_FORMAT, "decided": self.decided}
        record |= {axis: sorted(self.along[index]) for index, axis in enumerate(AXES)}
        return json.dumps(record, sort_keys=True)

    def __str__(self) -> str:
        named = zip(AXES, self.along, strict=True)
        parts = [
            f"{axis} {', '.join(map(str, sorted(indices)))}" for axis, indices in named if indices
        ]
        return "; ".join(parts if self.decided is None else [*parts, "decided voxels"])


def read_done_slices(text: str | None) -> DoneSlices | None:
    """Return the marks that `DoneSlices.to_json` wrote; None for a complete label.

    Raises
    ------
    StudyError
        A newer version of the program wrote them: reading them wrongly would train on voxels that
        nobody has looked at.
    """
    if text is None:
        return None
    record = json.loads(text)
    if record.get("format") not in (FORMAT, DECIDED_FORMAT):
        raise StudyError(
            "The marks of finished slices were written by a newer version of napari-semiseg: "
            "update napari-semiseg."
        )
    z, y, x = (frozenset(map(int, record.get(axis, ()))) for axis in AXES)
    return DoneSlices((z, y, x), record.get("decided"))


def with_marks(
    former: DoneSlices | None, axis: int, indices: Iterable[int], done: bool
) -> DoneSlices | None:
    """Return marks after some slices were marked, or their marks taken away.

    Parameters
    ----------
    axis : int
        0, 1 or 2 for slices along z, y or x.
    done : bool
        Whether they are done from now on.

    Returns
    -------
    DoneSlices or None
        None where no mark is left; the label then counts as complete. Where decided voxels count,
        they still do.
    """
    along = [set(), set(), set()] if former is None else [set(there) for there in former.along]
    along[axis] = along[axis] | set(indices) if done else along[axis] - set(indices)
    z, y, x = map(frozenset, along)
    decided = None if former is None else former.decided
    return DoneSlices((z, y, x), decided) if any(along) or decided else None
