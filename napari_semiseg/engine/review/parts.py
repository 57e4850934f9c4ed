"""The parts of an answer that can be accepted or rejected one by one.

A part is a connected component of one class, or of what of it is certain enough and nobody has
decided on yet. What a decision makes of its voxels is up to the study
(`napari_semiseg.engine.study.labels.part_decisions`). Pure functions on arrays, for any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when used, so the desk opens sooner

from napari_semiseg.engine.volumes import Geometry

_CONNECTED = np.ones((3, 3, 3), bool)

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Part:
    """A connected part of an answer.

    Attributes
    ----------
    number : int
        Its value in `FoundParts.numbers`, from 1.
    class_value : int
        Its class; 0 for background.
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
        z, y, x = ((side.start + side.stop - 1) // 2 for side in self.box)
        return z, y, x


@dataclass(frozen=True, eq=False)
class FoundParts:
    """All parts of an answer.

    Attributes
    ----------
    numbers : ndarray of int32, shape (z, y, x)
        Number of the part that each voxel is in; 0 in none.
    table : tuple of Part
        By class value, then the largest first.
    """

    numbers: np.ndarray
    table: tuple[Part, ...]

    def mask(self, chosen: Iterable[int]) -> np.ndarray:
        """Return which voxels lie in one of the parts with these numbers, (z, y, x) bool."""
        wanted = np.zeros(len(self.table) + 1, bool)
        wanted[list(chosen)] = True
        wanted[0] = False
        mask: np.ndarray = wanted[self.numbers]
        return mask

    def at(self, position: tuple[int, int, int]) -> Part | None:
        """Return the part at a voxel (z, y, x); None where there is none or outside."""
        inside = all(0 <= at < size for at, size in zip(position, self.numbers.shape, strict=True))
        number = int(self.numbers[position]) if inside else 0
        return self.table[number - 1] if number else None

    def touching(self, label: np.ndarray) -> frozenset[int]:
        """Return the numbers of the parts beside, or on, what a label marks.

        Parameters
        ----------
        label : ndarray of int, shape (z, y, x)
            Class values; 0 marks nothing.
        """
        if not label.any():
            return frozenset()
        beside = scipy.ndimage.binary_dilation(label != 0, structure=_CONNECTED)
        return frozenset(np.unique(self.numbers[beside]).tolist()) - {0}


def connected_parts(
    prediction: np.ndarray,
    geometry: Geometry,
    class_values: Iterable[int],
    *,
    uncertainty: np.ndarray | None = None,
    least_certainty: float = 0.0,
    smallest_ml: float = 0.0,
    among: np.ndarray | None = None,
) -> FoundParts:
    """List the connected parts of an answer that are certain enough.

    Parameters
    ----------
    prediction : ndarray of int, shape (z, y, x)
        Predicted class values.
    class_values : iterable of int
        The classes to look at, 0 being background; voxels that touch at a corner are connected.
    uncertainty : ndarray or None
        (z, y, x) in 0…1; certainty is 1 − uncertainty.
    least_certainty : float
        Voxels below this certainty are in no part, 0…1.
    among : ndarray of bool or None
        (z, y, x) voxels to look at, such as those that nobody has decided on; None takes all.

    Raises
    ------
    ValueError
        A certainty is asked for and there is no uncertainty map.
    """
    if least_certainty > 0 and uncertainty is None:
        raise ValueError("parts of a certainty want an uncertainty map")
    numbers = np.zeros(prediction.shape, np.int32)
    table: list[Part] = []
    boxes = scipy.ndimage.find_objects(prediction)
    for value in sorted(class_values):
        box = _box_of(value, boxes, prediction.shape)
        if box is None:
            continue
        mask = prediction[box] == value
        if among is not None:
            mask &= among[box]
        doubt = None if uncertainty is None else uncertainty[box]
        if doubt is not None and least_certainty > 0:
            mask &= 1.0 - doubt >= least_certainty
        components, described = _components(mask, doubt)
        kept = np.zeros(len(described) + 1, np.int32)
        for rank, found in enumerate(described, start=1):
            size_ml = found.voxels * geometry.voxel_volume_ml
            if size_ml < smallest_ml:
                break
            kept[found.component] = number = len(table) + 1
            place = _inside(found.box, box)
            table.append(Part(number, value, rank, size_ml, found.certainty, place))
        numbers[box] += kept[components]
    return FoundParts(numbers, tuple(table))


def _box_of(value: int, boxes: list[Box | None], shape: tuple[int, ...]) -> Box | None:
    """Return the box of a class; the whole scan for background."""
    if value == 0:
        z, y, x = (slice(0, size) for size in shape)
        return z, y, x
    return boxes[value - 1] if value <= len(boxes) else None


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
    components, count = scipy.ndimage.label(mask, structure=_CONNECTED)
    flat = components.ravel()
    sizes = np.bincount(flat, minlength=count + 1)
    certainties: list[float | None] = [None] * (count + 1)
    if uncertainty is not None:
        sums = np.bincount(flat, weights=uncertainty.ravel(), minlength=count + 1)
        certainties = (1.0 - sums / np.maximum(sizes, 1)).tolist()
    boxes = scipy.ndimage.find_objects(components)
    order = np.argsort(-sizes[1:], kind="stable") + 1
    return components, [
        _Component(int(each), int(sizes[each]), certainties[each], boxes[each - 1])
        for each in order
    ]


def _inside(box: Box, outer: Box) -> Box:
    """Return a box that is given within another one by its place in the whole."""
    z, y, x = (
        slice(around.start + side.start, around.start + side.stop)
        for side, around in zip(box, outer, strict=True)
    )
    return z, y, x
