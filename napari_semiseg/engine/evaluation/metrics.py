"""How well a prediction agrees with a human label, class by class, and means over cases.

Which metrics there are, and how each is computed, is in the table `measures.MEASURES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy  # its parts load when used, so the desk opens sooner

from napari_semiseg.engine.errors import BadLabel, GeometryMismatch
from napari_semiseg.engine.evaluation.measures import MEASURES, Figures, MaskPair, recorded
from napari_semiseg.engine.stored import from_stored

Outcome = Literal["compared", "both empty", "prediction empty", "reference empty"]
Unit = Literal["mm", "voxels"]


@dataclass(frozen=True)
class ClassMetrics:
    """Agreement of one class in one case.

    Attributes
    ----------
    figures : mapping of str to float or None
        The recorded metrics by key of `MEASURES`. Overlap is 0 where one mask is empty and None where
        both are ("not counted"); distances are None unless both masks exist.
    """

    figures: Figures

    def __getitem__(self, key: str) -> float | None:
        return MEASURES[key].of(self.figures)

    @property
    def outcome(self) -> Outcome:
        """Which of the two masks were there."""
        predicted, reference = self["volume_ml"], self["reference_volume_ml"]
        if predicted and reference:
            return "compared"
        if predicted:
            return "reference empty"
        return "prediction empty" if reference else "both empty"


@dataclass(frozen=True)
class CaseMetrics:
    """Agreement of every class of one case.

    Attributes
    ----------
    classes : mapping of int to ClassMetrics
        By class value.
    unit : {"mm", "voxels"}
        Of the surface distances.
    """

    classes: Mapping[int, ClassMetrics]
    unit: Unit = "mm"

    @property
    def mean_dice(self) -> float | None:
        """Mean Dice of the classes that count; None if none does."""
        return mean_of_defined(metrics["dice"] for metrics in self.classes.values())

    def to_dict(self) -> dict[str, Any]:
        """Return ``{"unit": ..., "classes": {"1": {...}}}``, ready for JSON."""
        classes = {str(value): dict(each.figures) for value, each in self.classes.items()}
        return {"unit": self.unit, "classes": classes}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> CaseMetrics:
        """Restore what :meth:`to_dict` gave."""
        classes = {
            int(value): ClassMetrics({key: figures.get(key) for key in recorded()})
            for value, figures in stored.get("classes", {}).items()
        }
        return from_stored(cls, {**stored, "classes": classes}, "What was measured of a case")


@dataclass(frozen=True)
class ClassMeans:
    """Means of one class over cases, or over classes, with what they leave out.

    Attributes
    ----------
    figures : mapping of str to float or None
        Means of the recorded metrics over the cases in which each is defined; None if there is no such
        case.
    counted : int
        Cases with a Dice: at least one of the two masks exists.
    not_counted : int
        Cases where both masks are empty, which say nothing.
    one_empty : int
        Counted cases where one mask is empty: Dice 0, distances not defined and left out.
    """

    figures: Figures
    counted: int
    not_counted: int
    one_empty: int

    def __getitem__(self, key: str) -> float | None:
        return self.figures[key]

    def to_dict(self) -> dict[str, float | int | None]:
        """Return figures and counts by name, ready for JSON."""
        counts = {name: value for name, value in vars(self).items() if name != "figures"}
        return {**self.figures, **counts}


@dataclass(frozen=True)
class MeanMetrics:
    """Means over the cases of a study.

    Attributes
    ----------
    classes : mapping of int to ClassMeans
        By class value.
    overall : ClassMeans
        Means of the class means, so that each class weighs the same; counts are summed.
    cases : int
        How many cases were given.
    unit : {"mm", "voxels"}
        Of the surface distances.
    """

    classes: Mapping[int, ClassMeans]
    overall: ClassMeans
    cases: int
    unit: Unit = "mm"

    def to_dict(self) -> dict[str, Any]:
        """Return everything by name, with class values as strings, ready for JSON."""
        return {
            "unit": self.unit,
            "cases": self.cases,
            "overall": self.overall.to_dict(),
            "classes": {str(value): means.to_dict() for value, means in self.classes.items()},
        }


def measure_case(
    prediction: np.ndarray,
    reference: np.ndarray,
    class_values: Iterable[int],
    spacing: Sequence[float],
    *,
    unit: Unit = "mm",
) -> CaseMetrics:
    """Compare a predicted label map with the reference, class by class.

    Parameters
    ----------
    prediction, reference : numpy.ndarray, shape (z, y, x), integers or bool
        Class value of every voxel, on the same grid; uint8 is fastest. Other values than
        ``class_values`` are background.
    class_values : iterable of int
        Values to compare, without background.
    spacing : sequence of three floats
        Voxel size (z, y, x) in mm.
    unit : {"mm", "voxels"}
        Unit of the surface distances; voxels only to compare with papers that measure so.
        Volumes are in mL either way.

    Raises
    ------
    GeometryMismatch
        If the two maps differ in shape.
    BadLabel
        If a map does not hold integers.
    """
    # An image of one slice has outlines, not surfaces: every voxel would lie on the surface.
    flat = tuple(axis for axis, extent in enumerate(prediction.shape) if extent == 1)
    step = np.delete(np.asarray(spacing if unit == "mm" else (1.0, 1.0, 1.0), dtype=float), flat)
    voxel_volume_ml = math.prod(float(extent) for extent in spacing) / 1000
    classes = {
        value: _measure_class(
            MaskPair(predicted.squeeze(flat), truth.squeeze(flat), step, voxel_volume_ml)
        )
        for value, (predicted, truth) in _masks(prediction, reference, class_values)
    }
    return CaseMetrics(classes, unit)


def dice_per_class(
    prediction: np.ndarray, reference: np.ndarray, class_values: Iterable[int]
) -> dict[int, float | None]:
    """Return only the Dice of every class, which is fast enough to watch while training.

    Parameters
    ----------
    prediction, reference : numpy.ndarray, shape (z, y, x), integers or bool
    class_values : iterable of int
        Values to compare, without background.

    Returns
    -------
    dict of int to float or None
        By class value, as in :class:`ClassMetrics`.

    Raises
    ------
    GeometryMismatch, BadLabel
        As :func:`measure_case`.
    """
    masks = _masks(prediction, reference, class_values)
    return {value: MaskPair(*pair, np.ones(3), 1.0).dice for value, pair in masks}


def mean_of(cases: Iterable[CaseMetrics]) -> MeanMetrics:
    """Average cases per class and over the classes.

    Parameters
    ----------
    cases : iterable of CaseMetrics
        All in the same unit; a case may lack a class.

    Raises
    ------
    ValueError
        If cases in mm and in voxels are mixed.
    """
    cases = list(cases)
    units = {case.unit for case in cases}
    if len(units) > 1:
        raise ValueError("cases measured in mm and in voxels cannot be averaged together")
    values = sorted({value for case in cases for value in case.classes})
    classes = {
        value: _class_means([case.classes[value] for case in cases if value in case.classes])
        for value in values
    }
    means = list(classes.values())
    overall = ClassMeans(
        _averages(means),
        counted=sum(each.counted for each in means),
        not_counted=sum(each.not_counted for each in means),
        one_empty=sum(each.one_empty for each in means),
    )
    return MeanMetrics(classes, overall, len(cases), units.pop() if units else "mm")


def _masks(
    prediction: np.ndarray, reference: np.ndarray, class_values: Iterable[int]
) -> Iterator[tuple[int, tuple[np.ndarray, np.ndarray]]]:
    """Yield each class with its two masks, cropped to the box around both."""
    _check_maps(prediction, reference)
    predicted_boxes, reference_boxes = _class_boxes(prediction), _class_boxes(reference)
    for value in class_values:
        box = _union(predicted_boxes.get(value), reference_boxes.get(value))
        yield value, (prediction[box] == value, reference[box] == value)


def _check_maps(prediction: np.ndarray, reference: np.ndarray) -> None:
    """Refuse maps that cannot be compared voxel by voxel."""
    if prediction.shape != reference.shape or prediction.ndim != 3:
        raise GeometryMismatch(
            f"A prediction of shape {prediction.shape} cannot be compared with a label of shape "
            f"{reference.shape}: both must be (z, y, x) on the grid of the scan."
        )
    for name, voxels in (("prediction", prediction), ("label", reference)):
        if voxels.dtype.kind not in "iub":
            raise BadLabel(
                f"The {name} to compare holds {voxels.dtype} values: convert it to whole class "
                "values first."
            )


def _class_boxes(voxels: np.ndarray) -> dict[int, tuple[slice, ...]]:
    """Return the bounding box of every class value in the map, found in one pass."""
    if voxels.dtype.kind == "b":
        voxels = voxels.view(np.uint8)
    boxes = scipy.ndimage.find_objects(voxels)
    return {value: box for value, box in enumerate(boxes, start=1) if box is not None}


def _union(first: tuple[slice, ...] | None, second: tuple[slice, ...] | None) -> tuple[slice, ...]:
    """Return the smallest box around two boxes; any box, of one voxel, if there is neither."""
    if first is None or second is None:
        return first or second or (slice(0, 1),) * 3
    return tuple(
        slice(min(one.start, other.start), max(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )


def _measure_class(masks: MaskPair) -> ClassMetrics:
    return ClassMetrics({key: compute(masks) for key, compute in recorded().items()})


def _class_means(metrics: Sequence[ClassMetrics]) -> ClassMeans:
    """Average one class over the cases where each value is defined."""
    outcomes = [each.outcome for each in metrics]
    not_counted = outcomes.count("both empty")
    counted = len(outcomes) - not_counted
    return ClassMeans(
        _averages(metrics),
        counted=counted,
        not_counted=not_counted,
        one_empty=counted - outcomes.count("compared"),
    )


def _averages(rows: Sequence[ClassMetrics] | Sequence[ClassMeans]) -> Figures:
    """Return the mean of every recorded metric over the rows that have it."""
    return {key: mean_of_defined(row[key] for row in rows) for key in recorded()}


def score(metrics: CaseMetrics, measure: str, structure: int | None = None) -> float | None:
    """Return a metric of one case.

    Parameters
    ----------
    measure : str
        Key of `MEASURES`; volume errors have no sign.
    structure : int or None
        Class value; None takes the mean over the classes in which the metric is defined.

    Returns
    -------
    float or None
        None where it is not defined: the class is not known, both masks are empty, or for
        distances one of them; for per cent the label is.
    """
    if structure is None:
        return mean_of_defined(each[measure] for each in metrics.classes.values())
    of_class = metrics.classes.get(structure)
    return None if of_class is None else of_class[measure]


def mean_score(
    cases: Iterable[CaseMetrics], measure: str, structure: int | None = None
) -> float | None:
    """Return the mean of a metric over the cases in which it is defined.

    Parameters
    ----------
    measure : str
        Key of `MEASURES`.
    structure : int or None
        Class value; None takes the mean of the classes' means, so that each weighs the same.

    Returns
    -------
    float or None
        None where it is defined nowhere.
    """
    cases = list(cases)
    if structure is not None:
        return mean_of_defined(score(case, measure, structure) for case in cases)
    values = sorted({value for case in cases for value in case.classes})
    return mean_of_defined(mean_score(cases, measure, value) for value in values)


def mean_of_defined(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are there; None if there is none."""
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
