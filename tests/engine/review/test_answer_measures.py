"""Size, pieces, place, doubt and agreement of a class."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.review.answer_measures import (
    Answer,
    Shape,
    measure_answer,
    measure_shapes,
)
from napari_semiseg.engine.volumes import Geometry
from tests.engine.inference.known_answers import affine_of
from tests.engine.review.simulated_answers import GRID, SHAPE, VALUES, answer, truth


def test_a_box_has_its_volume_one_piece_and_its_centre():
    label = np.zeros(SHAPE, np.uint8)
    label[0:14, 10:20, 18:36] = 2
    shapes = measure_shapes(label, GRID, VALUES)
    assert shapes[2].volume_ml == pytest.approx(14 * 10 * 18 * 1.5 / 1000)
    assert shapes[2].pieces == 1
    assert shapes[2].place == pytest.approx((0.25, 15 / 40, 0.75))
    assert shapes[1] == Shape(0.0)
    assert not shapes[1].present


def test_specks_are_no_pieces():
    label = np.zeros(SHAPE, np.uint8)
    label[2:12, 2:12, 2:12] = 1
    label[20, 20, 20] = 1
    assert measure_shapes(label, GRID, [1])[1].pieces == 1
    label[20:23, 20:23, 20:23] = 1
    assert measure_shapes(label, GRID, [1])[1].pieces == 2


def test_the_place_is_the_patients_whatever_the_order_of_the_voxels():
    label = truth(0)
    place = measure_shapes(label, GRID, [1])[1].place
    # voxel axes z, y, x of the file run to the left, downwards and to the front
    turned = np.transpose(label, (2, 0, 1))[::-1, ::-1]
    grid = Geometry(turned.shape, affine_of("AIL", (1.0, 1.5, 1.0)), None)
    assert measure_shapes(turned, grid, [1])[1].place == pytest.approx(place)


def test_doubt_is_summed_inside_and_around_as_a_share_of_the_volume():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[5:15, 5:15, 5:15] = 1
    uncertainty = np.zeros(SHAPE, np.float32)
    uncertainty[5, 5:15, 5:15] = 1.0  # 100 of 1000 voxels, each wrong with a chance of 1/2
    uncertainty[25, 30:, 30:] = 1.0  # far away
    found = measure_answer(prediction, GRID, VALUES, uncertainty=uncertainty)[1]
    assert found.doubtful == pytest.approx(0.05)
    assert found.missed == pytest.approx(0.0, abs=0.001)
    assert found.apart is None
    assert found.other_run is None
    assert found.expected_overlap == pytest.approx(2 * 950 / (1000 + 950), abs=0.001)


def test_a_blurred_answer_expects_the_overlap_that_it_has():
    label = truth(3)
    prediction, uncertainty = answer(label)
    found = measure_answer(prediction, GRID, VALUES, uncertainty=uncertainty)
    assert all(0.6 < each.expected_overlap < 0.98 for each in found.values())


def test_answers_of_two_runs_are_compared_with_dice():
    first, second = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    first[0:10, 0:10, 0:10] = 1
    second[5:15, 0:10, 0:10] = 1
    found = measure_answer(first, GRID, VALUES, other_prediction=second)
    assert found[1].other_run == pytest.approx(0.5)
    assert found[2].other_run == 0.0
    only_there = measure_answer(np.zeros_like(first), GRID, VALUES, other_prediction=second)
    assert only_there[1].other_run == 1.0


def test_two_answers_of_a_method_differ_by_the_summed_disagreement():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[5:15, 5:15, 5:15] = 1
    disagreement = np.zeros(SHAPE, np.float32)
    disagreement[5, 5:15, 5:15] = 0.5
    found = measure_answer(prediction, GRID, VALUES, disagreement=disagreement)
    assert found[1].apart == pytest.approx(0.05)
    assert found[1].expected_overlap is None


def test_the_highest_class_value_can_be_measured():
    prediction = np.zeros(SHAPE, np.uint8)
    prediction[5:15, 5:15, 5:15] = 255
    uncertainty = np.full(SHAPE, 0.1, np.float32)
    assert measure_answer(prediction, GRID, [255], uncertainty=uncertainty)[255].missed > 0


shares = st.floats(0.0, 0.5)


@given(shares, shares, st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_more_doubt_never_lets_expect_more_overlap(doubtful, missed, more_doubt, more_missed):
    shape = Shape(1.0, 1, (0.5, 0.5, 0.5))
    before = Answer(shape, doubtful, missed).expected_overlap
    after = Answer(shape, min(1.0, doubtful + more_doubt), missed + more_missed).expected_overlap
    assert 0 <= after <= before <= 1
