"""What is usual in a study."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.review.answer_measures import Answer, Shape
from napari_semiseg.engine.review.usual import FIXED_LIMITS, Spread, what_is_usual

PLACE = (0.5, 0.5, 0.5)


def test_sizes_pieces_and_places_come_from_the_labels():
    labels = [{1: Shape(volume, pieces, PLACE)} for volume, pieces in ((1, 1), (2, 3), (4, 1))]
    usual = what_is_usual([*labels, {1: Shape(0.0)}], [], [1])[1]
    assert (usual.labels, usual.present, usual.most_pieces) == (4, 3, 3)
    assert usual.log_volume.middle == pytest.approx(math.log(2))
    assert usual.log_volume.highest == pytest.approx(math.log(4))
    assert [axis.middle for axis in usual.place] == [0.5, 0.5, 0.5]


def test_a_class_that_no_label_shows_has_no_size():
    usual = what_is_usual([{1: Shape(0.0)}], [], [1])[1]
    assert usual.log_volume is None
    assert usual.present == 0
    assert usual.place == ()


def test_one_label_is_believed_only_with_the_spread_of_anatomy():
    one = Spread.of([0.0], 0.25)
    assert one.deviation == pytest.approx(math.sqrt(4 / 5 * 0.25**2 * 2))
    many = Spread.of(np.random.default_rng(0).normal(0, 0.05, 400).tolist(), 0.25)
    assert many.deviation == pytest.approx(0.05, abs=0.02)


def test_one_wild_label_hardly_widens_the_spread():
    values = [0.0, 0.1, -0.1, 0.05, -0.05, 0.02]
    assert Spread.of([*values, 9.0], 0.25).deviation < 1.2 * Spread.of(values, 0.25).deviation


def test_few_answers_leave_the_limits_fixed():
    answers = [{1: Answer(Shape(1.0, 1, PLACE), 0.5, 0.5)}] * 4
    assert what_is_usual([], answers, [1])[1].limits == FIXED_LIMITS


def test_limits_lie_above_what_most_answers_show():
    random = np.random.default_rng(0)
    shares = np.exp(random.normal(math.log(0.05), 0.2, 200))
    answers = [{1: Answer(Shape(1.0, 1, PLACE), share, share)} for share in shares]
    limit = what_is_usual([], answers, [1])[1].limits["doubtful"]
    assert np.mean(shares > limit) < 0.02
    assert limit < 0.15


def test_answers_that_are_all_alike_still_have_room_above_them():
    answers = [{1: Answer(Shape(1.0, 1, PLACE), 0.05, 0.05, 0.0)}] * 6
    limits = what_is_usual([], answers, [1])[1].limits
    assert limits["doubtful"] == pytest.approx(0.05 * math.exp(0.25))
    assert limits["apart"] > 0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(-3, 3))
def test_shifting_all_labels_shifts_what_is_usual(values, shift):
    before = Spread.of(values, 0.25)
    after = Spread.of([value + shift for value in values], 0.25)
    assert after.middle == pytest.approx(before.middle + shift, abs=1e-9)
    assert after.deviation == pytest.approx(before.deviation, abs=1e-9)
    assert after.deviation > 0
