from __future__ import annotations

import threading

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_semiseg.gui.viewer import label_edits
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
        monkeypatch.setattr(label_edits, "box_of_difference", lambda *_: read.append(True))
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

    def test_napari_never_paints_in_the_array_that_edits_are_told_from(self, viewer):
        given = label()
        layers = CaseLayers(viewer, later=at_once)
        layers.show_case(case(), volume(), given, CLASSES)
        layers.label_layer.fill((4, 5, 6), 2)
        np.testing.assert_array_equal(given, label())
        layers.tell_edits()
        np.testing.assert_array_equal(given, layers.label_voxels())

    def test_a_stroke_that_is_still_being_painted_is_told_when_the_case_goes(
        self, layers, edits, qtbot
    ):
        layers.paint_with(2)
        with layers.label_layer.block_history():
            layers.label_layer.paint((1, 3, 3), 2)
            layers.clear()
        assert len(edits) == 1
        assert layers.label_layer is None

    @pytest.mark.parametrize("undos", [1, 2])
    def test_undos_while_the_label_is_hidden_are_told_when_they_are_asked_for(
        self, layers, qtbot, undos
    ):
        layer, before = layers.label_layer, layers.label_voxels()
        layers.paint_with(2)
        for row in (3, 6):
            layer.paint((1, row, 3), 2)
        layers.tell_edits()
        strokes = []
        layers.label_edited.connect(strokes.append)
        layer.visible = False
        for _ in range(undos):
            layer.undo()
        layers.tell_edits()
        assert len(strokes) == 1
        row = 3 if undos == 2 else 6
        assert layers.label_voxels()[1, row, 3] == before[1, row, 3]
        assert strokes[0].painted.any()

    def test_voxels_written_without_a_word_are_told_when_the_case_goes(self, layers, qtbot):
        strokes = []
        layers.label_edited.connect(strokes.append)
        layers.label_layer.data[1, 3, 3] = 2
        layers.clear()
        assert [stroke.after.tolist() for stroke in strokes] == [[[[2]]]]

    def test_a_label_of_another_shape_is_refused_in_words(self, layers, edits, monkeypatch):
        told = []
        monkeypatch.setattr(label_edits, "show_warning", told.append)
        layers.label_layer.data = np.ones((2, 3, 4), np.uint8)
        assert told[0] == label_edits.OTHER_SHAPE
        layers.tell_edits()
        assert edits == []

    def test_a_value_that_no_class_has_cannot_be_chosen(self, layers):
        layers.paint_with(2)
        layers.label_layer.selected_label = 7
        assert layers.label_layer.selected_label == 2

    def test_an_edit_is_told_with_its_box_and_what_was_there_before(self, layers, qtbot):
        told = []
        layers.label_edited.connect(told.append)
        layer = layers.label_layer
        layer.data_setitem((np.array([1, 2]), np.array([3, 5]), np.array([4, 4])), 2)
        layers.tell_edits()
        layer.undo()
        layers.tell_edits()
        layer.redo()
        layers.tell_edits()
        layers.tell_edits()
        assert [edit.box for edit in told] == [(slice(1, 3), slice(3, 6), slice(4, 5))] * 3
        for edit, values in zip(told, ((0, 2), (2, 0), (0, 2)), strict=True):
            for voxels, value in zip((edit.before, edit.after), values, strict=True):
                np.testing.assert_array_equal(voxels[:, :, 0], [[value, 0, 0], [0, 0, value]])

    def test_no_stroke_fill_undo_or_redo_reads_all_voxels(self, layers, edits, qtbot, monkeypatch):
        read = []
        monkeypatch.setattr(label_edits, "box_of_difference", lambda *_: read.append(True))
        layer = layers.label_layer
        layer.selected_label = 2
        for edit in (
            lambda: layer.paint((1, 3, 3), 2),
            layer.undo,
            layer.redo,
            lambda: layer.fill((4, 5, 6), 2),
            layer.undo,
        ):
            edit()
            layers.tell_edits()
        settle(qtbot)
        assert len(edits) == 5
        assert not read

    def test_voxels_written_past_the_history_are_found_on_another_thread(
        self, layers, edits, qtbot, monkeypatch
    ):
        threads, compare = [], label_edits.box_of_difference

        def heard(*arrays):
            threads.append(threading.current_thread())
            return compare(*arrays)

        monkeypatch.setattr(label_edits, "box_of_difference", heard)
        layers.label_layer.data[0, 1, 2:4] = 1
        layers.label_layer.refresh()
        qtbot.waitUntil(lambda: len(edits) == 1)
        assert threading.main_thread() not in threads
        assert edits[0][0, 1, 3] == 1
        layers.label_layer.data[5, 1, 2:4] = 2
        layers.label_layer.refresh()
        layers.tell_edits()  # whoever asks at once hears at once
        assert len(edits) == 2

    def test_a_label_that_others_changed_is_shown_and_is_no_edit(self, layers, edits, qtbot):
        told = []
        layers.label_edited.connect(told.append)
        layers.take_in(np.roll(label(), 1, axis=0))
        settle(qtbot)
        np.testing.assert_array_equal(layers.label_voxels(), np.roll(label(), 1, axis=0))
        assert told == [None]

    def test_the_box_of_a_difference_is_the_smallest(self):
        one = label()
        assert label_edits.box_of_difference(one, label()) is None
        other = label()
        other[1, 2, 3] = other[4, 0, 9] = 7
        box = label_edits.box_of_difference(one, other)
        assert box == (slice(1, 5), slice(0, 3), slice(3, 10))
