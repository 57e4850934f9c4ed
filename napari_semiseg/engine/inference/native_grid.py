"""From the model grid back to the scan's own grid, slab by slab, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from napari_semiseg.engine.inference.maps import NativeArray, allocate
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.sampling.model_grid import ModelGrid

RANGES = {"share": (0.0, 1.0), "similarity": (-1.0, 1.0), "distance": (-inf, inf)}
"""What numbers of each look can be; rounding leaves none outside."""


def most_probable_classes(
    grid: ModelGrid, probabilities: np.ndarray, class_values: Sequence[int]
) -> np.ndarray:
    """Interpolate probabilities and choose the class of each voxel there.

    Parameters
    ----------
    grid : ModelGrid
        How the grids correspond.
    probabilities : ndarray
        (C, z, y, x) on the model grid, background first.
    class_values : sequence of int
        Value of each foreground class.

    Returns
    -------
    ndarray
        (z, y, x) uint8 class values on the scan's grid.
    """
    chosen = allocate(grid.native_shape, np.uint8)
    table = np.array([0, *class_values], np.uint8)
    for slab in grid.slabs_to_native(probabilities):
        grid.turn(chosen)[slab.rows] = table[slab.values.argmax(0).numpy()]
    return chosen


def real_numbers(
    grid: ModelGrid, maps: np.ndarray, low: float = -inf, high: float = inf
) -> np.ndarray:
    """Interpolate maps of real numbers, within ``low`` and ``high``.

    Parameters
    ----------
    grid : ModelGrid
        How the grids correspond.
    maps : ndarray
        (channels, z, y, x) on the model grid.
    low, high : float
        Range of the values.

    Returns
    -------
    ndarray
        (channels, z, y, x) float32 on the scan's grid.
    """
    native = allocate((len(maps), *grid.native_shape), np.float32)
    for slab in grid.slabs_to_native(maps):
        grid.turn(native)[:, slab.rows] = slab.values.clamp(low, high).numpy()
    return native


def own_maps(
    grid: ModelGrid,
    blended: Mapping[str, np.ndarray],
    descriptions: Sequence[NativeMap],
    class_values: Sequence[int],
) -> dict[str, NativeArray]:
    """Bring a method's own maps to the scan's grid.

    Parameters
    ----------
    grid : ModelGrid
        How the grids correspond.
    blended : mapping of str to ndarray
        (channels, z, y, x) on the model grid, by key.
    descriptions : sequence of NativeMap
        What the maps are; those that ``blended`` lacks are left out.
    class_values : sequence of int
        Value of each foreground class.
    """
    found: dict[str, NativeArray] = {}
    for description in descriptions:
        if description.key not in blended:
            continue
        maps = blended[description.key]
        if description.look == "classes":
            array = most_probable_classes(grid, maps, class_values)
        else:
            array = real_numbers(grid, maps, *RANGES[description.look])
            array = array[0] if description.channels == "one" else array
        found[description.key] = NativeArray(array, description)
    return found
