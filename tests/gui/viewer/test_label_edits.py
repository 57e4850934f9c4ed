from __future__ import annotations

import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_semiseg.gui.viewer.label_edits import checksum
from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import (
    CLASSES,
    at_once,
    case,
    label,
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
        monkeypatch.setattr("napari_semiseg.gui.viewer.label_edits.checksum", read.append)
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
        layers = CaseLayers(viewer, later=at_once)
        layers.show_case(case(), volume(), given, CLASSES)
        layers.label_layer.fill((4, 5, 6), 2)
        np.testing.assert_array_equal(given, label())

    def test_a_value_that_no_class_has_cannot_be_chosen(self, layers):
        layers.paint_with(2)
        layers.label_layer.selected_label = 7
        assert layers.label_layer.selected_label == 2

    def test_looking_for_edits_in_a_large_label_takes_under_five_milliseconds(self):
        voxels = np.random.default_rng(0).integers(0, 3, (128, 256, 256), np.uint8)
        seconds = []
        for _ in range(10):
            started = time.perf_counter()
            checksum(voxels)
            seconds.append(time.perf_counter() - started)
        assert min(seconds) < 0.005
