"""The one table of metrics: how each is computed, what it is called, and where it stands.

Definitions are those of medpy, which the papers of the field use, except that distances are in
millimetres, the average symmetric distance is the symmetric one, and an empty mask is never scored as
a perfect distance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from napari_semiseg.engine.evaluation.surfaces import directed_distances

Figures = Mapping[str, float | None]
"""Of one class in one case, by key of the table; None where a metric is not defined."""


@dataclass(frozen=True, eq=False)
class MaskPair:
    """The masks of one class, cropped to the box around both.

    Attributes
    ----------
    predicted, reference : ndarray of bool, shape (z, y, x) or (y, x)
        What was predicted, and what a person drew.
    step : ndarray, shape (3,) or (2,)
        Voxel size in the unit of the distances.
    voxel_ml : float
        Volume of a voxel in millilitres.
    """

    predicted: np.ndarray
    reference: np.ndarray
    step: np.ndarray
    voxel_ml: float

    @cached_property
    def volume_ml(self) -> float:
        """Volume of the prediction."""
        return _count(self.predicted) * self.voxel_ml

    @cached_property
    def reference_volume_ml(self) -> float:
        """Volume of the reference."""
        return _count(self.reference) * self.voxel_ml

    @cached_property
    def dice(self) -> float | None:
        """Twice the shared voxels over the sum of both masks; None if both are empty."""
        total = _count(self.predicted) + _count(self.reference)
        return 2 * _count(self.predicted & self.reference) / total if total else None

    @cached_property
    def distances(self) -> tuple[np.ndarray, np.ndarray] | None:
        """From each surface voxel of the prediction to the reference's surface, and back.

        None unless both masks exist.
        """
        if not (self.volume_ml and self.reference_volume_ml):
            return None
        return directed_distances(self.predicted, self.reference, self.step)


@dataclass(frozen=True)
class Measure:
    """A metric of one class in one case.

    Attributes
    ----------
    key : str
        Under which it is recorded and shown.
    title, unit : str
        For tables and axes; the unit is empty where there is none.
    digits : int
        After the decimal point.
    more_is_better : bool
        Whether a higher figure is the better one.
    meaning : str
        One sentence for a clinician.
    computed : callable or None
        Makes it of the two masks; it is then recorded. None where it is derived.
    derived : callable or None
        Makes it of what is recorded.
    compared : bool
        Whether runs are compared by it, in tables, box plots and Markdown.
    reported : bool
        Whether it stands in what the command line reports and in tables of methods.
    column : str
        Its column in CSV files; empty for none.
    """

    key: str
    title: str
    unit: str
    digits: int
    more_is_better: bool
    meaning: str
    computed: Callable[[MaskPair], float | None] | None = None
    derived: Callable[[Figures], float | None] | None = None
    compared: bool = False
    reported: bool = False
    column: str = ""

    @property
    def heading(self) -> str:
        """Title with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def of(self, figures: Figures) -> float | None:
        """Return it from what is recorded of a class; None where it is not defined."""
        return figures.get(self.key) if self.derived is None else self.derived(figures)

    def text(self, score: float | None) -> str:
        """Return a score as it is shown; a dash where it is not defined."""
        return "–" if score is None else f"{score:.{self.digits}f}"


def _count(mask: np.ndarray) -> int:
    """Return the voxels of a mask as a Python integer, which JSON can write."""
    return int(np.count_nonzero(mask))


def _jaccard(masks: MaskPair) -> float | None:
    return None if masks.dice is None else masks.dice / (2 - masks.dice)


def _hd95(masks: MaskPair) -> float | None:
    pooled = masks.distances
    return None if pooled is None else float(np.percentile(np.concatenate(pooled), 95))


def _asd(masks: MaskPair) -> float | None:
    return None if masks.distances is None else float(masks.distances[0].mean(dtype=float))


def _assd(masks: MaskPair) -> float | None:
    if masks.distances is None:
        return None
    forth, back = (float(each.mean(dtype=float)) for each in masks.distances)
    return (forth + back) / 2


def _volume_error_ml(figures: Figures) -> float | None:
    volume, reference = figures.get("volume_ml"), figures.get("reference_volume_ml")
    if volume is None or reference is None or not (volume or reference):
        return None
    return abs(volume - reference)


def _volume_error_percent(figures: Figures) -> float | None:
    error, reference = _volume_error_ml(figures), figures.get("reference_volume_ml")
    return 100 * error / reference if error is not None and reference else None


_TABLE = (
    Measure(
        "dice",
        "Dice",
        "",
        3,
        True,
        "Overlap with your label; 1 is perfect, 0 is none.",
        lambda masks: masks.dice,
        compared=True,
        reported=True,
        column="dice",
    ),
    Measure("jaccard", "Jaccard", "", 3, True, "Shared voxels over all that are marked.", _jaccard),
    Measure(
        "hd95",
        "HD95",
        "mm",
        2,
        False,
        "The surfaces lie no farther apart than this, but for the worst 5 %.",
        _hd95,
        compared=True,
        reported=True,
        column="hd95_mm",
    ),
    Measure(
        "asd",
        "ASD",
        "mm",
        2,
        False,
        "How far the surfaces lie apart on average.",
        _asd,  # of the prediction's surface to the reference's only, as the papers report it
        compared=True,
        reported=True,
        column="asd_mm",
    ),
    Measure("assd", "ASSD", "mm", 2, False, "The same, averaged over both directions.", _assd),
    Measure(
        "volume_error_percent",
        "Volume error",
        "%",
        1,
        False,
        "How far the volume is off, in per cent of your label's.",
        derived=_volume_error_percent,
        compared=True,
        column="volume_error_percent",
    ),
    Measure(
        "volume_error_ml",
        "Volume error",
        "mL",
        2,
        False,
        "How far the volume is off, in millilitres.",
        derived=_volume_error_ml,
        compared=True,
        column="volume_error_ml",
    ),
    Measure(
        "volume_ml",
        "Volume",
        "mL",
        2,
        True,
        "Of the prediction.",
        lambda masks: masks.volume_ml,
        column="volume_ml",
    ),
    Measure(
        "reference_volume_ml",
        "Volume of the label",
        "mL",
        2,
        True,
        "Of your label.",
        lambda masks: masks.reference_volume_ml,
        column="reference_volume_ml",
    ),
)

MEASURES: dict[str, Measure] = {each.key: each for each in _TABLE}
"""Every metric by key, in the order in which they stand in tables and files."""


def recorded() -> dict[str, Callable[[MaskPair], float | None]]:
    """Return how the metrics that are recorded are computed, by key."""
    return {key: each.computed for key, each in MEASURES.items() if each.computed is not None}


def compared() -> list[Measure]:
    """Return the metrics by which runs are compared."""
    return [each for each in MEASURES.values() if each.compared]


def reported() -> list[Measure]:
    """Return the metrics that the command line reports and tables of methods hold."""
    return [each for each in MEASURES.values() if each.reported]
