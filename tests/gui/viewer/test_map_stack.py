"""How map layers come, wait for the next scan and go: what the user would otherwise wait for."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import CLASSES, at_once, case, label, maps, volume


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
def waiting():
    """What is to be done when the event loop comes round."""
    return []


@pytest.fixture
def slow_layers(viewer, waiting):
    shown = CaseLayers(viewer, later=waiting.append)
    shown.show_case(case(), volume(), label(), CLASSES)
    return shown


def come_round(waiting):
    while waiting:
        waiting.pop(0)()


def kinds(viewer):
    return [layer.metadata["semiseg"]["kind"] for layer in viewer.layers]


class TestTheNextScan:
    def test_adds_no_map_layer_where_its_maps_follow(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        before, order = layers.map_layers(), kinds(viewer)
        layers.show_case(case("two", 2), volume(), None, CLASSES, maps_follow=True)
        layers.show_maps(maps("two", shift=1), CLASSES, "001-ua-mt")
        assert layers.map_layers() == before
        assert kinds(viewer) == order
        prediction = layers.map_layers()["prediction"]
        np.testing.assert_array_equal(prediction.data, maps(shift=1).prediction)
        assert prediction.metadata["semiseg"]["case"] == "two"

    def test_never_shows_maps_of_the_scan_before(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        before = layers.map_layers().values()
        layers.show_case(case("two", 2), volume(), None, CLASSES, maps_follow=True)
        assert not layers.map_layers()
        assert not any(layer.visible or np.any(layer.data) for layer in before)

    def test_shows_the_kinds_of_maps_that_showed_before(self, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.map_layers()["uncertainty"].visible = False
        layers.map_layers()["similarity:1"].visible = True
        chosen = {key: layer.visible for key, layer in layers.map_layers().items()}
        for number, name in enumerate(("two", "three"), start=2):
            layers.show_case(case(name, number), volume(), None, CLASSES, maps_follow=True)
        layers.show_maps(maps("three"), CLASSES, "001-ua-mt")
        assert {key: layer.visible for key, layer in layers.map_layers().items()} == chosen

    def test_may_have_another_grid(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        grid = Geometry((3, 4, 5), np.diag([2.0, 2.0, 4.0, 1.0]), None)
        scan = Volume(np.zeros((1, 3, 4, 5), np.float32), grid)
        layers.show_case(case("two", 2, grid), scan, None, CLASSES, maps_follow=True)
        for layer in viewer.layers:
            assert layer.data.shape == grid.shape
            np.testing.assert_allclose(layer.scale, grid.spacing)

    def test_takes_maps_off_that_nothing_follows(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.show_case(case("two", 2), volume(), None, CLASSES, maps_follow=True)
        layers.clear_maps()
        assert kinds(viewer) == ["scan", "label"]

    def test_takes_off_what_waited_for_one_that_is_shown_without_maps(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        layers.show_case(case("two", 2), volume(), None, CLASSES, maps_follow=True)
        layers.show_case(case("three", 3), volume(), None, CLASSES)
        assert kinds(viewer) == ["scan", "label"]

    def test_takes_no_layer_that_the_user_removed_meanwhile(self, viewer, layers):
        layers.show_maps(maps(), CLASSES, "001-ua-mt")
        gone = layers.map_layers()["uncertainty"]
        layers.show_case(case("two", 2), volume(), None, CLASSES, maps_follow=True)
        viewer.layers.remove(gone)
        layers.show_maps(maps("two"), CLASSES, "001-ua-mt")
        assert layers.map_layers()["uncertainty"] is not gone
        assert gone not in viewer.layers


def test_the_same_scan_again_keeps_its_maps_until_they_are_read(layers):
    layers.show_maps(maps(), CLASSES, "001-ua-mt")
    before = layers.map_layers()
    layers.show_case(case(), volume(), label(), CLASSES, maps_follow=True)
    assert layers.map_layers() == before
    assert before["prediction"].visible
    assert np.any(before["prediction"].data)


class TestOneATurn:
    def test_the_prediction_comes_at_once_and_the_others_one_by_one(
        self, viewer, slow_layers, waiting
    ):
        arrived = []
        slow_layers.maps_arrived.connect(lambda: arrived.append(len(slow_layers.map_layers())))
        slow_layers.show_maps(maps(), CLASSES, "001-ua-mt")
        assert set(slow_layers.map_layers()) == {"prediction"}
        assert not slow_layers.maps_complete
        come_round(waiting)
        assert arrived == [2, 3, 4, 5, 6]
        assert slow_layers.maps_complete
        expected = ["similarity"] * 2 + ["signed_distance"] * 2
        assert kinds(viewer) == ["scan", *expected, "uncertainty", "prediction", "label"]

    def test_maps_of_the_scan_before_come_no_more(self, viewer, slow_layers, waiting):
        slow_layers.show_maps(maps(), CLASSES, "001-ua-mt")
        slow_layers.show_case(case("two", 2), volume(), None, CLASSES)
        come_round(waiting)
        assert kinds(viewer) == ["scan", "label"]

    def test_newer_maps_take_the_place_of_those_on_their_way(self, slow_layers, waiting):
        slow_layers.show_maps(maps(), CLASSES, "001-ua-mt")
        slow_layers.show_maps(maps(shift=1), CLASSES, "002-dtc")
        come_round(waiting)
        runs = {layer.metadata["semiseg"]["run"] for layer in slow_layers.map_layers().values()}
        assert len(slow_layers.map_layers()) == 6
        assert runs == {"002-dtc"}

    def test_maps_that_are_no_longer_there_are_hidden_until_they_are_taken_off(
        self, viewer, slow_layers, waiting
    ):
        slow_layers.show_maps(maps(), CLASSES, "001-ua-mt")
        come_round(waiting)
        slow_layers.map_layers()["similarity:1"].visible = True
        slow_layers.show_preview(maps(everything=False), CLASSES, 40)
        assert set(slow_layers.map_layers()) == {"uncertainty", "prediction"}
        known = list(slow_layers.map_layers().values())
        others = [layer for layer in viewer.layers[1:-1] if layer not in known]
        assert others
        assert not any(layer.visible for layer in others)
        come_round(waiting)
        assert kinds(viewer) == ["scan", "uncertainty", "prediction", "label"]

    def test_nothing_comes_into_a_viewer_that_closes(self, viewer, slow_layers, waiting):
        slow_layers.show_maps(maps(), CLASSES, "001-ua-mt")
        slow_layers.finish()
        before = len(viewer.layers)
        come_round(waiting)
        assert len(viewer.layers) == before


def test_nobody_hears_that_a_map_was_selected_on_its_way_in(viewer, layers):
    heard = []
    viewer.layers.selection.events.active.connect(heard.append)
    layers.show_maps(maps(), CLASSES, "001-ua-mt")
    assert not heard
    assert viewer.layers.selection.active is layers.label_layer
    assert set(viewer.layers.selection) == {layers.label_layer}
