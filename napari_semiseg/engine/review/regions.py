"""The regions of an answer that can be accepted one by one, and what becomes of accepted voxels.

A region is a connected component of one class, or of the part of it that is certain enough. Accepting
writes its voxels into the label where no person has drawn, and a provenance map beside the label keeps
who said what of each voxel: a person, or which run. Pure functions on arrays, for any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_semiseg.engine.volumes import Geometry

NOBODY, HUMAN, FIRST_RUN = 0, 1, 2
"""Codes of a provenance map; `FIRST_RUN` + i is the i-th of the runs that are named beside it."""

MOST_RUNS = 256 - FIRST_RUN

_CONNECTED = np.ones((3, 3, 3), bool)

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Region:
    """A connected part of an answer.

    Attributes
    ----------
    number : int
        Its value in `Regions.numbers`, from 1.
    class_value : int
        Its class.
    component : int
        Its rank by size within its class, from 1.
    size_ml : float
        Volume.
    certainty : float or None
        Mean of 1 − uncertainty, 0…1; None without an uncertainty map.
    box : tuple of slice
        Smallest box (z, y, x) that holds it.
    """

    number: int
    class_value: int
    component: int
    size_ml: float
    certainty: float | None
    box: Box

    @property
    def centre(self) -> tuple[int, int, int]:
        """Middle voxel (z, y, x) of the box, to move the view to."""
        z, y, x = ((part.start + part.stop - 1) // 2 for part in self.box)
        return z, y, x


@dataclass(frozen=True, eq=False)
class Regions:
    """All regions of an answer.

    Attributes
    ----------
    numbers : ndarray of int32, shape (z, y, x)
        Number of the region that each voxel is in; 0 in none.
    table : tuple of Region
        By class value, then the largest first.
    """

    numbers: np.ndarray
    table: tuple[Region, ...]

    def mask(self, chosen: Iterable[int]) -> np.ndarray:
        """Return which voxels lie in one of the regions with these numbers, (z, y, x) bool."""
        wanted = np.zeros(len(self.table) + 1, bool)
        wanted[list(chosen)] = True
        wanted[0] = False
        return wanted[self.numbers]

    def at(self, position: tuple[int, int, int]) -> Region | None:
        """Return the region at a voxel (z, y, x); None where there is none."""
        number = int(self.numbers[position])
        return next((region for region in self.table if region.number == number), None)


def find_regions(
    prediction: np.ndarray,
    geometry: Geometry,
    class_values: Iterable[int],
    *,
    uncertainty: np.ndarray | None = None,
    least_certainty: float = 0.0,
    smallest_ml: float = 0.0,
) -> Regions:
    """List the connected regions of an answer that are certain enough.

    Parameters
    ----------
    prediction : ndarray of int, shape (z, y, x)
        Predicted class values.
    geometry : Geometry
        Grid of the scan.
    class_values : iterable of int
        The classes to look at; voxels that touch at a corner are connected.
    uncertainty : ndarray or None
        (z, y, x) in 0…1; certainty is 1 − uncertainty.
    least_certainty : float
        Voxels below this certainty are in no region, 0…1.
    smallest_ml : float
        Smaller regions are left out.

    Returns
    -------
    Regions

    Raises
    ------
    ValueError
        A certainty is asked for and there is no uncertainty map.
    """
    if least_certainty > 0 and uncertainty is None:
        raise ValueError("regions of a certainty want an uncertainty map")
    numbers = np.zeros(prediction.shape, np.int32)
    table: list[Region] = []
    boxes = ndimage.find_objects(prediction)
    for value in sorted(class_values):
        box = boxes[value - 1] if value <= len(boxes) else None
        if box is None:
            continue
        mask = prediction[box] == value
        doubt = None if uncertainty is None else uncertainty[box]
        if doubt is not None and least_certainty > 0:
            mask &= 1.0 - doubt >= least_certainty
        components, described = _components(mask, doubt)
        kept = np.zeros(len(described) + 1, np.int32)
        for rank, part in enumerate(described, start=1):
            size_ml = part.voxels * geometry.voxel_volume_ml
            if size_ml < smallest_ml:
                break
            kept[part.component] = number = len(table) + 1
            place = _inside(part.box, box)
            table.append(Region(number, value, rank, size_ml, part.certainty, place))
        numbers[box] += kept[components]
    return Regions(numbers, tuple(table))


@dataclass(frozen=True)
class _Component:
    component: int
    voxels: int
    certainty: float | None
    box: Box


def _components(
    mask: np.ndarray, uncertainty: np.ndarray | None
) -> tuple[np.ndarray, list[_Component]]:
    """Find the connected components of a mask and describe them, the largest first."""
    components, count = ndimage.label(mask, structure=_CONNECTED)
    flat = components.ravel()
    sizes = np.bincount(flat, minlength=count + 1)
    certainties: list[float | None] = [None] * (count + 1)
    if uncertainty is not None:
        sums = np.bincount(flat, weights=uncertainty.ravel(), minlength=count + 1)
        certainties = (1.0 - sums / np.maximum(sizes, 1)).tolist()
    boxes = ndimage.find_objects(components)
    order = np.argsort(-sizes[1:], kind="stable") + 1
    return components, [
        _Component(int(each), int(sizes[each]), certainties[each], boxes[each - 1])
        for each in order
    ]


def _inside(box: Box, outer: Box) -> Box:
    """Return a box that is given within another one by its place in the whole."""
    z, y, x = (
        slice(around.start + part.start, around.start + part.stop)
        for part, around in zip(box, outer, strict=True)
    )
    return z, y, x


@dataclass(frozen=True, eq=False)
class Provenance:
    """Who said what of each voxel of a label.

    Attributes
    ----------
    codes : ndarray of uint8, shape (z, y, x)
        0 nobody, 1 a person, 2 + i accepted from ``runs[i]``.
    runs : tuple of str
        Identifiers of the runs, in the order in which something was first accepted from them.
    """

    codes: np.ndarray
    runs: tuple[str, ...] = ()

    def voxels_by_source(self) -> dict[str, int]:
        """Return the number of voxels that come from ``"human"`` and from each run."""
        counts = np.bincount(self.codes.ravel(), minlength=FIRST_RUN + len(self.runs))
        names = ("human", *self.runs)
        return dict(zip(names, counts[HUMAN:].tolist(), strict=True))


def human_provenance(label: np.ndarray, looked_at: np.ndarray | bool = False) -> Provenance:
    """Return the provenance of a label that a person drew.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        Class values.
    looked_at : ndarray of bool or bool
        Voxels (z, y, x) whose background, too, is the word of a person: those of slices marked as
        done; True for a finished label. Elsewhere background only means that nobody has drawn.
    """
    return Provenance(np.where((label != 0) | looked_at, HUMAN, NOBODY).astype(np.uint8))


def merge_accepted(
    label: np.ndarray,
    prediction: np.ndarray,
    mask: np.ndarray,
    provenance: Provenance,
    run: str,
) -> tuple[np.ndarray, Provenance]:
    """Accept a part of a prediction into a label; what a person said of a voxel is never changed.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        The label as it is; left as it is.
    prediction : ndarray of int, shape (z, y, x)
        Predicted class values; accepting background says that nothing is there.
    mask : ndarray of bool, shape (z, y, x)
        The voxels to accept.
    provenance : Provenance
        Of the label; left as it is.
    run : str
        Identifier of the run that predicted; what was accepted from another run before gives way.

    Returns
    -------
    label : ndarray, shape (z, y, x)
        The new label, in the dtype of the old one.
    provenance : Provenance
        The new provenance.

    Raises
    ------
    ValueError
        The shapes differ, or the label holds voxels of 254 runs already.
    """
    shapes = {label.shape, prediction.shape, mask.shape, provenance.codes.shape}
    if len(shapes) != 1:
        raise ValueError(f"label, prediction, mask and provenance differ in shape: {shapes}")
    runs = provenance.runs if run in provenance.runs else (*provenance.runs, run)
    if len(runs) > MOST_RUNS:
        raise ValueError(f"a label keeps the voxels of at most {MOST_RUNS} runs apart")
    taken = mask & (provenance.codes != HUMAN)
    if not taken.any():
        return label.copy(), Provenance(provenance.codes.copy(), provenance.runs)
    merged = np.where(taken, prediction, label).astype(label.dtype)
    code = np.uint8(FIRST_RUN + runs.index(run))
    return merged, Provenance(np.where(taken, code, provenance.codes), runs)


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
    return Provenance(codes, provenance.runs)


def withdraw_run(
    label: np.ndarray, provenance: Provenance, runs: Collection[str]
) -> tuple[np.ndarray, Provenance]:
    """Take back everything that was accepted from some runs; nobody has said anything there again.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        Class values; left as it is.
    provenance : Provenance
        Of the label; left as it is.
    runs : collection of str
        Identifiers of runs that turned out to be bad.
    """
    codes = [FIRST_RUN + index for index, run in enumerate(provenance.runs) if run in runs]
    gone = np.isin(provenance.codes, codes)
    kept = Provenance(np.where(gone, np.uint8(NOBODY), provenance.codes), provenance.runs)
    return np.where(gone, 0, label).astype(label.dtype), kept
