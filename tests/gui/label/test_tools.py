from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_semiseg.engine.study import Study
from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.label.tools import NOTHING_TO_DO

PATIENCE = 60_000


@pytest.fixture
def tools(desk, background):
    desk.on_show.show("scan_1")
    background.finish()
    return desk.labelling.tools


@pytest.fixture
def layer(desk, tools):
    return desk.on_show.layers.label_layer


def paint(layer, where, value=1):
    label = np.zeros(layer.data.shape, bool)
    label[where] = True
    layer.data_setitem(np.nonzero(label), value)


def test_other_classes_are_protected_from_the_brush_but_not_from_the_eraser(tools, layer):
    assert layer.preserve_labels
    layer.data_setitem((np.array([3]), np.array([4]), np.array([4])), 2)
    layer.brush_size = 3
    layer.paint((3, 4, 4), 1)
    assert layer.data[3, 4, 4] == 2
    layer.selected_label = 0
    layer.paint((3, 4, 4), 0)
    assert layer.data[3, 4, 4] == 0
    layer.selected_label = 1
    assert layer.preserve_labels


def test_how_the_brush_paints_stays_from_scan_to_scan(desk, tools, background):
    tools.set_shape("ball")
    tools.protect_other_classes(False)
    desk.on_show.show("scan_2")
    background.finish()
    layer = desk.on_show.layers.label_layer
    assert layer.n_edit_dimensions == 3
    assert not layer.preserve_labels


def test_what_is_changed_in_the_controls_of_napari_is_followed(tools, layer):
    layer.preserve_labels = False
    layer.n_edit_dimensions = 3
    assert not tools.protects_other_classes
    assert tools.shape == "ball"


def test_the_size_of_the_brush_is_in_millimetres_of_the_directions_painted(desk, tools, layer):
    assert tuple(layer.scale) == (2.0, 1.5, 1.5)
    desk.labelling.set_brush_mm(8.9)
    assert layer.brush_size == 6
    desk.on_show.layers.dims.order = (1, 0, 2)
    assert tools.voxel_mm == 1.5
    layer.scale = (1.0, 1.5, 2.0)
    assert tools.voxel_mm == 1.0
    desk.on_show.layers.dims.order = (0, 1, 2)
    assert tools.voxel_mm == 1.5
    tools.set_shape("ball")
    assert tools.voxel_mm == 1.0


def test_limits_come_from_the_contrast_and_are_kept_where_they_mean_the_same(
    desk, tools, background
):
    desk.on_show.layers.scans[0].contrast_limits = (-10, 80)
    tools.limit_strokes(tools.contrast_on_show())
    assert tools.limits == (-10, 80)
    desk.on_show.show_again()
    background.finish()
    assert tools.limits == (-10, 80)
    desk.on_show.show("scan_2")
    background.finish()
    assert tools.limits is None, "intensities of MR differ from scan to scan"


def test_limits_given_the_wrong_way_round_are_turned(tools):
    tools.limit_strokes((80, 20))
    assert tools.limits == (20, 80)


def test_interpolation_fills_between_painted_slices_as_one_step(tools, layer, background):
    paint(layer, np.s_[[2, 6, 9], 4:9, 5:9])
    painted = np.array(layer.data)
    tools.interpolate()
    assert tools.working == "Interpolate"
    assert not np.asarray(layer.data)[4].any(), "it computes on another thread"
    background.finish()
    assert tools.working is None
    np.testing.assert_array_equal(
        np.asarray(layer.data).any(axis=(1, 2)), [False] * 2 + [True] * 8 + [False] * 2
    )
    layer.undo()
    np.testing.assert_array_equal(layer.data, painted)


def test_interpolation_leaves_finished_slices_alone(desk, tools, layer, background, qapp):
    paint(layer, np.s_[[2, 6, 9], 4:9, 5:9])
    desk.slices.show(4)
    desk.slices.mark_current()
    background.finish()
    tools.interpolate()
    background.finish()
    assert set(np.flatnonzero(np.asarray(layer.data).any(axis=(1, 2)))) == {2, 6, 7, 8, 9}


def test_interpolation_follows_the_axis_of_the_view(desk, tools, layer, background):
    paint(layer, np.s_[3:9, [2, 6], 5:9])
    desk.on_show.layers.dims.order = (1, 0, 2)
    tools.interpolate()
    background.finish()
    assert np.asarray(layer.data)[3:9, 2:7, 5:9].all()


def test_the_largest_part_stays_and_holes_are_filled_within_slices_or_in_3d(
    tools, layer, background
):
    paint(layer, np.s_[3:8, 3:10, 3:10])
    layer.data_setitem(np.nonzero(_box(np.s_[3:8, 6, 6])), 0)
    paint(layer, np.s_[0, 0, 0])
    tools.keep_largest()
    background.finish()
    assert layer.data[0, 0, 0] == 0
    tools.fill_holes(in_3d=True)
    background.finish()
    assert layer.data[5, 6, 6] == 0
    tools.fill_holes(in_3d=False)
    background.finish()
    assert (np.asarray(layer.data)[3:8, 6, 6] == 1).all()
    layer.undo()
    layer.undo()
    assert layer.data[0, 0, 0] == 1


