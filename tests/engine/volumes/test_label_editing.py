from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_semiseg.engine.volumes.label_editing import (
    LabelEdit,
    fill_holes,
    interpolate_between_slices,
    keep_largest_component,
    limit_to_window,
)

ISOTROPIC = (1.0, 1.0, 1.0)

small_labels = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, 2)
)
axes = st.integers(0, 2)


def applied(label: np.ndarray, edit: LabelEdit) -> np.ndarray:
    edited = label.copy()
    edit.apply(edited)
    return edited


def disc(radius: float, spacing: tuple[float, float], centre: tuple[int, int] = (30, 30)):
    rows, columns = np.ogrid[:61, :61]
    y, x = (rows - centre[0]) * spacing[0], (columns - centre[1]) * spacing[1]
    return (y**2 + x**2 <= radius**2).astype(np.uint8)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_between_two_equal_outlines_lies_the_same_outline(axis: int) -> None:
    label = np.zeros((7, 61, 61), np.uint8)
    label[1] = label[5] = disc(12, (1, 1))
    label = np.moveaxis(label, 0, axis)
    edited = np.moveaxis(
        applied(label, interpolate_between_slices(label, 1, axis, ISOTROPIC)), axis, 0
    )
    for index in range(1, 6):
        np.testing.assert_array_equal(edited[index], disc(12, (1, 1)))
    assert not edited[[0, 6]].any()


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.5, 1.5)])
def test_radii_of_discs_change_linearly_in_millimetres(spacing: tuple[float, float]) -> None:
    label = np.zeros((5, 61, 61), np.uint8)
    label[0], label[4] = disc(4.2, spacing), disc(12.2, spacing)
    edited = applied(label, interpolate_between_slices(label, 1, 0, (3.0, *spacing)))
    half_a_voxel = max(spacing) / 2
    for index, radius in ((1, 6.2), (2, 8.2), (3, 10.2)):
        assert (edited[index] >= disc(radius - half_a_voxel - 0.1, spacing)).all()
        assert (edited[index] <= disc(radius + half_a_voxel + 0.1, spacing)).all()


def test_outlines_that_do_not_overlap_travel_between_their_centres() -> None:
    label = np.zeros((5, 61, 61), np.uint8)
    label[0], label[4] = disc(5, (1, 1), (12, 30)), disc(5, (1, 1), (48, 30))
    edited = applied(label, interpolate_between_slices(label, 1, 0, ISOTROPIC))
    for index, row in ((1, 21), (2, 30), (3, 39)):
        np.testing.assert_array_equal(edited[index], disc(5, (1, 1), (row, 30)))


def test_each_gap_is_filled_from_its_own_two_ends() -> None:
    label = np.zeros((9, 61, 61), np.uint8)
    for index, radius in ((0, 4), (4, 12), (8, 4)):
        label[index] = disc(radius, (1, 1))
    edited = applied(label, interpolate_between_slices(label, 1, 0, ISOTROPIC))
    np.testing.assert_array_equal(edited, edited[::-1])
    assert (np.diff(edited[:5].sum(axis=(1, 2)).astype(int)) > 0).all()


def test_a_slice_that_is_full_has_a_distance_too() -> None:
    label = np.zeros((3, 8, 8), np.uint8)
    label[[0, 2]] = 1
    assert applied(label, interpolate_between_slices(label, 1, 0, ISOTROPIC)).all()


def test_a_finished_slice_without_the_class_ends_the_structure() -> None:
    label = np.zeros((7, 9, 9), np.uint8)
    label[[0, 4, 6], 2:7, 2:7] = 1
    edit = interpolate_between_slices(label, 1, 0, ISOTROPIC, finished=[2])
    assert set(edit.positions[0]) == {5}


def test_other_classes_change_only_where_that_is_asked_for() -> None:
    label = np.zeros((3, 9, 9), np.uint8)
    label[[0, 2], 2:7, 2:7] = 1
    label[1, 3:5, 3:5] = 2
    kept = applied(label, interpolate_between_slices(label, 1, 0, ISOTROPIC))
    assert (kept[1, 3:5, 3:5] == 2).all()
    assert (kept[1] == 1).sum() == 21
    replaced = applied(label, interpolate_between_slices(label, 1, 0, ISOTROPIC, overwrite=True))
    assert (replaced[1] == 1).sum() == 25


@pytest.mark.parametrize("painted", [[], [3], [3, 4]])
def test_without_a_gap_there_is_nothing_to_interpolate(painted: list[int]) -> None:
    label = np.zeros((7, 5, 5), np.uint8)
    label[painted, 1:4, 1:4] = 1
    assert len(interpolate_between_slices(label, 1, 0, ISOTROPIC)) == 0


