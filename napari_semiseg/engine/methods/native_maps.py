"""What a map shows and how it looks, as plain data: the looks there are, and maps of a method's own.

The maps that every method may have are described alike, in the table `inference.maps.MAPS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal


@dataclass(frozen=True)
class Look:
    """What the numbers of a map are.

    Attributes
    ----------
    lowest, highest : float
        What numbers can be; rounding leaves none outside.
    in_air : float
        Its value where nothing but air is, in shares of `NativeMap.limit`.
    explanation : str
        How to read the colours.
    colours : str
        A colour table that napari knows; empty for the colours of the study's classes.
    signed : bool
        Whether the colours go from minus `NativeMap.limit` to plus that, or begin at 0.
    tells_background : bool
        Whether of a channel for each class that of the background says 1 in air.
    clear : bool
        Whether low values are transparent, so that the scan shows where there is nothing to see.
    """

    lowest: float
    highest: float
    in_air: float
    explanation: str
    colours: str = ""
    signed: bool = False
    tells_background: bool = False
    clear: bool = False


LOOKS: dict[str, Look] = {
    "classes": Look(
        0.0,
        1.0,
        0.0,
        "An answer of its own, filled in the colours of the classes.",
        tells_background=True,
    ),
    "share": Look(0.0, 1.0, 0.0, "Bright where it is high.", "magma", clear=True),
    "distance": Look(-inf, inf, 1.0, "Pink below 0 (inside), green above.", "PiYG", signed=True),
    "similarity": Look(
        -1.0,
        1.0,
        -1.0,
        "Yellow where it is alike, violet where it is not.",
        "viridis",
        signed=True,
        tells_background=True,
    ),
}


@dataclass(frozen=True)
class NativeMap:
    """A map that only one method makes, beside those that every method has.

    Attributes
    ----------
    key : str
        Small letters, digits and underscores; the kind under which it is stored.
    title : str
        The layer's name, in a clinician's words.
    look : {"classes", "share", "distance", "similarity"}
        What its numbers are: probabilities of all C classes, of which the largest is shown in the
        class colours; a share 0…1; a distance, negative inside; or a likeness −1…1.
    channels : {"one", "foreground", "classes"}
        One for all, one for each foreground class, or one for each class with the background first.
    limit : float
        Largest value that the colours show; distances go from minus this to this.
    unit : str
        Such as ``"mm"``; empty for pure numbers.
    """

    key: str
    title: str
    look: Literal["classes", "share", "distance", "similarity"]
    channels: Literal["one", "foreground", "classes"] = "one"
    limit: float = 1.0
    unit: str = ""

    @property
    def drawn(self) -> Look:
        """Its look; one that another version has added is drawn as a share."""
        return LOOKS.get(self.look, LOOKS["share"])

    @property
    def colours(self) -> str:
        """A colour table that napari knows; empty for the colours of the study's classes."""
        return self.drawn.colours

    @property
    def limits(self) -> tuple[float, float]:
        """The values at the two ends of the colour table."""
        return (-self.limit if self.drawn.signed else 0.0), self.limit

    def in_air(self, channels: int) -> list[float]:
        """Return what each channel says where nothing but air is, which is surely background."""
        value = self.drawn.in_air * self.limit
        if self.channels == "classes" and self.drawn.tells_background:
            return [1.0] + [value] * (channels - 1)
        return [value] * channels
