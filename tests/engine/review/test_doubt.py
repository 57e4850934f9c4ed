"""How doubtful a voxel is, and how far it lies from a border."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.review.doubt import chance_of_error, distance_to_border, voxel_doubt


@given(st.floats(0.0, 0.5))
def test_the_entropy_of_two_classes_gives_back_the_chance_of_the_lesser_one(error):
    entropy = 0.0
    if error > 0:
        entropy = -(error * math.log2(error) + (1 - error) * math.log2(1 - error))
    found = chance_of_error(np.array([entropy]), classes=2)
    assert found[0] == pytest.approx(error, abs=2e-3)


@given(st.lists(st.floats(0.0, 1.0), min_size=2), st.integers(2, 20))
def test_more_uncertainty_never_means_less_chance_of_error(uncertainties, classes):
    chances = chance_of_error(np.sort(np.array(uncertainties)), classes)
    assert (np.diff(chances) >= 0).all()
    assert chances.min() >= 0
    assert chances.max() <= 0.5


def test_more_entropy_than_two_classes_have_is_a_chance_of_one_half():
    assert chance_of_error(np.array([1.0]), classes=3)[0] == pytest.approx(0.5)


def test_doubt_is_the_larger_of_chance_of_error_and_disagreement():
    uncertainty = np.array([[[1.0, 0.0]]])
    disagreement = np.array([[[0.2, 0.7]]])
    assert voxel_doubt(uncertainty, disagreement, 2).tolist() == [[[0.5, pytest.approx(0.7)]]]
    assert voxel_doubt(None, disagreement, 2)[0, 0, 1] == pytest.approx(0.7)
    assert voxel_doubt(uncertainty, None, 2)[0, 0, 0] == pytest.approx(0.5)
    assert voxel_doubt(None, None, 2) is None


def test_distances_to_the_border_are_in_millimetres_on_both_sides():
    answer = np.zeros((1, 1, 6), np.uint8)
    answer[..., 3:] = 255
    distance = distance_to_border(answer, (5.0, 5.0, 2.0))
    assert distance[0, 0].tolist() == [6, 4, 2, 2, 4, 6]


def test_without_a_border_every_distance_is_infinite():
    assert np.isinf(distance_to_border(np.zeros((3, 4, 5), np.uint8), (1, 1, 1))).all()
