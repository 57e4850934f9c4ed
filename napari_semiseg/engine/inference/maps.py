"""The maps of a case, and arrays that move to disk when they would not fit in memory."""

from __future__ import annotations

import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_semiseg.engine.volumes import Geometry

MAP_KINDS = ("prediction", "uncertainty", "signed_distance", "similarity")
IN_MEMORY = 256 * 2**20  # bytes; larger arrays are memory-mapped files


@dataclass(frozen=True, eq=False)
class CaseMaps:
    """What a method says about one scan, on the scan's own grid.

    Attributes
    ----------
    case : str
        Name of the case.
    geometry : Geometry
        The scan's grid.
    prediction : ndarray
        (z, y, x) uint8 class values.
    uncertainty : ndarray or None
        (z, y, x) float32, normalised entropy, 0…1.
    uncertainty_source : str
        Whose disagreement it is.
    signed_distance : ndarray or None
        (classes − 1, z, y, x) float32 in mm, negative inside.
    similarity : ndarray or None
        (classes, z, y, x) float32 cosine, −1…1; background first.
    seconds : float
        Time it took, reading the scan included.
    """

    case: str
    geometry: Geometry
    prediction: np.ndarray
    uncertainty: np.ndarray | None
    uncertainty_source: str
    signed_distance: np.ndarray | None
    similarity: np.ndarray | None
    seconds: float

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the maps that are there, by kind."""
        candidates = {kind: getattr(self, kind) for kind in MAP_KINDS}
        return {kind: array for kind, array in candidates.items() if array is not None}


def allocate(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Make an array of zeros, in memory or, when it is large, in a file that goes with the array."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    # The folder must outlive this function and vanish with the array.
    folder = tempfile.TemporaryDirectory(prefix="semiseg-")
    array = np.memmap(Path(folder.name) / "map", dtype=dtype, mode="w+", shape=shape)
    weakref.finalize(array, folder.cleanup)
    return array
