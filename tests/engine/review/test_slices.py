"""Slices in the order in which they need a look."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.review.slices import next_worst_slice, rank_slices, slice_needs

SPACING = (2.0, 1.0, 1.0)


def answer_with_doubt():
    answer = np.zeros((12, 20, 22), np.uint8)
    answer[2:10, 5:15, 6:16] = 1
    uncertainty = np.zeros(answer.shape, np.float32)
    uncertainty[7, 5:15, 5:7] = 1.0  # at the border of slice 7 across z
    uncertainty[4, 5:8, 5:7] = 1.0
    return answer, uncertainty


def test_the_slice_with_most_doubt_at_a_border_comes_first():
    answer, uncertainty = answer_with_doubt()
    needs = slice_needs(answer, uncertainty, None, SPACING, classes=2)
    ranked = rank_slices(needs, 0, SPACING)
    assert [need.index for need in ranked] == [7, 4]
    # 20 voxels of 1 mm² that are wrong with a chance of 1/2, a little less off the border
    assert 8 < ranked[0].wrong_mm2 < 10


def test_slices_are_ranked_across_the_axis_that_is_viewed():
    answer, uncertainty = answer_with_doubt()
    needs = slice_needs(answer, uncertainty, None, SPACING, classes=2)
    assert rank_slices(needs, 2, SPACING)[0].index in (5, 6)
    assert {need.axis for need in rank_slices(needs, 2, SPACING)} == {2}
    assert [len(needs[axis]) for axis in range(3)] == list(answer.shape)


def test_the_probably_wrong_volume_is_the_same_across_all_axes():
    answer, uncertainty = answer_with_doubt()
    needs = slice_needs(answer, uncertainty, None, SPACING, classes=2)
    volumes = [needs[axis].sum() * SPACING[axis] for axis in range(3)]
    assert volumes == pytest.approx([volumes[0]] * 3)


def test_stray_doubt_far_from_every_structure_does_not_win():
    answer, uncertainty = answer_with_doubt()
    answer = np.pad(answer, [(0, 12), (0, 0), (0, 0)])
    uncertainty = np.pad(uncertainty, [(0, 12), (0, 0), (0, 0)])
    uncertainty[22] = 0.5  # a whole slice, 24 mm away
    needs = slice_needs(answer, uncertainty, None, SPACING, classes=2)
    assert rank_slices(needs, 0, SPACING)[0].index == 7


def test_an_empty_answer_is_ranked_by_doubt_alone():
    uncertainty = np.zeros((5, 6, 7), np.float32)
    uncertainty[3] = 0.4
    needs = slice_needs(np.zeros((5, 6, 7), np.uint8), uncertainty, None, SPACING, classes=2)
    assert [need.index for need in rank_slices(needs, 0, SPACING)] == [3]


def test_disagreement_counts_where_the_model_is_sure():
    answer, _ = answer_with_doubt()
    disagreement = np.zeros(answer.shape, np.float32)
    disagreement[5, 4:6, 5:15] = 1.0
    needs = slice_needs(answer, np.zeros_like(disagreement), disagreement, SPACING, classes=2)
    assert rank_slices(needs, 0, SPACING)[0].index == 5


def test_without_any_map_of_doubt_there_is_nothing_to_rank_by():
    with pytest.raises(ValueError, match="neither"):
        slice_needs(np.zeros((2, 2, 2), np.uint8), None, None, SPACING, classes=2)


def test_the_next_worst_slice_passes_over_what_was_seen_and_ends():
    answer, uncertainty = answer_with_doubt()
    needs = slice_needs(answer, uncertainty, None, SPACING, classes=2)
    assert next_worst_slice(needs, 0, SPACING).index == 7
    assert next_worst_slice(needs, 0, SPACING, seen=[7]).index == 4
    assert next_worst_slice(needs, 0, SPACING, seen=[7, 4]) is None


def test_a_slice_tells_its_need_in_words():
    answer, uncertainty = answer_with_doubt()
    needs = slice_needs(answer, uncertainty, None, SPACING, classes=2)
    assert str(rank_slices(needs, 0, SPACING)[0]).startswith("slice z 7: about 9.")
    assert "cm²" in str(rank_slices({0: np.array([250.0])}, 0, SPACING)[0])


scores = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=40)


@given(scores, st.floats(0.3, 6.0), st.sets(st.integers(0, 39)))
def test_listed_slices_are_apart_from_each_other_and_from_seen_ones(needs, spacing, seen):
    ranked = rank_slices({1: np.array(needs)}, 1, (1.0, spacing, 1.0), seen=seen)
    listed = [need.index for need in ranked]
    apart = max(1.0, 3.0 / spacing)
    for position, index in enumerate(listed):
        assert all(abs(index - other) > apart for other in [*listed[:position], *seen])
    values = [need.wrong_mm2 for need in ranked]
    assert values == sorted(values, reverse=True)
    assert 0.0 not in values


@given(scores, st.floats(0.3, 6.0))
def test_every_doubtful_slice_is_listed_or_near_one_that_needs_a_look_at_least_as_much(
    needs, spacing
):
    ranked = rank_slices({0: np.array(needs)}, 0, (spacing, 1.0, 1.0))
    apart = max(1.0, 3.0 / spacing)
    for index, need in enumerate(needs):
        near = [each.wrong_mm2 for each in ranked if abs(each.index - index) <= apart]
        assert need == 0 or max(near) >= need


@given(scores, st.integers(0, 10))
def test_a_short_list_is_the_beginning_of_the_long_one(needs, most):
    whole = rank_slices({0: np.array(needs)}, 0, SPACING)
    assert rank_slices({0: np.array(needs)}, 0, SPACING, most=most) == whole[:most]
