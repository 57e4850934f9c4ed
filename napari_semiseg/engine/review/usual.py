"""What is usual in a study: sizes, pieces and places of classes, and how sure answers are.

Sizes, pieces and places come from the labels of people, spreads of few labels being drawn towards what
is usual in anatomy. How sure a run usually is comes from its own answers to scans without labels: on
the labelled ones it learned from, every run is too sure. Held-out cases are in neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_semiseg.engine.review.answer_measures import Answer, Shape

MOST_USUAL = 2.5
"""Robust standard deviations from the median that still are usual."""

EXPECTED_SPREAD = {"log volume": 0.25, "place": 0.08}
"""Standard deviations that few labels are drawn towards: a quarter of the volume between people, and
8 % of the extent of a scan."""

EXPECTATION_WEIGHT = 4
"""How many labels the expected spread weighs as much as."""

FEWEST_ANSWERS = 5
"""With fewer answers, the fixed limits below say what is usual."""

FIXED_LIMITS = {"doubtful": 0.15, "missed": 0.15, "apart": 0.3, "other_run": 0.3}
"""Shares of the volume."""

_TO_DEVIATION = 1.4826  # median absolute deviation to standard deviation of a normal distribution
_NARROWEST = 0.1  # answers that are all alike still differ by this in the logarithm
_SMALLEST_SHARE = 1e-3


@dataclass(frozen=True)
class Spread:
    """Median and robust spread of what labels show.

    Attributes
    ----------
    middle, deviation : float
        Median, and standard deviation of the next value to come.
    lowest, highest : float
        The extremes that were seen.
    """

    middle: float
    deviation: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float], expected: float) -> Spread:
        """Describe at least one value; few values are drawn to the ``expected`` deviation."""
        middle = float(np.median(values))
        seen = _TO_DEVIATION * float(np.median(np.abs(np.array(values) - middle)))
        count = len(values)
        variance = EXPECTATION_WEIGHT * expected**2 + count * seen**2
        variance /= EXPECTATION_WEIGHT + count
        deviation = math.sqrt(variance * (1 + 1 / count))  # the median itself is uncertain
        return cls(middle, deviation, min(values), max(values))

    def deviations(self, value: float) -> float:
        """Return how many deviations a value lies above the median; negative below."""
        return (value - self.middle) / self.deviation


@dataclass(frozen=True)
class UsualClass:
    """What is usual of one class.

    Attributes
    ----------
    labels : int
        Labels that were measured.
    present : int
        Those that hold the class.
    log_volume : Spread or None
        Of the natural logarithm of mL; None where no label holds the class.
    most_pieces : int
        The most pieces in a label.
    place : tuple of Spread
        Along the patient's axes, upwards, to the front and to the right; empty like `log_volume`.
    limits : mapping of str to float
        Largest usual value of each measure of doubt, by its name in `Answer`.
    """

    labels: int
    present: int
    log_volume: Spread | None
    most_pieces: int
    place: tuple[Spread, ...] = ()
    limits: Mapping[str, float] = field(default_factory=lambda: dict(FIXED_LIMITS))


def what_is_usual(
    labels: Sequence[Mapping[int, Shape]],
    answers: Sequence[Mapping[int, Answer]],
    class_values: Iterable[int],
) -> dict[int, UsualClass]:
    """Learn what is usual in a study.

    Parameters
    ----------
    labels : sequence of mapping of int to Shape
        Whole labels of cases that are not held out, from `measure_shapes`.
    answers : sequence of mapping of int to Answer
        Answers of the run to cases that are not held out and that it did not learn from.
    """
    return {
        value: _usual_class(
            [each[value] for each in labels if value in each],
            [each[value] for each in answers if value in each],
        )
        for value in class_values
    }


def _usual_class(labels: Sequence[Shape], answers: Sequence[Answer]) -> UsualClass:
    shown = [shape for shape in labels if shape.present]
    volumes = [math.log(shape.volume_ml) for shape in shown]
    places = np.array([shape.place for shape in shown if shape.place is not None])
    spread = EXPECTED_SPREAD
    return UsualClass(
        labels=len(labels),
        present=len(shown),
        log_volume=Spread.of(volumes, spread["log volume"]) if volumes else None,
        most_pieces=max((shape.pieces for shape in shown), default=0),
        place=tuple(Spread.of(axis.tolist(), spread["place"]) for axis in places.T),
        limits={
            name: _limit([getattr(answer, name) for answer in answers], fixed)
            for name, fixed in FIXED_LIMITS.items()
        },
    )


def _limit(values: Iterable[float | None], fixed: float) -> float:
    """Return the largest usual share: so many deviations above the median, on a logarithmic scale."""
    known = [max(value, _SMALLEST_SHARE) for value in values if value is not None]
    if len(known) < FEWEST_ANSWERS:
        return fixed
    logarithms = np.log(known)
    middle = float(np.median(logarithms))
    deviation = _TO_DEVIATION * float(np.median(np.abs(logarithms - middle)))
    return math.exp(middle + MOST_USUAL * max(deviation, _NARROWEST))
