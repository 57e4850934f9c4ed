"""Signed distance maps of a whole scan, exact near every boundary, in bounded memory.

A scan that fits into one slab is measured whole. Of larger ones, only the box around the structure is
measured, with a margin as wide as distances have to be exact, in slabs of slices where that is still
too large; beyond, the distance is that to the nearest coarse block with a boundary in it, which is
off by one and a half blocks at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import edt
import numpy as np
from scipy import ndimage

from napari_semiseg.engine.parts.signed_distance import exact_distance
from napari_semiseg.engine.sampling.model_grid import ModelGrid, WayBack
from napari_semiseg.engine.volumes.large_arrays import release, slabs

AT_ONCE = 20_000_000  # voxels; their transforms take about 0.6 GB
EXACT_MM = 15.0
"""Up to here distances are exact in scans of any size; colours show 10 mm."""
COARSE = 4  # voxels along each side of a coarse block

Inside = Callable[[slice], np.ndarray]
"""Returns which voxels of some slices (slices, y, x) are inside a structure, bool."""


def fill_distances(
    distances: np.ndarray, inside: Inside, spacing: Sequence[float], at_once: int = AT_ONCE
) -> None:
    """Measure the distance to the boundary of a structure.

    Parameters
    ----------
    distances : ndarray
        (z, y, x) float32 that is filled, in mm and negative inside; where the structure is nowhere or
        everywhere, plus or minus the diagonal of the scan. May lie in a file.
    inside : callable
        From a slice along z to which voxels of it are inside.
    spacing : sequence of float
        Voxel size (z, y, x) in mm.
    """
    shape = distances.shape
    farthest = float(np.linalg.norm(np.multiply(shape, spacing)))
    if distances.size <= at_once:
        exact = exact_distance(inside(slice(0, shape[0])), spacing)
        np.clip(exact, -farthest, farthest, out=distances)
        return
    occupied, boundary = _coarse_blocks(inside, shape)
    _fill_coarsely(distances, boundary, spacing, farthest)
    margins = [int(np.ceil(EXACT_MM / step)) for step in spacing]
    box = _box_of(occupied, shape, margins)
    for rows, seen in _slabs_of(box, margins[0], shape, at_once):
        near = exact_distance(inside(seen)[:, box[1], box[2]], spacing)
        near = near[rows.start - seen.start : rows.stop - seen.start]
        for inner in slabs(near.shape):
            part = distances[rows.start + inner.start : rows.start + inner.stop, box[1], box[2]]
            far = np.copysign(np.maximum(part, np.float32(EXACT_MM)), near[inner])
            part[...] = np.where(np.abs(near[inner]) <= EXACT_MM, near[inner], far)
            release(distances)


def _box_of(
    occupied: np.ndarray, shape: tuple[int, ...], margins: Sequence[int]
) -> tuple[slice, slice, slice]:
    """Return the voxels around the occupied blocks within the margins; none without such a block."""
    found = ndimage.find_objects(occupied.view(np.uint8))
    if not found:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    z, y, x = (
        slice(max(0, COARSE * part.start - margin), min(extent, COARSE * part.stop + margin))
        for part, margin, extent in zip(found[0], margins, shape, strict=True)
    )
    return z, y, x


def _slabs_of(
    box: tuple[slice, slice, slice], margin: int, shape: tuple[int, ...], at_once: int
) -> Iterator[tuple[slice, slice]]:
    """Cut a box into slabs: slices to fill in, and the slices to be seen for that."""
    plane = (box[1].stop - box[1].start) * (box[2].stop - box[2].start)
    depth = at_once // max(1, plane)
    whole = box[0].stop - box[0].start <= depth
    rows = depth if whole else max(1, margin, depth - 2 * margin)
    for start in range(box[0].start, box[0].stop, max(1, rows)):
        stop = min(box[0].stop, start + rows)
        yield slice(start, stop), slice(max(0, start - margin), min(shape[0], stop + margin))


def _fill_coarsely(
    distances: np.ndarray, boundary: np.ndarray, spacing: Sequence[float], farthest: float
) -> None:
    """Fill in the distance, outside positive, to the middle of the nearest block with a boundary."""
    coarse = np.full(boundary.shape, farthest, np.float32)
    if boundary.any():
        coarse = edt.edt(~boundary, anisotropy=[COARSE * step for step in spacing])
    unturned, upright = (0, 1, 2), (False, False, False)
    grid = ModelGrid(
        distances.shape,  # type: ignore[arg-type]
        unturned,
        upright,
        boundary.shape,  # type: ignore[arg-type]
        (1.0, 1.0, 1.0),
    )
    for slab in WayBack(grid).add(coarse[None]):
        slab.place(grid, distances, slab.values[0].clamp(0.0, farthest).numpy())


def _coarse_blocks(inside: Inside, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Tell which blocks hold a voxel inside, and which hold or touch a boundary."""
    starts = [np.arange(0, extent, COARSE) for extent in shape]
    some, every = [], []
    for start in starts[0]:
        mask = inside(slice(start, min(shape[0], start + COARSE)))
        some.append(mask.any(axis=0))
        every.append(mask.all(axis=0))
    occupied, filled = np.stack(some), np.stack(every)
    for axis in (1, 2):
        occupied = np.logical_or.reduceat(occupied, starts[axis], axis=axis)
        filled = np.logical_and.reduceat(filled, starts[axis], axis=axis)
    boundary = occupied & ~filled
    for axis in range(3):
        differs = np.diff(occupied, axis=axis)
        lower = tuple(slice(None, -1) if other == axis else slice(None) for other in range(3))
        boundary[lower] |= differs
    return occupied, boundary
