from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.gui.viewer.layer_data import spatial_arguments, tag
from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import (
    CLASSES,
    SHAPE,
    at_once,
    case,
    geometry,
    label,
    maps,
    volume,
)


@pytest.fixture
def viewer(qapp):
    """Return a viewer without a window: it slices and announces edits, but draws nothing."""
    return ViewerModel()


@pytest.fixture
def layers(viewer):
    shown = CaseLayers(viewer, later=at_once)
    shown.show_case(case(), volume(), label(), CLASSES)
    return shown


class TestShowingACase:
    def test_every_layer_lies_on_the_scans_grid_in_millimetres(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        assert len(viewer.layers) == 8
        for layer in viewer.layers:
            np.testing.assert_allclose(layer.scale, (3.0, 1.5, 1.0))
            np.testing.assert_array_equal(layer.translate, 0)
            assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
            assert layer.axis_labels == ("z", "y", "x")
            record = layer.metadata["semiseg"]
            assert record["case"] == "one"
            assert Geometry.from_dict(record["geometry"]).matches(geometry())

    def test_scan_and_label_are_named_after_the_case_and_the_label_is_on_top(self, viewer, layers):
        assert [layer.name for layer in viewer.layers] == ["one", "one label"]
        assert viewer.layers.selection.active is layers.label_layer

    def test_a_scan_with_channels_gets_a_layer_each_and_shows_the_first(self, viewer):
        layers = CaseLayers(viewer, later=at_once)
        layers.show_case(case(), volume(channels=2), None, CLASSES)
        shown = [(layer.name, layer.visible) for layer in viewer.layers]
        assert shown[:2] == [("one · channel 1", True), ("one · channel 2", False)]

    def test_the_next_case_replaces_it_and_leaves_other_layers_alone(self, viewer, layers):
        other = viewer.add_points(np.zeros((1, 3)))
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.show_case(case("two", 2), volume(), None, CLASSES)
        assert [layer.name for layer in viewer.layers] == ["two", other.name, "two label"]
        assert layers.case_name == "two"
        assert not layers.map_layers()

    def test_the_layer_of_the_scan_takes_the_next_scan_with_its_own_contrast(self, viewer, layers):
        layer = layers.scans[0]
        layer.gamma = 0.5
        bright = Volume(100 * volume().voxels, geometry(np.diag([2.0, 2.0, 4.0, 1.0])))
        layers.show_case(case("two", 2, bright.geometry), bright, None, CLASSES)
        assert layers.scans == [layer]
        np.testing.assert_array_equal(layer.data, bright.voxels[0])
        np.testing.assert_allclose(layer.scale, (4.0, 2.0, 2.0))
        assert layer.contrast_limits[1] > 50
        assert layer.gamma == 0.5
        assert layer.metadata["semiseg"]["case"] == "two"

    def test_a_scan_with_other_channels_gets_layers_of_its_own(self, viewer, layers):
        layers.show_case(case("two", 2), volume(channels=2), None, CLASSES)
        names = [layer.name for layer in viewer.layers]
        assert names == ["two · channel 1", "two · channel 2", "two label"]

    def test_showing_the_same_case_again_keeps_the_names(self, viewer, layers):
        names = [layer.name for layer in viewer.layers]
        layers.show_case(case(), volume(), None, CLASSES)
        assert [layer.name for layer in viewer.layers] == names

    def test_showing_the_same_case_again_keeps_the_contrast_that_the_user_chose(self, layers):
        layers.scans[0].contrast_limits = (-0.5, 0.5)
        layers.show_case(case(), volume(), None, CLASSES)
        assert tuple(layers.scans[0].contrast_limits) == (-0.5, 0.5)

    def test_it_opens_within_the_label(self, viewer):
        marked = np.zeros(SHAPE, np.uint8)
        marked[2, 3:6, 11:16] = 1
        CaseLayers(viewer, later=at_once).show_case(case(), volume(), marked, CLASSES)
        assert tuple(viewer.dims.current_step) == (2, 4, 13)

    def test_it_opens_at_the_slice_with_most_label(self, viewer, layers):
        assert viewer.dims.current_step[0] == 4

    def test_showing_the_same_case_again_keeps_slice_and_zoom(self, viewer, layers):
        viewer.dims.set_current_step(0, 1)
        viewer.scene.camera.zoom = 7.0
        layers.show_case(case(), volume(), None, CLASSES)
        assert viewer.dims.current_step[0] == 1
        assert viewer.scene.camera.zoom == 7.0

    def test_the_status_bar_names_the_class(self, layers):
        status = layers.label_layer.get_status((12.0, 9.0, 7.0), world=True)
        assert "anterior" in status["value"] + status["coordinates"]

    def test_classes_have_their_colours(self, layers):
        colour = layers.label_layer.get_color(1)
        expected = [int(CLASSES[0].colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        np.testing.assert_allclose(colour[:3], expected, atol=1e-2)

    def test_an_oblique_scan_is_shown_along_its_voxel_axes_with_a_note(self, viewer):
        angle = np.radians(20)
        turn = np.eye(4)
        turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        grid = geometry(turn @ np.diag([1.0, 1.5, 3.0, 1.0]))
        layers = CaseLayers(viewer, later=at_once)
        layers.show_case(case(grid=grid), volume(grid=grid), None, CLASSES)
        for layer in viewer.layers:
            np.testing.assert_array_equal(layer.rotate, np.eye(3))
            assert "oblique" in layer.metadata["semiseg"]["note"]


class TestWhichWayIsUp:
    @pytest.mark.parametrize(
        ("signs", "expected"),
        [
            ((1, 1, 1), ("away", "up", "left")),  # RAS
            ((-1, -1, 1), ("away", "down", "right")),  # LPS
            ((-1, 1, 1), ("away", "up", "right")),  # LAS, a left-handed grid
        ],
    )
    def test_anterior_points_up_and_the_patients_left_is_on_the_right(
        self, viewer, signs, expected
    ):
        grid = geometry(np.diag([*signs, 1.0]))
        CaseLayers(viewer, later=at_once).show_case(
            case(grid=grid), volume(grid=grid), None, CLASSES
        )
        assert tuple(str(side) for side in viewer.scene.camera.orientation) == expected

    def test_superior_points_up_in_the_coronal_view_of_a_scan_whose_axial_view_runs_down(
        self, viewer
    ):
        grid = geometry(np.diag([-1.0, -1.0, 1.0, 1.0]))
        layers = CaseLayers(viewer, later=at_once)
        layers.show_case(case(grid=grid), volume(grid=grid), None, CLASSES)
        viewer.dims.order = (1, 0, 2)
        assert str(viewer.scene.camera.orientation[1]) == "up"
        layers.clear()
        assert [str(s) for s in viewer.scene.camera.orientation] == ["towards", "down", "right"]


class TestPainting:
    def test_paint_with_selects_the_layer_the_class_and_the_brush(self, viewer, layers):
        viewer.layers.selection.active = viewer.layers["one"]
        layers.paint_with(2)
        assert viewer.layers.selection.active is layers.label_layer
        assert layers.label_layer.selected_label == 2
        assert layers.label_layer.mode == "paint"

    def test_the_next_case_keeps_the_brush_in_hand(self, layers):
        layers.paint_with(2)
        layers.show_case(case("two", 2), volume(), None, CLASSES)
        assert layers.label_layer.mode == "paint"

    def test_a_removed_label_layer_is_said_to_be_missing(self, viewer, layers):
        viewer.layers.remove(layers.label_layer)
        assert layers.label_layer is None
        layers.paint_with(1)
        with pytest.raises(StudyError, match="choose a case"):
            layers.label_voxels()


class TestMarks:
    @pytest.fixture
    def mark(self, layers):
        lines = {"name": "mark", **spatial_arguments(geometry())}
        return layers.add_mark((np.zeros((1, 2, 3)), lines, "vectors"))

    def test_a_mark_lies_on_top_and_leaves_the_brush_where_it_was(self, viewer, layers, mark):
        assert viewer.layers[-1] is mark
        assert viewer.layers.selection.active is layers.label_layer

    def test_it_goes_with_its_case(self, viewer, layers, mark):
        layers.show_case(case("two", 2), volume(), None, CLASSES)
        assert mark not in viewer.layers
        layers.remove_mark(mark)

    def test_one_that_stays_lies_above_the_next_case_and_goes_with_the_last(self, viewer, layers):
        lines = {"name": "mark", **spatial_arguments(geometry())}
        mark = layers.add_mark((np.zeros((1, 2, 3)), lines, "vectors"), stays=True)
        layers.show_case(case("two", 2), volume(), None, CLASSES)
        assert [layer.name for layer in viewer.layers] == ["two", "two label", "mark"]
        assert viewer.layers.selection.active is layers.label_layer
        layers.clear()
        assert mark not in viewer.layers

    def test_it_steps_aside_while_the_canvas_is_divided(self, layers, mark):
        cell = [(label(), {"metadata": tag("prediction", "one", geometry())}, "labels")]
        layers.show_comparison([cell, cell], beside=True)
        assert not mark.visible
        layers.show_comparison((), beside=False)
        assert mark.visible


def test_a_window_shows_the_case_and_a_mouse_stroke_is_told_once(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    layers = CaseLayers(viewer, later=at_once)
    layers.show_case(case(), volume(), None, CLASSES)
    layers.show_maps(maps(), CLASSES, "001-ua-mt")
    edits = []
    layers.label_edited.connect(lambda: edits.append(True))
    layers.paint_with(1)
    canvas = viewer.window._qt_viewer.canvas.native
    middle = canvas.rect().center()
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
    QTest.mouseMove(canvas, middle + QPoint(20, 10))
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(20, 10))
    qtbot.waitUntil(lambda: len(edits) == 1)
    qtbot.wait(20)  # the event loop comes round twice
    assert len(edits) == 1
    assert layers.label_voxels().any()
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 5


def test_the_first_scan_comes_alone_before_its_label(viewer, layers):
    assert not layers.begin_case("two", volume())
    layers.clear()
    assert layers.begin_case("one", volume())
    assert [layer.name for layer in viewer.layers] == ["one"]
    layers.show_case(case("one"), volume(), None, CLASSES)
    assert [layer.name for layer in viewer.layers] == ["one", "one label"]
    layers.clear()
    assert layers.begin_case("three", volume())
    layers.clear()
    assert not viewer.layers
