from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def slices(desk, background):
    desk.on_show.show("scan_0")
    background.finish()
    return desk.slices


def turn(desk, order):
    desk.on_show.layers.dims.order = order


def test_without_a_scan_there_are_no_slices(desk):
    slices = desk.slices
    assert slices.axis is slices.current is None
    assert len(slices.painted) == 0
    assert "choose one" in slices.why_not_mark()
    slices.show(3)
    slices.mark_current()


def test_the_slices_are_those_that_the_view_cuts(desk, slices):
    assert (slices.axis, slices.plane) == (0, "axial")
    np.testing.assert_array_equal(np.flatnonzero(slices.painted), range(3, 9))
    turn(desk, (1, 0, 2))
    assert (slices.axis, slices.plane) == (1, "coronal")
    np.testing.assert_array_equal(np.flatnonzero(slices.painted), range(4, 9))
    turn(desk, (2, 0, 1))
    assert (slices.axis, slices.plane) == (2, "sagittal")
    assert len(slices.painted) == 16


def test_gaps_are_empty_slices_between_painted_ones(desk, slices, qtbot):
    layer = desk.on_show.layers.label_layer
    assert not slices.has_gaps
    rows = np.nonzero(np.asarray(layer.data)[5])
    layer.data_setitem((np.full(len(rows[0]), 5), *rows), 0)
    qtbot.waitUntil(lambda: slices.has_gaps)
    layer.data_setitem(np.nonzero(layer.data), 0)
    qtbot.waitUntil(lambda: not slices.has_gaps)


def test_in_3d_there_are_no_slices(desk, slices):
    desk.on_show.layers.dims.ndisplay = 3
    assert slices.axis is None
    assert "3D view" in slices.why_not_mark()


def test_going_to_a_slice_stops_at_the_ends(slices):
    for index, expected in ((5, 5), (99, 11), (-3, 0)):
        slices.show(index)
        assert slices.current == expected


def test_the_slice_is_told_in_voxels_whatever_the_spacing(desk, slices):
    desk.on_show.layers.dims.set_point(0, 8.0)
    assert slices.current == 4


def test_painting_and_undo_change_what_is_painted(desk, slices, qtbot):
    layer = desk.on_show.layers.label_layer
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    qtbot.waitUntil(lambda: slices.painted[0])
    layer.undo()
    qtbot.waitUntil(lambda: not slices.painted[0])


def test_marks_are_stored_and_taken_away(desk, slices, background):
    for index in (2, 5):
        slices.show(index)
        slices.mark_current()
        background.finish()
    assert slices.done == {2, 5}
    assert desk.open_study.study.case("scan_0").done_slices.along[0] == {2, 5}
    slices.mark_current()
    background.finish()
    assert slices.done == {2}


def test_marks_belong_to_their_direction(desk, slices, background):
    slices.show(2)
    slices.mark_current()
    background.finish()
    turn(desk, (1, 0, 2))
    assert slices.done == frozenset()


def test_the_last_stroke_is_saved_before_its_slice_is_marked(desk, slices, background):
    layer = desk.on_show.layers.label_layer
    layer.data_setitem((np.array([2]), np.array([0]), np.array([0])), 1)
    slices.show(2)
    slices.mark_current()
    background.finish()
    assert desk.open_study.study.labels.load_for_training("scan_0")[2, 0, 0] == 1
    assert desk.open_study.study.labels.load_for_training("scan_0")[3, 0, 0] == 255


def test_slices_of_a_held_out_scan_are_not_marked(desk, slices, background):
    desk.scans.hold_out("scan_0")
    background.finish()
    assert "held out" in slices.why_not_mark()
    slices.mark_current()
    assert not background.waiting


def test_a_label_layer_that_the_user_removes_has_no_slices(desk, slices):
    viewer = desk.on_show.layers.viewer
    viewer.layers.remove(desk.on_show.layers.label_layer)
    assert slices.axis is slices.current is None


def test_after_the_session_is_closed_nobody_is_told(desk, slices):
    told = []
    slices.changed.connect(lambda: told.append(True))
    slices.show(5)
    assert told
    told.clear()
    desk.close()
    desk.on_show.layers.dims.set_point(0, 2.0)
    desk.on_show.layers.dims.order = (1, 0, 2)
    assert not told
