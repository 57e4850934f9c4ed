"""Choosing scans that are unsure and unlike each other."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_semiseg.engine.review.diversity import choose_diverse, standardised


def test_of_equally_far_scans_the_most_unsure_comes_first():
    features = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    chosen = choose_diverse(np.array([1, 4, 2, 3]), features, np.zeros((1, 2)), 1)
    assert [each.index for each in chosen] == [1]
    assert chosen[0].nearest == 0


def test_a_twin_of_a_chosen_scan_waits():
    features = np.array([[5.0, 0], [5.0, 0.01], [0, 5.0]])
    chosen = choose_diverse(np.array([0.9, 0.89, 0.5]), features, np.zeros((1, 2)), 3)
    assert [each.index for each in chosen] == [0, 2, 1]
    assert chosen[2].nearest == 1 + 0  # the known one, then the first candidate


def test_with_nothing_known_the_most_unsure_begins():
    features = np.array([[0.0], [9.0], [1.0]])
    chosen = choose_diverse(np.array([0.1, 0.2, 0.3]), features, np.zeros((0, 1)), 2)
    assert chosen[0].index == 2
    assert chosen[0].nearest is None
    assert chosen[1].index == 1
    assert chosen[1].nearest == 2


def test_scans_that_are_all_alike_are_chosen_by_uncertainty():
    chosen = choose_diverse(np.array([0.1, 0.3, 0.2]), np.ones((3, 4)), np.ones((2, 4)), 3)
    assert [each.index for each in chosen] == [1, 2, 0]


def test_features_of_any_unit_weigh_the_same():
    random = np.random.default_rng(0)
    features = random.normal(size=(20, 3))
    assert np.allclose(standardised(features), standardised(features * [1, 1e3, 1e-3] + 7))
    assert (standardised(np.ones((4, 2))) == 0).all()


@given(
    arrays.arrays(float, (9, 3), elements=st.floats(-5, 5)),
    arrays.arrays(float, (9,), elements=st.floats(0, 1)),
    st.integers(0, 12),
    st.integers(0, 3),
)
def test_every_candidate_is_chosen_at_most_once(features, unsure, count, known):
    chosen = choose_diverse(unsure, features, np.zeros((known, 3)), count)
    assert len({each.index for each in chosen}) == len(chosen) == min(count, 9)
    assert all(0 <= each.score <= 1 for each in chosen)
