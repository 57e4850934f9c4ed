"""Edits of a whole label at once: between slices, of the largest component, of holes, by intensity.

Each edit is computed without changing the label and comes as the voxels that it would change, so
that it can be looked at, applied, and taken back in one step. Pure functions on arrays (z, y, x),
for any thread; all heavy work is in compiled code that lets other threads run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import edt
import numpy as np
import scipy  # its parts load when used, so the desk opens sooner

BACKGROUND = 0


@dataclass(frozen=True, eq=False)
class LabelEdit:
    """The voxels that an edit changes.

    Attributes
    ----------
    positions : tuple of ndarray of int
        Indices along z, y and x, each of the shape (n,).
    before, after : ndarray, shape (n,)
        Values of these voxels in the label, and with the edit; they differ everywhere.
    """

    positions: tuple[np.ndarray, ...]
    before: np.ndarray
    after: np.ndarray

    def __len__(self) -> int:
        return len(self.after)

    def apply(self, label: np.ndarray) -> None:
        """Write the edit into a label, in place."""
        label[self.positions] = self.after

    def revert(self, label: np.ndarray) -> None:
        """Take the edit back, in place."""
        label[self.positions] = self.before

    def still_fitting(self, label: np.ndarray) -> LabelEdit:
        """Return the part of the edit whose voxels still have the value that it was made for.

        Parameters
        ----------
        label : ndarray, shape (z, y, x)
            The label as it is by now; whatever was painted meanwhile stays.
        """
        fits = label[self.positions] == self.before
        kept = tuple(indices[fits] for indices in self.positions)
        return LabelEdit(kept, self.before[fits], self.after[fits])


def interpolate_between_slices(
    label: np.ndarray,
    class_value: int,
    axis: int,
    spacing: Sequence[float],
    *,
    finished: Collection[int] = (),
    overwrite: bool = False,
) -> LabelEdit:
    """Fill the slices between those that hold a class, by its signed distances.

    The distance to the outline, negative inside, changes linearly from one painted slice to the next
    (shape-based interpolation). Where two outlines do not overlap, they travel along the line between
    their centres. Voxels are added and never taken away; nothing is added beyond the first and last
    painted slices.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        Class values; left as it is.
    axis : int
        0, 1 or 2: the slices lie along z, y or x.
    spacing : sequence of float
        Voxel size along (z, y, x) in mm; the two within the slices count.
    finished : collection of int
        Slices that stay as they are. One without the class ends the structure: nothing is added in
        the whole gap that it lies in.
    overwrite : bool
        Whether voxels of other classes may change, too.

    Returns
    -------
    LabelEdit
        Empty where there is no gap to fill.
    """
    slices = np.moveaxis(label, axis, 0)
    in_plane = tuple(float(size) for index, size in enumerate(spacing) if index != axis)
    filled = np.zeros(slices.shape, bool)
    holding = np.flatnonzero((slices == class_value).any(axis=(1, 2)))
    for first, last in pairwise(holding.tolist()):
        if last - first < 2 or any(first < index < last for index in finished):
            continue
        ends = slices[first] == class_value, slices[last] == class_value
        between = _between(*ends, last - first, in_plane)
        for index, mask in enumerate(between, start=first + 1):
            filled[index] = mask
    return _painted(label, np.moveaxis(filled, 0, axis), class_value, overwrite)


def keep_largest_component(label: np.ndarray, class_value: int) -> LabelEdit:
    """Turn all but the largest connected component of a class into background.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        Class values; left as it is.
    class_value : int
        The class; its voxels are connected through faces, edges and corners.

    Returns
    -------
    LabelEdit
        Empty where the class has at most one component.
    """
    box = _box_of(label, class_value)
    if box is None:
        return _edit(label, np.zeros(label.shape, bool), BACKGROUND)
    everywhere = np.ones((3,) * label.ndim, bool)
    components, count = scipy.ndimage.label(label[box] == class_value, structure=everywhere)
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    largest = 1 + int(np.argmax(sizes[1:]))
    removed = np.zeros(label.shape, bool)
    removed[box] = (components != 0) & (components != largest)
    return _edit(label, removed, BACKGROUND)


def fill_holes(
    label: np.ndarray, class_value: int, axis: int | None = None, *, overwrite: bool = False
) -> LabelEdit:
    """Give a class the holes that it encloses.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        Class values; left as it is.
    axis : int or None
        Fill what is enclosed within each slice along z, y or x (0, 1 or 2); None fills what is
        enclosed in 3D.
    overwrite : bool
        Whether voxels of other classes in the holes may change, too.

    Returns
    -------
    LabelEdit
        Empty where there are no holes.
    """
    holes = np.zeros(label.shape, bool)
    box = _box_of(label, class_value)
    if box is not None:
        mask = label[box] == class_value
        # connected through faces only, and not to the slices before and after
        neighbours = scipy.ndimage.generate_binary_structure(label.ndim, 1)
        if axis is not None:
            np.moveaxis(neighbours, axis, 0)[[0, 2]] = False
        holes[box] = scipy.ndimage.binary_fill_holes(_with_margin(mask), neighbours)[_INNER] & ~mask
    return _painted(label, holes, class_value, overwrite)


def limit_to_window(
    before: np.ndarray, after: np.ndarray, intensities: np.ndarray, lowest: float, highest: float
) -> LabelEdit:
    """Take a stroke back wherever the scan is darker or brighter than a window.

    Parameters
    ----------
    before, after : ndarray of int, shape (z, y, x)
        The label, or a part of it, before and after the stroke; left as they are.
    intensities : ndarray, shape (z, y, x)
        The scan at the same voxels.
    lowest, highest : float
        The window, in the units of the scan; both ends belong to it.

    Returns
    -------
    LabelEdit
        For ``after``: the voxels outside the window get their values from ``before``.
    """
    changed = before != after
    outside = np.zeros(changed.shape, bool)
    values = intensities[changed]
    outside[changed] = ~((values >= lowest) & (values <= highest))
    return _edit(after, outside, before[outside])


_INNER = (slice(1, -1),) * 3


def _with_margin(mask: np.ndarray) -> np.ndarray:
    """Return a mask with one voxel of nothing around: what touches its box is not enclosed."""
    return np.pad(mask, 1)


def _between(
    first: np.ndarray, last: np.ndarray, steps: int, spacing: tuple[float, ...]
) -> Iterator[np.ndarray]:
    """Yield the masks (rows, columns) of the slices between two that are ``steps`` apart."""
    near, far = _signed_distance(first, spacing), _signed_distance(last, spacing)
    apart = np.zeros(2)
    if not (first & last).any():
        apart = np.subtract(scipy.ndimage.center_of_mass(last), scipy.ndimage.center_of_mass(first))
    for step in range(1, steps):
        share = step / steps
        here = (1 - share) * _moved(near, share * apart) + share * _moved(far, (share - 1) * apart)
        yield here <= 0


def _moved(distances: np.ndarray, by: np.ndarray) -> np.ndarray:
    return scipy.ndimage.shift(distances, by, order=1, mode="nearest") if by.any() else distances


def _signed_distance(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the distance to the nearest voxel of the other side in mm, negative inside."""
    both = edt.edt(mask.astype(np.uint8) + 1, anisotropy=spacing, black_border=False)
    # a slice that is full has no other side: no distance is longer than its diagonal
    diagonal = float(np.linalg.norm(np.multiply(mask.shape, spacing)))
    distance: np.ndarray = np.where(mask, -1.0, 1.0) * np.minimum(both, diagonal)
    return distance


def _box_of(label: np.ndarray, class_value: int) -> tuple[slice, ...] | None:
    """Return the smallest box that holds a class; None where there is none of it."""
    found = scipy.ndimage.find_objects((label == class_value).view(np.uint8))
    return found[0] if found else None


def _painted(label: np.ndarray, mask: np.ndarray, class_value: int, overwrite: bool) -> LabelEdit:
    allowed = label != class_value if overwrite else label == BACKGROUND
    return _edit(label, mask & allowed, class_value)


def _edit(label: np.ndarray, mask: np.ndarray, values: int | np.ndarray) -> LabelEdit:
    positions = np.nonzero(mask)
    before = label[positions]
    after = np.broadcast_to(np.asarray(values, label.dtype), before.shape).copy()
    return LabelEdit(positions, before, after)
