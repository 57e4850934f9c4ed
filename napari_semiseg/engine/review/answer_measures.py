"""What can be measured of an answer without knowing the truth: size, pieces, place, doubt, agreement.

The same sizes, pieces and places are measured of the labels that people made, so that an answer can
be held against them. Every measure is of one class of one case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy  # its parts load when used, so the desk opens sooner

from napari_semiseg.engine.review.doubt import chance_of_error, distance_to_border
from napari_semiseg.engine.review.slices import MARGIN_MM, REACH_MM
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.volumes import Geometry

SMALLEST_PIECE = 0.01
"""Pieces below this share of their class are specks and are not counted."""

_CONNECTED = np.ones((3, 3, 3), bool)

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Shape:
    """A class of a label or of an answer.

    Attributes
    ----------
    volume_ml : float
        Volume; 0 where the class is absent, and then the rest is empty.
    pieces : int
        Connected components of at least 1 % of the volume; voxels that touch at a corner are connected.
    place : tuple of float or None
        Centre of mass in the scan, 0…1 from the lower, back and left end to the upper, front and right
        one of the patient, whatever the order of the voxels in the file.
    """

    volume_ml: float
    pieces: int = 0
    place: tuple[float, float, float] | None = None

    @property
    def present(self) -> bool:
        """Whether any voxel has the class."""
        return self.volume_ml > 0


@dataclass(frozen=True)
class Answer:
    """What a model says about one class of one case, and how sure it is.

    Attributes
    ----------
    shape : Shape
        Of what is marked.
    doubtful : float or None
        Volume inside that is probably marked wrongly, as a share of the volume; None without an
        uncertainty map.
    missed : float or None
        Volume around the border that is probably missed, as a share of the volume.
    apart : float or None
        How far the method's own two answers lie apart in and around the class: the summed disagreement
        as a share of the volume; None for a method with one answer.
    other_run : float or None
        1 − Dice between this answer and that of another run; None where there is no other.
    """

    shape: Shape
    doubtful: float | None = None
    missed: float | None = None
    apart: float | None = None
    other_run: float | None = None

    @property
    def expected_overlap(self) -> float | None:
        """Dice that the answer would have on average if its probabilities were true."""
        if self.doubtful is None or self.missed is None:
            return None
        right = 1.0 - self.doubtful
        return 2 * right / (1.0 + right + self.missed)


def measure_shapes(
    label: np.ndarray, geometry: Geometry, class_values: Iterable[int]
) -> dict[int, Shape]:
    """Measure the classes of a label.

    Parameters
    ----------
    label : ndarray of int, shape (z, y, x)
        Class values of a whole case; of a label that is finished in some slices only, neither size
        nor place mean anything.

    Returns
    -------
    dict of int to Shape
        By class value; absent classes too.
    """
    boxes = scipy.ndimage.find_objects(label)
    return {value: _shape(label, value, geometry, _box_of(boxes, value)) for value in class_values}


def measure_answer(
    prediction: np.ndarray,
    geometry: Geometry,
    class_values: Iterable[int],
    *,
    uncertainty: np.ndarray | None = None,
    disagreement: np.ndarray | None = None,
    other_prediction: np.ndarray | None = None,
) -> dict[int, Answer]:
    """Measure what a model says about a case.

    Parameters
    ----------
    prediction : ndarray of int, shape (z, y, x)
        Predicted class values.
    uncertainty : ndarray or None
        (z, y, x) normalised entropy, 0…1.
    disagreement : ndarray or None
        (z, y, x) how far two answers of the method lie apart, 0…1.
    other_prediction : ndarray or None
        (z, y, x) class values that another run predicts.

    Returns
    -------
    dict of int to Answer
        By class value; absent classes too.
    """
    values = list(class_values)
    boxes = scipy.ndimage.find_objects(prediction)
    answers: dict[int, Answer] = {}
    for value in values:
        box = _box_of(boxes, value)
        shape = _shape(prediction, value, geometry, box)
        other = None
        if other_prediction is not None:
            other = _disagreement_of_runs(prediction, other_prediction, value)
        if box is None:
            answers[value] = Answer(shape, other_run=other)
            continue
        around = _with_margin(box, geometry)
        weights = _Weights.of(prediction[around] == value, geometry.spacing)
        doubtful = missed = apart = None
        if uncertainty is not None:
            error = chance_of_error(uncertainty[around], len(values) + 1)
            doubtful, missed = weights.inside(error), weights.outside(error)
        if disagreement is not None:
            apart = weights.inside(disagreement[around]) + weights.outside(disagreement[around])
        answers[value] = Answer(shape, doubtful, missed, apart, other)
    return answers


@dataclass(frozen=True, eq=False)
class _Weights:
    """How much each voxel in and around a class counts for it, divided by its number of voxels."""

    mask: np.ndarray
    near: np.ndarray
    count: int

    @classmethod
    def of(cls, mask: np.ndarray, spacing: tuple[float, float, float]) -> _Weights:
        distance = distance_to_border(mask.view(np.uint8), spacing) / REACH_MM
        return cls(mask, np.exp(-0.5 * distance**2), int(np.count_nonzero(mask)))

    def inside(self, values: np.ndarray) -> float:
        return float(values[self.mask].sum(dtype=np.float64)) / self.count

    def outside(self, values: np.ndarray) -> float:
        weighted = (values * self.near)[~self.mask]
        return float(weighted.sum(dtype=np.float64)) / self.count


def _box_of(boxes: list[Box | None], value: int) -> Box | None:
    return boxes[value - 1] if value <= len(boxes) else None


def _with_margin(box: Box, geometry: Geometry) -> Box:
    z, y, x = (
        slice(max(0, part.start - margin), min(extent, part.stop + margin))
        for part, extent, margin in zip(
            box,
            geometry.shape,
            (int(np.ceil(MARGIN_MM / size)) for size in geometry.spacing),
            strict=True,
        )
    )
    return z, y, x


def _shape(label: np.ndarray, value: int, geometry: Geometry, box: Box | None) -> Shape:
    if box is None:
        return Shape(0.0)
    mask = label[box] == value
    components, _ = scipy.ndimage.label(mask, structure=_CONNECTED)
    sizes = np.bincount(components.ravel())[1:]
    volume = int(sizes.sum())
    centre = [
        part.start + middle + 0.5
        for part, middle in zip(box, scipy.ndimage.center_of_mass(mask), strict=True)
    ]
    return Shape(
        volume_ml=volume * geometry.voxel_volume_ml,
        pieces=int(np.count_nonzero(sizes >= SMALLEST_PIECE * volume)),
        place=_place(np.array(centre) / geometry.shape, geometry),
    )


def _place(relative: np.ndarray, geometry: Geometry) -> tuple[float, float, float]:
    """Turn a position 0…1 along the voxel axes to the patient's axes."""
    grid = ModelGrid.of(geometry, geometry.spacing)
    z, y, x = (
        float(1 - relative[axis] if flip else relative[axis])
        for axis, flip in zip(grid.axes, grid.flips, strict=True)
    )
    return z, y, x


def _disagreement_of_runs(first: np.ndarray, second: np.ndarray, value: int) -> float:
    """Return 1 − Dice of a class in two predictions; 0 where neither has it."""
    one, other = first == value, second == value
    total = np.count_nonzero(one) + np.count_nonzero(other)
    return 1.0 - 2 * np.count_nonzero(one & other) / total if total else 0.0
