"""The measures by which runs are compared, of one structure or of all, in one case or over cases.

Means are those of `metrics.mean_of`: first over the cases, then over the structures, so that each
structure weighs the same. The desk's comparison and the files that it writes call this, on any
thread.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from napari_semiseg.engine.evaluation.metrics import CaseMetrics, ClassMetrics

Measure = Literal["dice", "hd95", "asd", "volume_percent", "volume_ml"]


@dataclass(frozen=True)
class MeasureInfo:
    """What a measure is called and how it reads.

    Attributes
    ----------
    title, unit : str
        For tables and axes; the unit is empty where there is none.
    digits : int
        After the decimal point.
    more_is_better : bool
        Whether a higher figure is the better one.
    meaning : str
        One sentence for a clinician.
    """

    title: str
    unit: str
    digits: int
    more_is_better: bool
    meaning: str

    @property
    def heading(self) -> str:
        """Title with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def text(self, score: float | None) -> str:
        """Return a score as it is shown; a dash where it is not defined."""
        return "–" if score is None else f"{score:.{self.digits}f}"


MEASURES: dict[Measure, MeasureInfo] = {
    "dice": MeasureInfo("Dice", "", 3, True, "Overlap with your label; 1 is perfect, 0 is none."),
    "hd95": MeasureInfo(
        "HD95",
        "mm",
        2,
        False,
        "The surfaces lie no farther apart than this, but for the worst 5 %.",
    ),
    "asd": MeasureInfo("ASD", "mm", 2, False, "How far the surfaces lie apart on average."),
    "volume_percent": MeasureInfo(
        "Volume error", "%", 1, False, "How far the volume is off, in per cent of your label's."
    ),
    "volume_ml": MeasureInfo(
        "Volume error", "mL", 2, False, "How far the volume is off, in millilitres."
    ),
}


def score(metrics: CaseMetrics, measure: Measure, structure: int | None = None) -> float | None:
    """Return a measure of one case.

    Parameters
    ----------
    metrics : CaseMetrics
        Of the case.
    measure : Measure
        Key of `MEASURES`; volume errors have no sign.
    structure : int or None
        Class value; None takes the mean over the classes in which the measure is defined.

    Returns
    -------
    float or None
        None where it is not defined: the class is not known, both masks are empty, or for
        distances one of them; for per cent the label is.
    """
    if structure is None:
        return _mean(_of_class(each, measure) for each in metrics.classes.values())
    of_class = metrics.classes.get(structure)
    return None if of_class is None else _of_class(of_class, measure)


def mean_score(
    cases: Iterable[CaseMetrics], measure: Measure, structure: int | None = None
) -> float | None:
    """Return the mean of a measure over the cases in which it is defined.

    Parameters
    ----------
    cases : iterable of CaseMetrics
        Of the cases.
    measure : Measure
        Key of `MEASURES`.
    structure : int or None
        Class value; None takes the mean of the classes' means.

    Returns
    -------
    float or None
        None where it is defined nowhere.
    """
    cases = list(cases)
    if structure is not None:
        return _mean(score(case, measure, structure) for case in cases)
    values = sorted({value for case in cases for value in case.classes})
    return _mean(mean_score(cases, measure, value) for value in values)


def _of_class(metrics: ClassMetrics, measure: Measure) -> float | None:
    if measure not in ("volume_percent", "volume_ml"):
        defined: float | None = getattr(metrics, measure)
        return defined
    if metrics.outcome == "both empty":
        return None
    error = abs(metrics.volume_ml - metrics.reference_volume_ml)
    if measure == "volume_ml":
        return error
    return 100 * error / metrics.reference_volume_ml if metrics.reference_volume_ml else None


def _mean(scores: Iterable[float | None]) -> float | None:
    defined = [each for each in scores if each is not None]
    return math.fsum(defined) / len(defined) if defined else None
