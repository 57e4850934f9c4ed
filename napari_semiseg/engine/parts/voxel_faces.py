"""Distances between two sets of voxels, to centres or to the faces between them (spec §4.7)."""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np

COARSER = 1.01  # an axis whose voxels are longer than the shortest by more than this factor


def distance_to_other_side(
    inside: np.ndarray, outside: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Distance from each voxel's centre to the nearest centre of a voxel on the other side.

    Parameters
    ----------
    inside, outside : ndarray of bool
        (*spatial), 2D or 3D; neither empty, no voxel in both.
    spacing : sequence of float
        Voxel size along each axis; distances come in its unit.

    Returns
    -------
    ndarray
        (*spatial) float32, positive; without meaning for voxels in neither.
    """
    if np.count_nonzero(inside) + np.count_nonzero(outside) == inside.size:
        # Two labels in one pass: each voxel gets the distance to the nearest voxel of the other.
        return _transform(inside.view(np.uint8) + np.uint8(1), spacing)
    to_outside = _transform(~outside, spacing)
    return np.where(inside, to_outside, _transform(~inside, spacing))


def distance_to_faces(
    inside: np.ndarray, outside: np.ndarray, spacing: Sequence[float]
) -> np.ndarray:
    """Distance from each voxel's centre to the faces between the sides, half a voxel before centres.

    Half of which voxel depends on the way: through a face across an axis with long voxels, the
    distance is to the centre of that face; else to the nearest centre of the other side, less half
    of the shortest voxel. The smaller of the two counts. Straight along any axis this is exact,
    whatever the spacing; with cubic voxels it is the usual distance less half a voxel.

    Parameters
    ----------
    inside, outside, spacing
        As for `distance_to_other_side`.

    Returns
    -------
    ndarray
        (*spatial) float32, positive; without meaning for voxels in neither.

    Notes
    -----
    Where no voxel is in neither, the result lies between the exact distance :math:`d` to the boxes of
    the other side and :math:`d` plus half the diagonal of the face that is crossed. Each axis with
    long voxels takes one more transform, of twice the voxels.
    """
    shortest = min(spacing)
    distance = distance_to_other_side(inside, outside, spacing) - np.float32(0.5 * shortest)
    for axis, length in enumerate(spacing):
        if length > COARSER * shortest:
            crossed = _crossed_faces(inside, outside, axis)
            if crossed.any():
                halved = [step / (2 if other == axis else 1) for other, step in enumerate(spacing)]
                through = _transform(~crossed, halved)[_along(axis, inside.ndim, None, None, 2)]
                np.minimum(distance, through, out=distance)
    return distance


def touches(mask: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which voxels of ``mask`` share a face with a voxel of ``others``, both (*spatial) bool."""
    beside = np.zeros_like(mask)
    for axis in range(mask.ndim):
        behind, ahead = _along(axis, mask.ndim, None, -1), _along(axis, mask.ndim, 1, None)
        beside[behind] |= others[ahead]
        beside[ahead] |= others[behind]
    touching: np.ndarray = beside & mask
    return touching


def _crossed_faces(inside: np.ndarray, outside: np.ndarray, axis: int) -> np.ndarray:
    """Mark the centres of faces between the sides, on a grid with half the spacing along ``axis``."""
    shape = list(inside.shape)
    shape[axis] = 2 * shape[axis] - 1
    crossed = np.zeros(shape, bool)
    behind, ahead = _along(axis, inside.ndim, None, -1), _along(axis, inside.ndim, 1, None)
    crossed[_along(axis, inside.ndim, 1, None, 2)] = (inside[behind] & outside[ahead]) | (
        outside[behind] & inside[ahead]
    )
    return crossed


def _transform(labels: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """Distance transform: from each voxel to the nearest of another label, 0 where the label is 0."""
    distance: np.ndarray = edt.edt(
        np.ascontiguousarray(labels).view(np.uint8),
        anisotropy=tuple(float(step) for step in spacing),
        black_border=False,
        parallel=1,
    )
    return distance


def _along(
    axis: int, dimensions: int, start: int | None, stop: int | None, step: int | None = None
) -> tuple[slice, ...]:
    """Slice one axis and take all of the others."""
    wanted = slice(start, stop, step)
    return tuple(wanted if other == axis else slice(None) for other in range(dimensions))