def _box(where):
    mask = np.zeros((12, 14, 16), bool)
    mask[where] = True
    return mask


def test_a_stroke_made_while_a_tool_computes_stays(tools, layer, background):
    paint(layer, np.s_[[2, 4], 4:9, 5:9])
    tools.interpolate()
    paint(layer, np.s_[3, 6, 6], 2)
    background.finish()
    assert layer.data[3, 6, 6] == 2
    assert layer.data[3, 5, 6] == 1


def test_a_tool_that_comes_too_late_for_its_scan_changes_nothing(desk, tools, layer, background):
    paint(layer, np.s_[[2, 4], 4:9, 5:9])
    tools.interpolate()
    late = background.waiting.pop()
    desk.on_show.show("scan_2")
    background.finish()
    late.run()
    assert not np.asarray(desk.on_show.layers.label_layer.data).any()
    assert tools.working is None


def test_a_tool_writes_outside_the_limits_of_strokes(tools, layer, background, qtbot):
    tools.limit_strokes((1e5, 1e6))
    layer.data[[2, 4], 4:9, 5:9] = 1
    tools.interpolate()
    background.finish()
    qtbot.wait(20)
    assert np.asarray(layer.data)[3].any()


@pytest.mark.parametrize("title", list(NOTHING_TO_DO))
def test_a_tool_with_nothing_to_do_says_so(tools, layer, background, messages, title):
    paint(layer, np.s_[3, 4:9, 5:9])
    act = {
        "Interpolate": tools.interpolate,
        "Keep largest": tools.keep_largest,
        "Fill holes": lambda: tools.fill_holes(in_3d=True),
    }
    act[title]()
    background.finish()
    assert messages()[-1] == ("info", NOTHING_TO_DO[title])


def test_a_tool_that_cannot_act_says_why(desk, tools, layer, background):
    layer.selected_label = 0
    assert "eraser" in tools.why_not("Keep largest")
    tools.keep_largest()
    assert not background.waiting
    layer.selected_label = 1
    desk.on_show.layers.dims.ndisplay = 3
    assert "3D view" in tools.why_not("Interpolate")
    assert tools.why_not("Keep largest") is None
    desk.on_show.leave()
    assert "choose one" in tools.why_not("Keep largest")


def test_in_a_window_ctrl_z_takes_an_interpolation_back_and_the_study_follows(
    make_napari_viewer, qtbot, study_path, recent
):
    viewer = make_napari_viewer(show=True)
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    session = widget.session
    session.open_study.open(study_path)
    qtbot.waitUntil(lambda: session.open_study.study is not None, timeout=PATIENCE)
    widget.show_page(1)
    session.on_show.show("scan_1")
    qtbot.waitUntil(lambda: session.on_show.name == "scan_1", timeout=PATIENCE)
    layer = session.on_show.layers.label_layer
    paint(layer, np.s_[[2, 6], 4:9, 5:9])
    viewer.layers.selection.active = layer
    canvas = viewer.window._qt_viewer.canvas.native
    QTest.keyClick(canvas, Qt.Key.Key_I)
    qtbot.waitUntil(lambda: np.asarray(layer.data)[2:7].any(axis=(1, 2)).all(), timeout=PATIENCE)
    QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: not np.asarray(layer.data)[3:6].any(), timeout=PATIENCE)
    assert np.asarray(layer.data)[[2, 6]].any(axis=(1, 2)).all()
    QTest.keyClick(canvas, Qt.Key.Key_D)
    qtbot.waitUntil(
        lambda: session.open_study.records.case("scan_1").done_slices is not None, timeout=PATIENCE
    )
    expected = np.array(layer.data)
    viewer.dims.set_point(0, 0.0)
    session.close()
    with Study.open(study_path) as study:
        np.testing.assert_array_equal(study.labels.load("scan_1"), expected)
    viewer.dims.set_point(0, 4.0)  # the dock is deaf by now


def test_holes_of_each_slice_are_not_filled_in_3d_where_no_slice_is_shown(
    desk, tools, layer, background, messages
):
    paint(layer, np.s_[1, 2:7, 2:7])
    paint(layer, np.s_[1, 4, 4], 0)
    desk.on_show.layers.dims.ndisplay = 3
    tools.fill_holes(in_3d=False)
    background.finish()
    assert layer.data[1, 4, 4] == 0
    assert "leave the 3D view" in messages()[-1][1]
    assert "leave the 3D view" in tools.why_not("Interpolate")


def test_a_label_that_was_taken_off_the_list_is_the_reason(desk, tools):
    desk.on_show.layers.viewer.layers.remove(desk.on_show.layers.label_layer)
    assert "taken off the layer list" in tools.why_not("Keep largest")
    assert "taken off the layer list" in desk.slices.why_not_mark()