@settings(deadline=None, max_examples=60)
@given(small_labels, axes)
def test_interpolation_adds_the_class_and_nothing_else(label: np.ndarray, axis: int) -> None:
    edit = interpolate_between_slices(label, 1, axis, (1.0, 0.5, 2.0))
    assert (edit.before == 0).all()
    assert (edit.after == 1).all()
    edited = applied(label, edit)
    holds = (label == 1).any(axis=tuple({0, 1, 2} - {axis}))
    untouched = np.moveaxis(edited, axis, 0)[holds]
    np.testing.assert_array_equal(untouched, np.moveaxis(label, axis, 0)[holds])
    edit.revert(edited)
    np.testing.assert_array_equal(edited, label)


@settings(deadline=None, max_examples=60)
@given(small_labels, axes)
def test_interpolation_does_not_depend_on_which_end_comes_first(
    label: np.ndarray, axis: int
) -> None:
    forwards = applied(label, interpolate_between_slices(label, 1, axis, ISOTROPIC))
    turned = np.flip(label, axis).copy()
    backwards = applied(turned, interpolate_between_slices(turned, 1, axis, ISOTROPIC))
    differ = forwards != np.flip(backwards, axis)
    assert differ.mean() <= 0.05  # rounding decides ties where outlines travel


def test_only_the_largest_of_several_components_stays() -> None:
    label = np.zeros((6, 9, 9), np.uint8)
    label[1:4, 1:4, 1:4] = 1
    label[4, 4, 4] = 1  # touches a corner and belongs to it
    label[0, 7:9, 7:9] = 1
    label[5, 0, 8] = 1
    label[5, 8, 0] = 2
    edited = applied(label, keep_largest_component(label, 1))
    assert (edited == 1).sum() == 28
    assert edited[4, 4, 4] == 1
    assert edited[5, 8, 0] == 2
    assert not edited[0].any()


@settings(deadline=None, max_examples=60)
@given(small_labels)
def test_keeping_the_largest_component_twice_is_keeping_it_once(label: np.ndarray) -> None:
    edit = keep_largest_component(label, 1)
    edited = applied(label, edit)
    assert len(keep_largest_component(edited, 1)) == 0
    assert (edited == 1).any() == (label == 1).any()
    edit.revert(edited)
    np.testing.assert_array_equal(edited, label)


def shell() -> np.ndarray:
    label = np.zeros((7, 7, 7), np.uint8)
    label[1:6, 1:6, 1:6] = 1
    label[2:5, 2:5, 2:5] = 0
    return label


def test_a_closed_shell_is_filled_and_an_open_one_is_not() -> None:
    label = shell()
    edit = fill_holes(label, 1)
    assert len(edit) == 27
    assert (applied(label, edit)[1:6, 1:6, 1:6] == 1).all()
    label[1, 3, 3] = 0
    assert len(fill_holes(label, 1)) == 0


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_within_slices_a_ring_is_filled_though_its_tube_is_open(axis: int) -> None:
    label = np.zeros((4, 7, 7), np.uint8)
    label[:, 1:6, 1:6] = 1
    label[:, 2:5, 2:5] = 0
    label = np.moveaxis(label, 0, axis).copy()
    assert len(fill_holes(label, 1)) == 0
    assert len(fill_holes(label, 1, axis)) == 4 * 9


def test_another_class_in_a_hole_stays_unless_it_may_change() -> None:
    label = shell()
    label[3, 3, 3] = 2
    assert len(fill_holes(label, 1)) == 26
    assert len(fill_holes(label, 1, overwrite=True)) == 27


@settings(deadline=None, max_examples=60)
@given(small_labels, st.one_of(st.none(), axes))
def test_after_filling_there_are_no_holes_left(label: np.ndarray, axis: int | None) -> None:
    edit = fill_holes(label, 1, axis, overwrite=True)
    assert len(fill_holes(applied(label, edit), 1, axis, overwrite=True)) == 0
    careful = applied(label, fill_holes(label, 1, axis))
    np.testing.assert_array_equal(careful == 2, label == 2)


def test_a_stroke_outside_the_window_is_taken_back() -> None:
    before = np.array([[[2, 0, 0, 1]]], np.uint8)
    after = np.array([[[1, 1, 1, 1]]], np.uint8)
    intensities = np.array([[[-50.0, 10.0, 40.0, 900.0]]])
    edit = limit_to_window(before, after, intensities, 0, 40)
    np.testing.assert_array_equal(applied(after, edit), [[[2, 1, 1, 1]]])


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_no_stroke_changes_a_voxel_outside_the_window(data: st.DataObject) -> None:
    before = data.draw(small_labels)
    after = data.draw(hnp.arrays(np.uint8, before.shape, elements=st.integers(0, 2)))
    intensities = data.draw(hnp.arrays(np.int16, before.shape, elements=st.integers(-3, 3)))
    limited = applied(after, limit_to_window(before, after, intensities, -1, 1))
    inside = np.abs(intensities) <= 1
    np.testing.assert_array_equal(limited, np.where(inside, after, before))


def test_what_was_painted_meanwhile_stays() -> None:
    label = shell()
    edit = fill_holes(label, 1)
    label[3, 3, 3] = 2
    edit.still_fitting(label).apply(label)
    assert label[3, 3, 3] == 2
    assert (label == 1).sum() == 124
