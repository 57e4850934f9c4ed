from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.study import parse_classes
from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.gui.layers import CaseLayers

CLASSES = parse_classes("1=anterior,2=posterior")
SHAPE = (6, 16, 20)


def geometry(affine=None):
    if affine is None:
        affine = np.diag([1.0, 1.5, 3.0, 1.0])
    return Geometry(shape=SHAPE, affine=np.asarray(affine, float), nifti=None)


def case(name="one", identifier=1, grid=None):
    return SimpleNamespace(identifier=identifier, name=name, geometry=grid or geometry())


def volume(channels=1, grid=None):
    voxels = np.random.default_rng(0).normal(size=(channels, *SHAPE)).astype(np.float32)
    return Volume(voxels, grid or geometry())


def label():
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[4, 4:12, 5:10] = 1
    voxels[4, 4:12, 10:15] = 2
    return voxels


def maps(name="one", everything=True, shift=0):
    prediction = np.roll(label(), shift, axis=2)
    rng = np.random.default_rng(1)
    distance = rng.normal(0, 5, (2, *SHAPE)).astype(np.float32)
    similarity = rng.uniform(-1, 1, (3, *SHAPE)).astype(np.float32)
    return CaseMaps(
        case=name,
        geometry=geometry(),
        prediction=prediction,
        uncertainty=rng.uniform(size=SHAPE).astype(np.float32),
        uncertainty_source="teacher dropout",
        signed_distance=distance if everything else None,
        similarity=similarity if everything else None,
        seconds=1.0,
    )


OWN_MAPS = (
    NativeMap("second", "Teacher's prediction", "classes", "classes"),
    NativeMap("mask", "Mask from the distance", "share", "foreground"),
    NativeMap("border", "Learned distance", "distance", "foreground", 12.0, "mm"),
    NativeMap("likeness", "Likeness", "similarity", "classes"),
    NativeMap("kept", "Trusted in training", "share"),
)


def maps_with_own(descriptions=OWN_MAPS):
    channels = {"foreground": (2,), "classes": (3,), "one": ()}
    native = {}
    for number, item in enumerate(descriptions):
        if item.look == "classes":
            array = label()
        else:
            array = np.random.default_rng(number).uniform(size=(*channels[item.channels], *SHAPE))
        native[item.key] = NativeArray(array, item)
    return replace(maps(), disagreement=maps().uncertainty / 2, native=native)


@pytest.fixture
def viewer(qapp):
    """Return a viewer without a window: it slices and announces edits, but draws nothing."""
    return ViewerModel()


@pytest.fixture
def layers(viewer):
    shown = CaseLayers(viewer)
    shown.show_case(case(), volume(), label(), CLASSES)
    return shown


@pytest.fixture
def edits(layers, qtbot):
    heard = []
    layers.label_edited.connect(lambda: heard.append(layers.label_voxels()))
    return heard


def settle(qtbot):
    """Let the event loop come round, twice for timers of zero length."""
    qtbot.wait(20)


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
        layers = CaseLayers(viewer)
        layers.show_case(case(), volume(channels=2), None, CLASSES)
        shown = [(layer.name, layer.visible) for layer in viewer.layers]
        assert shown[:2] == [("one · channel 1", True), ("one · channel 2", False)]

    def test_the_next_case_replaces_it_and_leaves_other_layers_alone(self, viewer, layers):
        other = viewer.add_points(np.zeros((1, 3)))
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.show_case(case("two", 2), volume(), None, CLASSES)
        assert [layer.name for layer in viewer.layers] == [other.name, "two", "two label"]
        assert layers.case_name == "two"
        assert not layers.map_layers()

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
        layers = CaseLayers(viewer)
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
        CaseLayers(viewer).show_case(case(grid=grid), volume(grid=grid), None, CLASSES)
        assert tuple(str(side) for side in viewer.scene.camera.orientation) == expected

    def test_superior_points_up_in_the_coronal_view_of_a_scan_whose_axial_view_runs_down(
        self, viewer
    ):
        grid = geometry(np.diag([-1.0, -1.0, 1.0, 1.0]))
        layers = CaseLayers(viewer)
        layers.show_case(case(grid=grid), volume(grid=grid), None, CLASSES)
        viewer.dims.order = (1, 0, 2)
        assert str(viewer.scene.camera.orientation[1]) == "up"
        layers.clear()
        assert [str(s) for s in viewer.scene.camera.orientation] == ["towards", "down", "right"]


