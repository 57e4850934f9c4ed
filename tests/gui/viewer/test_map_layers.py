from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.study import parse_classes
from napari_semiseg.engine.volumes import Volume
from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import (
    CLASSES,
    OWN_MAPS,
    SHAPE,
    at_once,
    case,
    geometry,
    label,
    maps,
    maps_with_own,
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


@pytest.fixture
def edits(layers, qtbot):
    heard = []
    layers.label_edited.connect(lambda: heard.append(layers.label_voxels()))
    return heard


def settle(qtbot):
    """Let the event loop come round, twice for timers of zero length."""
    qtbot.wait(20)


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
        monkeypatch.setattr("napari_semiseg.gui.viewer.layers.time.monotonic", lambda: now[0])
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


@pytest.mark.parametrize("displayed", [2, 3])
def test_a_window_draws_every_map_and_a_bright_scan_stays_readable_under_them(
    make_napari_viewer, displayed
):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(500, 400)
    layers = CaseLayers(viewer, later=at_once)
    bright = np.full((1, *SHAPE), 100, np.float32)
    bright[0, :, ::2] = 60
    bright[0, :, 0] = 0
    layers.show_case(case(), Volume(bright, geometry()), None, CLASSES)
    shown = maps_with_own()
    high = {"uncertainty": np.full(SHAPE, 0.98, np.float32)}
    unsure = replace(shown, shared={**shown.shared, **high})
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
