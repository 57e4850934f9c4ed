"""How the layers of a comparison come and go: what the user would otherwise wait for."""

from __future__ import annotations

import pytest
from napari.components import ViewerModel

from napari_semiseg.gui.viewer.layer_data import map_layers
from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import CLASSES, case, label, maps, volume


@pytest.fixture
def viewer(qapp):
    """Return a viewer without a window: it slices and announces edits, but draws nothing."""
    return ViewerModel()


@pytest.fixture
def waiting():
    """What is to be done when the event loop comes round."""
    return []


@pytest.fixture
def layers(viewer, waiting):
    shown = CaseLayers(viewer, later=waiting.append)
    shown.show_case(case(), volume(), label(), CLASSES)
    return shown


@pytest.fixture
def cells():
    wanted = dict(map_layers(maps(), CLASSES, run="001-ua-mt"))
    return [[wanted["prediction"]], [wanted["prediction"]]]


def come_round(waiting):
    while waiting:
        waiting.pop(0)()


def kinds(viewer):
    return [layer.metadata["semiseg"]["kind"] for layer in viewer.layers]


def test_layers_come_one_a_turn_before_each_run_gets_a_view(viewer, layers, cells, waiting):
    layers.show_comparison(cells, beside=True)
    assert layers.compares
    assert len(viewer.layers) == 3, "the scan, the label and the first layer of the comparison"
    assert not viewer.canvas.grid.enabled
    come_round(waiting)
    assert kinds(viewer) == ["scan", "label", *["scan", "label", "prediction"] * 2]
    assert viewer.canvas.grid.enabled


def test_they_come_no_more_once_the_comparison_has_ended(viewer, layers, cells, waiting):
    layers.show_comparison(cells, beside=True)
    layers.show_comparison((), beside=False)
    come_round(waiting)
    assert not layers.compares
    assert kinds(viewer) == ["scan", "label"]
    assert not viewer.canvas.grid.enabled


def test_the_view_is_given_back_at_once_and_the_hidden_layers_go_one_a_turn(
    viewer, layers, cells, waiting
):
    layers.show_comparison(cells, beside=True)
    come_round(waiting)
    layers.show_comparison((), beside=False)
    assert not layers.compares
    assert not viewer.canvas.grid.enabled
    assert [layer.visible for layer in viewer.layers] == [True, True, *[False] * 5]
    come_round(waiting)
    assert kinds(viewer) == ["scan", "label"]


def test_another_comparison_waits_for_the_layers_of_the_last_to_go(viewer, layers, cells, waiting):
    layers.show_comparison(cells, beside=True)
    come_round(waiting)
    layers.show_comparison(cells, beside=False)
    assert layers.compares
    come_round(waiting)
    assert kinds(viewer) == ["scan", "label", "prediction", "prediction"]
    assert all(layer.visible for layer in viewer.layers)


def test_another_case_may_come_while_layers_are_still_to_go(viewer, layers, cells, waiting):
    layers.show_comparison(cells, beside=True)
    come_round(waiting)
    layers.show_case(case("two", 2), volume(), None, CLASSES)
    come_round(waiting)
    assert [layer.name for layer in viewer.layers] == ["two", "two label"]


def test_without_a_case_everything_goes_at_once(viewer, layers, cells, waiting):
    layers.show_comparison(cells, beside=True)
    come_round(waiting)
    layers.clear()
    assert not viewer.layers
    come_round(waiting)
    assert not viewer.layers
