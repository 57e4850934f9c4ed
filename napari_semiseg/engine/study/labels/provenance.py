"""Where each voxel of a label comes from: a person, or the run whose prediction a person accepted.

A provenance is a map of codes beside every version of a label. What a person said of a voxel is never
changed by a prediction, and painting over what was accepted makes it a person's. Pure values and
functions on arrays, on any thread; the label store keeps them and the labelling rules make them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NOBODY, HUMAN, FIRST_RUN = 0, 1, 2
"""Codes of a provenance; `FIRST_RUN` + i is the i-th of the runs that are named beside it."""

UNKNOWN = 254
"""Code of what a label held before provenance was kept, or what was accepted without naming a run."""

REJECTED = 255
"""Code of a part of a prediction that a person rejected: it is not that, and nobody said what it is."""

MOST_RUNS = UNKNOWN - FIRST_RUN

_CODES = 256


@dataclass(frozen=True, eq=False)
class Provenance:
    """Who said what of each voxel of a label.

    The code 0 means that nobody has said anything of this very voxel. In a complete label such a voxel
    is background, because a person finished the label and let it stand; in a label that holds in part
    only (`DoneSlices`) it is not annotated, and training learns nothing from it.

    Attributes
    ----------
    codes : ndarray of uint8, shape (z, y, x)
        0 nobody, 1 a person, 2 + i accepted from ``runs[i]``, 254 unknown, 255 rejected.
    runs : tuple of str
        Identifiers of the runs, in the order in which something was first accepted from them.
    rejected_run : str or None
        The run whose prediction was rejected where the code is 255; another run may be right there.
    """

    codes: np.ndarray
    runs: tuple[str, ...] = ()
    rejected_run: str | None = None

    @property
    def decided(self) -> np.ndarray:
        """Voxels (z, y, x) of which it is known what they are, background included; bool."""
        return ~np.isin(self.codes, (NOBODY, REJECTED))

    def open_to(self, run: str) -> np.ndarray:
        """Return the voxels (z, y, x) that can still be accepted from a run or rejected, bool."""
        open_codes = (NOBODY,) if self.rejected_run == run else (NOBODY, REJECTED)
        return np.isin(self.codes, open_codes)

    def voxels_by_class(self, label: np.ndarray) -> dict[int, dict[str, int]]:
        """Count where the voxels of each class come from.

        Parameters
        ----------
        label : ndarray of uint8, shape (z, y, x)
            Class values of the label that this is the provenance of.

        Returns
        -------
        dict of int to dict of str to int
            By class value, rising, without background: the number of voxels by source, which is
            ``"human"``, the identifier of a run, or ``"unknown"``; sources without voxels are left out.
        """
        counts = np.zeros(_CODES * _CODES, np.int64)
        for plane, codes in zip(label, self.codes, strict=True):
            # slice by slice: pairs for the whole label at once would take eight times its memory
            pairs = plane.astype(np.intp).ravel() * _CODES + codes.ravel()
            counts += np.bincount(pairs, minlength=_CODES * _CODES)
        table = counts.reshape(_CODES, _CODES)
        return {
            int(value): {
                self._source(int(code)): int(table[value, code])
                for code in np.flatnonzero(table[value])
            }
            for value in np.flatnonzero(table.sum(axis=1))
            if value
        }

    def _source(self, code: int) -> str:
        if code == HUMAN:
            return "human"
        index = code - FIRST_RUN
        return self.runs[index] if 0 <= index < len(self.runs) else "unknown"

    def to_attributes(self) -> dict[str, object]:
        """Return what is kept beside the codes, ready for JSON."""
        return {"runs": list(self.runs), "rejected_run": self.rejected_run}

    @classmethod
    def from_attributes(cls, codes: np.ndarray, attributes: Mapping[str, object]) -> Provenance:
        """Return what `to_attributes` described; the codes are not copied."""
        runs, rejected = attributes.get("runs"), attributes.get("rejected_run")
        named = runs if isinstance(runs, Sequence) else ()
        return cls(codes, tuple(map(str, named)), None if rejected is None else str(rejected))


def human_provenance(label: np.ndarray) -> Provenance:
    """Return the provenance of a label (z, y, x) that a person drew where nothing was before."""
    return Provenance((label != 0).astype(np.uint8) * np.uint8(HUMAN))


def unknown_provenance(label: np.ndarray) -> Provenance:
    """Return the provenance of a label (z, y, x) that was saved before provenance was kept."""
    return Provenance((label != 0).astype(np.uint8) * np.uint8(UNKNOWN))


def accepted_provenance(label: np.ndarray, run: str | None) -> Provenance:
    """Return the provenance of a prediction that was accepted as a whole, background included.

    Parameters
    ----------
    label : ndarray of uint8, shape (z, y, x)
        What was accepted.
    run : str or None
        Identifier of the run that predicted; None where it is not known.
    """
    if run is None:
        return Provenance(np.full(label.shape, UNKNOWN, np.uint8))
    return Provenance(np.full(label.shape, FIRST_RUN, np.uint8), (run,))


def started_provenance(label: np.ndarray, run: str) -> Provenance:
    """Return the provenance of a prediction (z, y, x) that a person takes as the start of a label.

    Its background is nobody's: the person who corrects the label has the say in it.
    """
    return Provenance((label != 0).astype(np.uint8) * np.uint8(FIRST_RUN), (run,))


def note_edits(before: np.ndarray, after: np.ndarray, provenance: Provenance) -> Provenance:
    """Return the provenance after a person edited a label: every changed voxel is theirs.

    Parameters
    ----------
    before, after : ndarray of int, shape (z, y, x)
        The label before and after; a voxel that was erased is a person's background.
    provenance : Provenance
        Of the label before; left as it is.
    """
    codes = np.where(before != after, np.uint8(HUMAN), provenance.codes)
    return Provenance(codes, provenance.runs, provenance.rejected_run)


def merge_accepted(
    label: np.ndarray, prediction: np.ndarray, taken: np.ndarray, provenance: Provenance, run: str
) -> tuple[np.ndarray, Provenance]:
    """Accept a part of a prediction into a label; what a person said of a voxel is never changed.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        The label as it is; left as it is.
    prediction : ndarray of int, shape (z, y, x)
        Predicted class values; accepting background says that nothing is there.
    taken : ndarray of bool, shape (z, y, x)
        The voxels to accept; those that are not open to the run stay as they are.
    provenance : Provenance
        Of the label; left as it is.

    Returns
    -------
    label : ndarray, shape (z, y, x)
        The new label, in the dtype of the old one.
    provenance : Provenance
        The new provenance.

    Raises
    ------
    ValueError
        The shapes differ, or the label holds voxels of 252 runs already.
    """
    shapes = {label.shape, prediction.shape, taken.shape, provenance.codes.shape}
    if len(shapes) != 1:
        raise ValueError(f"label, prediction, mask and provenance differ in shape: {shapes}")
    taken = taken & provenance.open_to(run)
    if not taken.any():
        return label.copy(), provenance
    runs = provenance.runs if run in provenance.runs else (*provenance.runs, run)
    if len(runs) > MOST_RUNS:
        raise ValueError(f"a label keeps the voxels of at most {MOST_RUNS} runs apart")
    merged = np.where(taken, prediction, label).astype(label.dtype)
    code = np.uint8(FIRST_RUN + runs.index(run))
    codes = np.where(taken, code, provenance.codes)
    return merged, Provenance(codes, runs, provenance.rejected_run)


def note_rejection(rejected: np.ndarray, provenance: Provenance, run: str) -> Provenance:
    """Return the provenance after a person rejected a part of a prediction.

    Parameters
    ----------
    rejected : ndarray of bool, shape (z, y, x)
        The part; voxels that are decided stay so.
    provenance : Provenance
        Of the label; left as it is.
    run : str
        Identifier of the run that predicted; what was rejected of another run is open again.
    """
    former = provenance.codes
    if provenance.rejected_run != run:
        former = np.where(former == REJECTED, np.uint8(NOBODY), former)
    codes = np.where(rejected & (former == NOBODY), np.uint8(REJECTED), former)
    return Provenance(codes, provenance.runs, run)
