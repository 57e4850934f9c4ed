"""The one table of the maps that every method may have, and the maps of a case.

The order is that of files and of the boxes that show them; every room reads titles, looks, ranges and
colours here. The numbers come from a window (`window_answers.OF_A_WINDOW`) or, where they need the
whole scan, from the other maps of the case (`prediction.OF_A_CASE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from napari_semiseg.engine.methods.native_maps import NativeMap
from napari_semiseg.engine.volumes import Geometry

NATIVE = "native"
"""Asks for the maps that only this method makes, whatever their names."""


@dataclass(frozen=True)
class SharedMap(NativeMap):
    """A map that every method may have.

    Attributes
    ----------
    box : str
        What the box says that shows it.
    explanation : str
        What it shows.
    live : str
        What it shows of a network that is being trained; empty where previews cannot have it.
    of_every_method : bool
        Whether it can be made for every method; else only some have what it takes.
    missing : str
        Why a prediction may lack it; empty for no reason of its own.
    from_the_start : bool
        Whether it shows until someone hides it, and comes with every preview.
    more_passes : bool
        Whether the network is asked several times for it.
    outlined : bool
        Whether classes are outlines, which set them apart from the filled label.
    sourced : bool
        Whether its layer and its file tell whose disagreement it is.
    table : str
        A colour table other than that of its look.
    air : float or None
        Value of every channel in air, other than that of its look.
    """

    box: str = ""
    explanation: str = ""
    live: str = ""
    of_every_method: bool = True
    missing: str = ""
    from_the_start: bool = False
    more_passes: bool = False
    outlined: bool = False
    sourced: bool = False
    table: str = ""
    air: float | None = None

    @property
    def colours(self) -> str:
        """A colour table that napari knows; empty for the colours of the study's classes."""
        return self.table or super().colours

    def in_air(self, channels: int) -> list[float]:
        """Return what each channel says where nothing but air is, which is surely background."""
        return super().in_air(channels) if self.air is None else [self.air] * channels


_TABLE = (
    SharedMap(
        "prediction",
        "prediction",
        "classes",
        "classes",
        box="Prediction",
        explanation="What the program marks, as outlines.",
        live="Where the network draws the structures now.",
        from_the_start=True,
        outlined=True,
    ),
    SharedMap(
        "uncertainty",
        "unsure",
        "share",
        box="Unsure here",
        explanation="Bright where the program is unsure.",
        live="Bright where the network is unsure.",
        from_the_start=True,
        more_passes=True,
        sourced=True,
    ),
    SharedMap(
        "signed_distance",
        "distance",
        "distance",
        "foreground",
        10.0,
        "mm",
        box="Distance",
        explanation="Millimetres to the border of a class, negative inside.",
        live="Distance to the border in mm, negative inside.",
        air=1.0,  # a head answers in shares of its reach
    ),
    SharedMap(
        "similarity",
        "similarity",
        "similarity",
        "classes",
        box="Similarity",
        explanation="How much each voxel looks like a class in your labels.",
        live="How much each voxel looks like the structure in your labels; from a few labelled "
        "scans, measured anew every half minute, so that maps come a little more rarely.",
    ),
    SharedMap(
        "disagreement",
        "disagreement",
        "share",
        box="Disagreement",
        explanation="Bright where two answers of the method differ.",
        of_every_method=False,
        missing="The run gives one answer for this scan, and nothing to compare it with.",
        more_passes=True,
        table="inferno",
    ),
)

MAPS: dict[str, SharedMap] = {item.key: item for item in _TABLE}
"""The maps that every method may have, by key."""

MAP_KINDS = MAPS.keys()

PREVIEW_KINDS = tuple(key for key, item in MAPS.items() if item.from_the_start)
"""Maps of a preview that asks for no others, which show from the start."""


def every_kind() -> tuple[str, ...]:
    """Return all there is to ask for, the maps of the method's own included."""
    return (*MAPS, NATIVE)


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
    shared : mapping of str to ndarray
        The maps of `MAPS` that were made, by key: ``"prediction"`` is always there. Classes are
        (z, y, x) uint8 class values; maps of one channel (z, y, x) float32, others (channels, z, y,
        x) float32.
    native : mapping of str to NativeArray
        The maps of the method's own, by their keys.
    uncertainty_source : str
        Whose disagreement the uncertainty is.
    seconds : float
        Time it took, reading the scan included.
    """

    case: str
    geometry: Geometry
    shared: Mapping[str, np.ndarray]
    native: Mapping[str, NativeArray] = field(default_factory=dict)
    uncertainty_source: str = ""
    seconds: float = 0.0

    @property
    def prediction(self) -> np.ndarray:
        """(z, y, x) uint8 class values."""
        return self.shared["prediction"]

    @property
    def uncertainty(self) -> np.ndarray | None:
        """(z, y, x) float32, normalised entropy, 0…1."""
        return self.shared.get("uncertainty")

    @property
    def signed_distance(self) -> np.ndarray | None:
        """(classes − 1, z, y, x) float32 in mm, negative inside."""
        return self.shared.get("signed_distance")

    @property
    def similarity(self) -> np.ndarray | None:
        """(classes, z, y, x) float32 cosine, −1…1; background first."""
        return self.shared.get("similarity")

    @property
    def disagreement(self) -> np.ndarray | None:
        """(z, y, x) float32, 0…1, how far two answers of the method lie apart."""
        return self.shared.get("disagreement")

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the maps that are there, by key, in the order of `MAPS`, the method's own last."""
        shared = {key: self.shared[key] for key in MAPS if key in self.shared}
        return shared | {key: item.array for key, item in self.native.items()}

    def description(self, key: str) -> NativeMap:
        """Return what a map shows, and how."""
        own = self.native.get(key)
        return MAPS[key] if own is None else own.description
