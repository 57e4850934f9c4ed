"""What going from scan to scan leaves behind: nothing."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import CLASSES, at_once, case, label, maps, volume

SWITCHES = 5


@pytest.fixture
def layers(make_napari_viewer):
    return CaseLayers(make_napari_viewer(), later=at_once)


def listeners(viewer):
    """How many callbacks the viewer calls, for each of its events."""
    emitters = {
        **{f"dims {name}": viewer.dims.events[name] for name in viewer.dims.events},
        **{f"layers {name}": viewer.layers.events[name] for name in viewer.layers.events},
    }
    return {name: len(emitter.callbacks) for name, emitter in emitters.items()}


def go_through(layers, count):
    """Show cases with maps and a stroke in each; return what must be gone afterwards."""
    left = []
    for number in range(count):
        given = volume()
        layers.show_case(case(f"case {number}", number), given, label(), CLASSES)
        layers.show_maps(maps(f"case {number}"), CLASSES, "001-ua-mt")
        layers.label_layer.fill((4, 5, 6), 2)
        left += [weakref.ref(given), weakref.ref(layers.label_layer)]
        left += [weakref.ref(layer) for layer in layers.map_layers().values()]
    return left


def test_scans_labels_and_maps_of_former_cases_are_gone(layers):
    left = go_through(layers, SWITCHES)
    layers.show_case(case("last", 99), volume(), None, CLASSES)
    gc.collect()
    assert [reference() for reference in left if reference() is not None] == []


def test_voxels_of_the_scan_before_are_gone(layers):
    voxels = volume().voxels[0].copy()
    before = weakref.ref(voxels)
    given = volume()
    object.__setattr__(given, "voxels", voxels[np.newaxis])
    layers.show_case(case(), given, None, CLASSES)
    del voxels, given
    layers.show_case(case("two", 2), volume(), None, CLASSES)
    gc.collect()
    assert before() is None


def test_nobody_listens_more_often_than_after_the_first_cases(layers):
    go_through(layers, 2)
    before = listeners(layers.viewer)
    go_through(layers, SWITCHES)
    assert listeners(layers.viewer) == before


def test_a_case_that_left_the_screen_is_gone(layers):
    left = go_through(layers, 1)
    layers.clear()
    gc.collect()
    assert [reference() for reference in left if reference() is not None] == []
    assert len(layers.viewer.layers) == 0
