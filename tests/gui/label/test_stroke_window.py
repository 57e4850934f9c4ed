from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_semiseg.engine.study import parse_classes
from napari_semiseg.gui.label.stroke_window import StrokeWindow
from napari_semiseg.gui.viewer.label_edits import LabelEdits

SHAPE = (8, 20, 24)
SPACING = (2.0, 1.0, 1.0)


@pytest.fixture
def scan():
    """Dark on the left, bright on the right."""
    voxels = np.zeros(SHAPE, np.float32)
    voxels[:, :, 12:] = 100
    return voxels


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    viewer.dims.set_point(0, 8.0)
    return viewer


@pytest.fixture
def layer(viewer, scan):
    viewer.add_image(scan, scale=SPACING)
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), scale=SPACING)
    viewer.dims.set_point(0, 8.0)
    layer.brush_size = 5
    layer.mode = "paint"
    return layer


@pytest.fixture
def strokes(layer, scan):
    strokes = StrokeWindow(lambda: scan)
    strokes.watch(layer)
    strokes.limits = (50, 150)
    return strokes


def drag(layer, *points, button=1):
    """Drag the mouse through points (y, x) of the slice on show."""
    places = [(8.0, *map(float, point)) for point in points]
    event = SimpleNamespace(
        type="mouse_press",
        button=button,
        position=places[0],
        view_direction=None,
        dims_displayed=[1, 2],
        pos=(0, 0),
        modifiers=(),
        is_dragging=True,
    )
    mouse_press_callbacks(layer, event)
    event.type = "mouse_move"
    for event.position in places[1:]:
        mouse_move_callbacks(layer, event)
    event.type = "mouse_release"
    mouse_release_callbacks(layer, event)


def test_a_stroke_paints_only_inside_the_window(layer, strokes, scan):
    drag(layer, (10, 6), (10, 18))
    painted = np.asarray(layer.data)
    assert painted.any()
    assert (scan[painted > 0] == 100).all()
    assert set(np.flatnonzero(painted.any(axis=(1, 2)))) == {4}


def test_one_undo_takes_the_stroke_back_and_one_redo_brings_what_was_left_of_it(layer, strokes):
    before = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    layer.data[...] = before
    layer.refresh()
    drag(layer, (10, 6), (12, 18))
    limited = np.array(layer.data)
    assert (limited != before).any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    layer.redo()
    np.testing.assert_array_equal(layer.data, limited)


def test_strokes_are_limited_in_every_mode_that_was_chosen_after(layer, strokes, scan):
    layer.data[...] = 1
    layer.mode = "pan_zoom"
    layer.mode = "erase"
    drag(layer, (10, 6), (10, 18))
    assert (scan[np.asarray(layer.data) == 0] == 100).all()
    assert (np.asarray(layer.data) == 0).any()
    layer.mode = "fill"
    layer.selected_label = 2
    drag(layer, (2, 2))
    filled = np.asarray(layer.data) == 2
    assert filled.any()
    assert (scan[filled] == 100).all()


def test_a_ball_is_limited_in_all_its_slices(layer, strokes, scan):
    layer.n_edit_dimensions = 3
    layer.brush_size = 9
    drag(layer, (10, 11), (10, 13))
    painted = np.asarray(layer.data) > 0
    assert painted.any(axis=(1, 2)).sum() == 5
    assert (scan[painted] == 100).all()
    layer.undo()
    assert not np.asarray(layer.data).any()


def test_a_fill_in_3d_is_limited_and_stays_one_step(layer, strokes, scan, qtbot):
    layer.n_edit_dimensions = 3
    layer.mode = "fill"
    layer.selected_label = 2
    drag(layer, (10, 11))
    qtbot.waitUntil(lambda: not (np.asarray(layer.data)[scan == 0] == 2).any())
    assert (np.asarray(layer.data)[scan == 100] == 2).all()
    layer.undo()
    assert not np.asarray(layer.data).any()


def test_a_polygon_is_limited_and_stays_one_step(layer, strokes, scan, qtbot):
    drag(layer, (10, 18))
    stroke = np.array(layer.data)
    corners = [(4, 2, 2), (4, 2, 20), (4, 17, 20), (4, 17, 2)]
    layer.paint_polygon(np.array(corners), 1)
    qtbot.waitUntil(lambda: not (scan[np.asarray(layer.data) > 0] == 0).any())
    assert (np.asarray(layer.data) > 0).sum() > (stroke > 0).sum()
    layer.undo()
    np.testing.assert_array_equal(layer.data, stroke)


def test_those_who_save_edits_hear_of_a_polygon_when_it_is_limited(viewer, layer, scan, qtbot):
    told = []
    edits = LabelEdits(viewer.dims, told.append)
    edits.watch(layer, parse_classes("1=box"), np.zeros(SHAPE, np.uint8))
    strokes = StrokeWindow(lambda: scan)
    strokes.watch(layer)
    strokes.limits = (50, 150)
    corners = [(4, 2, 2), (4, 2, 20), (4, 17, 20), (4, 17, 2)]
    layer.paint_polygon(np.array(corners), 1)
    qtbot.wait(20)
    [edit] = told
    assert (scan[edit.box][edit.painted] == 100).all()
    assert edit.painted.any()


def test_without_limits_and_while_paused_everything_is_painted(layer, strokes, scan, qtbot):
    with strokes.paused():
        layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    strokes.limits = None
    drag(layer, (10, 6), (10, 18))
    qtbot.wait(20)
    assert layer.data[0, 0, 0] == 1
    assert (scan[np.asarray(layer.data) > 0] == 0).any()


def test_a_layer_that_is_let_go_paints_as_before(layer, strokes):
    callbacks = list(layer.mouse_drag_callbacks)
    strokes.watch(None)
    assert len(layer.mouse_drag_callbacks) == len(callbacks) - 2
    drag(layer, (10, 4))
    assert layer.data[4, 10, 4] == 1


def test_in_a_window_the_mouse_paints_inside_the_limits_and_ctrl_z_takes_it_back(
    make_napari_viewer, qtbot, scan
):
    viewer = make_napari_viewer(show=True)
    viewer.add_image(scan, scale=SPACING)
    layer = viewer.add_labels(np.zeros(SHAPE, np.uint8), scale=SPACING)
    strokes = StrokeWindow(lambda: scan)
    strokes.watch(layer)
    strokes.limits = (50, 150)
    layer.brush_size = 4
    layer.mode = "paint"
    canvas = viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    left, right = middle - QPoint(60, 0), middle + QPoint(60, 0)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=left)
    for point in (middle, right):
        QTest.mouseMove(canvas, point)
        qtbot.wait(20)
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=right)
    qtbot.wait(20)
    painted = np.asarray(layer.data) > 0
    assert painted.any()
    assert (scan[painted] == 100).all()
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not np.asarray(layer.data).any())