class TestEdits:
    def test_a_stroke_is_told_once_with_its_voxels(self, layers, edits, qtbot):
        layers.paint_with(2)
        layer = layers.label_layer
        with layer.block_history():
            layer.paint((1, 3, 3), 2)
            layer.paint((1, 3, 6), 2)
        qtbot.waitUntil(lambda: len(edits) == 1)
        settle(qtbot)
        assert len(edits) == 1
        assert edits[0][1, 3, 6] == 2

    def test_fill_undo_and_redo_are_told(self, layers, edits, qtbot):
        layers.label_layer.fill((4, 5, 6), 2)
        qtbot.waitUntil(lambda: len(edits) == 1)
        layers.label_layer.undo()
        qtbot.waitUntil(lambda: len(edits) == 2)
        np.testing.assert_array_equal(edits[1], label())
        layers.label_layer.redo()
        qtbot.waitUntil(lambda: len(edits) == 3)
        settle(qtbot)
        assert len(edits) == 3

    def test_voxels_set_by_another_tool_are_told_after_they_are_written(self, layers, edits, qtbot):
        layers.label_layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
        qtbot.waitUntil(lambda: len(edits) == 1)
        assert edits[0][0, 0, 0] == 1

    def test_scrolling_is_no_edit_and_reads_no_voxels(
        self, viewer, layers, edits, qtbot, monkeypatch
    ):
        read = []
        monkeypatch.setattr("napari_semiseg.gui.layers._checksum", read.append)
        for step in (0, 1, 2, 3):
            viewer.dims.set_current_step(0, step)
        settle(qtbot)
        assert not edits
        assert not read

    def test_an_undo_after_scrolling_is_told(self, viewer, layers, edits, qtbot):
        layers.label_layer.fill((4, 5, 6), 2)
        qtbot.waitUntil(lambda: len(edits) == 1)
        viewer.dims.set_current_step(0, 0)
        layers.label_layer.undo()
        qtbot.waitUntil(lambda: len(edits) == 2)

    def test_a_stroke_right_before_the_next_case_is_told_while_its_voxels_are_there(
        self, layers, edits
    ):
        layers.label_layer.fill((4, 5, 6), 2)
        layers.show_case(case("two", 2), volume(), None, CLASSES)
        assert len(edits) == 1
        assert edits[0][4, 5, 6] == 2

    def test_the_array_it_was_given_is_never_painted_in(self, viewer):
        given = label()
        layers = CaseLayers(viewer)
        layers.show_case(case(), volume(), given, CLASSES)
        layers.label_layer.fill((4, 5, 6), 2)
        np.testing.assert_array_equal(given, label())

    def test_a_value_that_no_class_has_cannot_be_chosen(self, layers):
        layers.paint_with(2)
        layers.label_layer.selected_label = 7
        assert layers.label_layer.selected_label == 2

    def test_looking_for_edits_in_a_large_label_takes_under_five_milliseconds(self):
        from napari_semiseg.gui.layers import _checksum

        voxels = np.random.default_rng(0).integers(0, 3, (128, 256, 256), np.uint8)
        seconds = []
        for _ in range(10):
            started = time.perf_counter()
            _checksum(voxels)
            seconds.append(time.perf_counter() - started)
        assert min(seconds) < 0.005


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


