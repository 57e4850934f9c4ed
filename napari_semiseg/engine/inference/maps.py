"""The maps of a case, and their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_semiseg.engine.volumes import Geometry

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import NativeMap

MAP_KINDS = ("prediction", "uncertainty", "signed_distance", "similarity", "disagreement")
NATIVE = "native"
"""Asks for the maps that only this method makes, whatever their names."""
EVERY_KIND = (*MAP_KINDS, NATIVE)


@dataclass(frozen=True, eq=False)
class NativeArray:
    """A map that only one method makes, on the scan's own grid.

    Attributes
    ----------
    array : ndarray
        (z, y, x) float32 for one channel, else (channels, z, y, x) float32; for the look
        ``"classes"`` (z, y, x) uint8 class values.
    description : NativeMap
        What it shows, and how.
    """

    array: np.ndarray
    description: NativeMap


@dataclass(frozen=True, eq=False)
class CaseMaps:
    """What a method says about one scan, on the scan's own grid; large maps are in files.

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
    disagreement : ndarray or None
        (z, y, x) float32, 0…1, how far two answers of the method lie apart; None where it has one
        answer only.
    native : mapping of str to NativeArray
        The maps of the method's own, by their keys.
    """

    case: str
    geometry: Geometry
    prediction: np.ndarray
    uncertainty: np.ndarray | None
    uncertainty_source: str
    signed_distance: np.ndarray | None
    similarity: np.ndarray | None
    seconds: float
    disagreement: np.ndarray | None = None
    native: Mapping[str, NativeArray] = field(default_factory=dict)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the maps that are there, by kind, those of the method's own last."""
        candidates = {kind: getattr(self, kind) for kind in MAP_KINDS}
        candidates |= {key: item.array for key, item in self.native.items()}
        return {kind: array for kind, array in candidates.items() if array is not None}

    def holds_classes(self, kind: str) -> bool:
        """Tell whether a map holds class values, rather than real numbers."""
        own = self.native.get(kind)
        return kind == "prediction" or (own is not None and own.description.look == "classes")