class TestMaps:
    def test_maps_lie_between_scan_and_label_with_the_prediction_uppermost(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        assert [layer.metadata["semiseg"]["kind"] for layer in viewer.layers] == [
            "scan",
            *["similarity"] * 2,
            *["signed_distance"] * 2,
            "uncertainty",
            "prediction",
            "label",
        ]
        assert viewer.layers.selection.active is layers.label_layer

    def test_maps_have_their_ranges_colours_and_names(self, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        shown = layers.map_layers()
        distance, similarity = shown["signed_distance:2"], shown["similarity:1"]
        assert tuple(distance.contrast_limits) == (-10.0, 10.0)
        assert distance.name == "distance · posterior (mm)"
        assert (distance.colormap.name, distance.visible) == ("PiYG", False)
        assert tuple(similarity.contrast_limits) == (-1.0, 1.0)
        assert (similarity.colormap.name, similarity.visible) == ("viridis", False)
        np.testing.assert_array_equal(similarity.data, maps().similarity[1])
        unsure = shown["uncertainty"]
        assert tuple(unsure.contrast_limits) == (0.0, 1.0)
        assert (unsure.colormap.name, unsure.blending) == ("magma, clear at 0", "translucent")
        assert "teacher dropout" in unsure.name
        assert unsure.metadata["semiseg"]["source"] == "teacher dropout"
        assert shown["prediction"].contour == 1
        assert not shown["prediction"].editable

    def test_maps_of_the_next_run_replace_them_and_keep_what_the_user_chose(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.map_layers()["similarity:1"].visible = True
        before = len(viewer.layers)
        layers.show_maps(maps(shift=1), CLASSES, "002-dtc")
        assert len(viewer.layers) == before
        assert layers.map_layers()["similarity:1"].visible
        assert layers.map_layers()["prediction"].metadata["semiseg"]["run"] == "002-dtc"
        np.testing.assert_array_equal(
            layers.map_layers()["prediction"].data, maps(shift=1).prediction
        )

    def test_a_map_that_the_user_removed_comes_back_with_the_next_maps(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        viewer.layers.remove(layers.map_layers()["uncertainty"])
        assert "uncertainty" not in layers.map_layers()
        layers.show_maps(maps(), CLASSES, "002-dtc")
        assert layers.map_layers()["uncertainty"] in viewer.layers

    def test_maps_of_another_case_are_not_shown(self, layers):
        layers.show_maps(maps("two"), CLASSES, "001-ua-mt")
        assert not layers.map_layers()

    def test_maps_per_class_are_left_out_where_classes_were_added_since(self, layers):
        more = parse_classes("1=anterior,2=posterior,3=other")
        layers.show_maps(maps(), more, "001-ua-mt")
        assert set(layers.map_layers()) == {"uncertainty", "prediction"}

    def test_disagreement_lies_under_the_uncertainty_and_waits(self, viewer, layers):
        layers.show_maps(maps_with_own(()), CLASSES, "001-ua-mt")
        shown = layers.map_layers()
        disagreement = shown["disagreement"]
        assert disagreement.name == "disagreement"
        assert disagreement.colormap.name == "inferno, clear at 0"
        assert tuple(disagreement.contrast_limits) == (0.0, 1.0)
        assert not disagreement.visible
        above = viewer.layers.index(disagreement) + 1
        assert viewer.layers[above] is shown["uncertainty"]

    def test_maps_of_the_methods_own_have_their_titles_looks_and_ranges(self, layers):
        given = maps_with_own()
        layers.show_maps(given, CLASSES, "001-ua-mt")
        shown = layers.map_layers()
        expected = {
            "mask:1": ("Mask from the distance · anterior", "magma, clear at 0", (0, 1)),
            "border:2": ("Learned distance · posterior (mm)", "PiYG", (-12, 12)),
            "likeness:1": ("Likeness · anterior", "viridis", (-1, 1)),
            "kept": ("Trusted in training", "magma, clear at 0", (0, 1)),
        }
        for key, (name, colormap, limits) in expected.items():
            layer = shown[key]
            assert (layer.name, layer.colormap.name) == (name, colormap)
            assert tuple(layer.contrast_limits) == limits
            assert not layer.visible
        own = {key for key in shown if key.split(":")[0] in given.native}
        assert own == {
            *("mask:1", "mask:2", "border:1", "border:2", "likeness:1", "likeness:2"),
            *("second", "kept"),
        }
        # the background of the likeness has no layer
        np.testing.assert_array_equal(shown["likeness:1"].data, given.native["likeness"].array[1])
        np.testing.assert_array_equal(shown["mask:1"].data, given.native["mask"].array[0])

    def test_a_second_answer_is_filled_in_the_class_colours_and_cannot_be_painted(self, layers):
        layers.show_maps(maps_with_own(), CLASSES, "001-ua-mt")
        second = layers.map_layers()["second"]
        assert second.name == "Teacher's prediction"
        assert (second.contour, second.visible, second.editable) == (0, False, False)
        np.testing.assert_array_equal(second.get_color(2), layers.label_layer.get_color(2))
        assert second.metadata["semiseg"]["native"]["title"] == "Teacher's prediction"

    def test_maps_that_come_later_still_lie_under_those_on_show(self, viewer, layers):
        layers.show_preview(maps(everything=False), CLASSES, 40)
        layers.show_maps(maps_with_own(), CLASSES, "001-ua-mt")
        kinds = [layer.metadata["semiseg"]["kind"] for layer in viewer.layers]
        assert kinds == [
            "scan",
            *("second", "mask", "mask", "border", "border", "likeness", "likeness", "kept"),
            *("similarity", "similarity", "signed_distance", "signed_distance"),
            *("disagreement", "uncertainty", "prediction", "label"),
        ]

    def test_a_map_that_shares_no_more_than_its_key_gets_a_layer_of_its_own(self, layers):
        layers.show_maps(maps_with_own(), CLASSES, "001-ua-mt")
        first = layers.map_layers()
        other = (NativeMap("kept", "Kept by the other", "classes", "classes"), OWN_MAPS[1])
        layers.show_maps(maps_with_own(other), CLASSES, "002-dtc")
        second = layers.map_layers()
        assert second["kept"] is not first["kept"]
        assert second["kept"].name == "Kept by the other"
        assert second["mask:1"] is first["mask:1"]
        assert "border:1" not in second

    def test_own_maps_per_class_are_left_out_where_classes_were_added_since(self, layers):
        more = parse_classes("1=anterior,2=posterior,3=other")
        layers.show_maps(maps_with_own(), more, "001-ua-mt")
        assert set(layers.map_layers()) == {
            *("second", "kept", "disagreement", "uncertainty", "prediction")
        }

    def test_clear_maps_takes_off_maps_alone(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.clear_maps()
        assert [layer.name for layer in viewer.layers] == ["one", "one label"]


class TestPreviews:
    def test_a_preview_takes_off_the_maps_of_an_older_run(self, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.show_preview(maps(everything=False), CLASSES, 40)
        assert set(layers.map_layers()) == {"uncertainty", "prediction"}
        assert layers.map_layers()["prediction"].metadata["semiseg"]["step"] == 40

    def test_previews_that_come_too_soon_are_not_drawn(self, layers, monkeypatch):
        now = [100.0]
        monkeypatch.setattr("napari_semiseg.gui.layers.time.monotonic", lambda: now[0])
        for seconds, step in ((0.0, 1), (1.0, 2), (2.5, 3)):
            now[0] = 100.0 + seconds
            layers.show_preview(maps(everything=False), CLASSES, step)
            expected = 1 if step < 3 else 3
            assert layers.map_layers()["prediction"].metadata["semiseg"]["step"] == expected

    def test_a_preview_is_not_drawn_in_3d(self, viewer, layers):
        viewer.dims.ndisplay = 3
        layers.show_preview(maps(everything=False), CLASSES, 40)
        assert not layers.map_layers()

    def test_a_preview_leaves_the_label_and_its_undo_alone(self, layers, edits, qtbot):
        layer = layers.label_layer
        layer.fill((4, 5, 6), 2)
        qtbot.waitUntil(lambda: len(edits) == 1)
        layers.show_preview(maps(everything=False), CLASSES, 40)
        assert layers.label_layer is layer
        layer.undo()
        np.testing.assert_array_equal(layers.label_voxels(), label())


def test_a_window_shows_the_case_and_a_mouse_stroke_is_told_once(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    layers = CaseLayers(viewer)
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
    settle(qtbot)
    assert len(edits) == 1
    assert layers.label_voxels().any()
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 5


@pytest.mark.parametrize("displayed", [2, 3])
def test_a_window_draws_every_map_and_a_bright_scan_stays_readable_under_them(
    make_napari_viewer, displayed
):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(500, 400)
    layers = CaseLayers(viewer)
    bright = np.full((1, *SHAPE), 100, np.float32)
    bright[0, :, ::2] = 60
    bright[0, :, 0] = 0
    layers.show_case(case(), Volume(bright, geometry()), None, CLASSES)
    unsure = replace(maps_with_own(), uncertainty=np.full(SHAPE, 0.98, np.float32))
    layers.show_maps(unsure, CLASSES, "001-ua-mt")
    layers.map_layers()["prediction"].visible = False
    viewer.dims.ndisplay = displayed
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    assert picture.std() > 5
    if displayed == 2:
        height, width = picture.shape[:2]
        middle = picture[3 * height // 8 : 5 * height // 8, width // 2]
        assert middle.min(axis=1).max() < 200, "nothing is white"
        assert np.ptp(middle.sum(axis=1)) > 60, "the rows of the scan can be told apart"
    for layer in layers.map_layers().values():
        layer.visible = True
    assert viewer.screenshot(canvas_only=True, flash=False)[..., :3].std() > 5
