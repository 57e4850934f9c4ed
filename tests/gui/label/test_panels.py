from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.label.slice_strip import DONE, PAINTED
from tests.gui.parts_of_the_desk import label_page


@pytest.fixture
def page(qtbot, desk, background):
    page = label_page(desk)
    qtbot.addWidget(page)
    page.resize(344, 800)
    page.show()
    desk.on_show.show("scan_0")
    background.finish()
    return page


@pytest.fixture
def strip(page):
    return page.slices.strip


def pixel(strip, index, height):
    width = strip.width() / len(strip._slices.painted)
    picture = strip.grab().toImage()
    ratio = picture.width() / strip.width()
    return picture.pixelColor(int((index + 0.4) * width * ratio), int(height * ratio))


def test_the_strip_shows_empty_painted_and_done_slices(page, strip, desk, background):
    desk.slices.show(4)
    page.slices.done.click()
    background.finish()
    desk.slices.show(10)
    foot, head = strip.height() - 4, 10
    assert pixel(strip, 4, head) == DONE
    assert pixel(strip, 6, foot) == PAINTED
    assert pixel(strip, 6, head) not in (DONE, PAINTED)
    assert pixel(strip, 1, foot) not in (DONE, PAINTED)


def test_a_click_and_a_drag_go_to_the_slice(strip, desk):
    column = strip.width() / 12
    QTest.mousePress(strip, Qt.MouseButton.LeftButton, pos=QPoint(int(2.5 * column), 15))
    assert desk.slices.current == 2
    QTest.mouseMove(strip, QPoint(int(7.5 * column), 15))
    assert desk.slices.current == 7
    QTest.mouseRelease(strip, Qt.MouseButton.LeftButton, pos=QPoint(int(7.5 * column), 15))
    assert strip.slice_at(-5) == 0
    assert strip.slice_at(10_000) == 11


def test_the_strip_is_driven_by_keys(strip, desk, background):
    slices = desk.slices
    for key, expected in (
        (Qt.Key.Key_Home, 0),
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_PageDown, 11),
        (Qt.Key.Key_Left, 10),
        (Qt.Key.Key_End, 11),
    ):
        QTest.keyClick(strip, key)
        assert slices.current == expected
    QTest.keyClick(strip, Qt.Key.Key_Space)
    background.finish()
    assert slices.done == {11}
    assert "slice 11 / 11, empty, done" in strip.accessibleName()


def test_a_resting_pointer_is_told_which_slice_it_is_over(strip, monkeypatch):
    told = []
    monkeypatch.setattr(
        "napari_semiseg.gui.label.slice_strip.QToolTip.showText",
        lambda place, text, widget: told.append(text),
    )
    over = QPoint(int(4.5 * strip.width() / 12), 10)
    QApplication.sendEvent(strip, QHelpEvent(QEvent.Type.ToolTip, over, strip.mapToGlobal(over)))
    assert told[0].startswith("Slice 4 / 11, painted.")


def test_the_words_say_what_a_mark_means_for_training(page, desk, background):
    assert page.slices.words.text().endswith("/ 11 · axial")
    assert page.slices.meaning.isHidden()
    page.slices.done.click()
    background.finish()
    assert page.slices.done.isChecked()
    assert page.slices.meaning.text().startswith("1 slice is done: training learns from no other")


def test_gaps_that_would_count_as_background_are_told(page, desk, background, qtbot):
    layer = desk.on_show.layers.label_layer
    rows = np.nonzero(np.asarray(layer.data)[5])
    layer.data_setitem((np.full(len(rows[0]), 5), *rows), 0)
    qtbot.waitUntil(lambda: "count as background" in page.slices.meaning.text())
    layer.undo()
    qtbot.waitUntil(page.slices.meaning.isHidden)


def test_in_3d_the_strip_and_the_interpolation_say_why_they_are_off(page, desk):
    tools = page.tools
    desk.on_show.layers.dims.ndisplay = 3
    for control in (page.slices.strip, page.slices.done, tools.interpolate, tools.fill_holes):
        assert not control.isEnabled()
        assert "3D view" in control.toolTip()
    assert tools.keep_largest.isEnabled()
    tools.holes.setCurrentIndex(1)
    assert tools.fill_holes.isEnabled()
    tools.holes.setCurrentIndex(0)
    assert not tools.fill_holes.isEnabled()
    desk.on_show.layers.dims.ndisplay = 2
    assert tools.interpolate.isEnabled()
    assert tools.fill_holes.isEnabled()


def test_the_brush_controls_show_and_change_how_the_brush_paints(page, desk):
    layer, brush = desk.on_show.layers.label_layer, page.brush
    assert brush.protect.isChecked()
    brush.protect.click()
    assert not layer.preserve_labels
    brush.ball.click()
    assert layer.n_edit_dimensions == 3
    page.keys()["S"]()
    assert layer.n_edit_dimensions == 2
    assert brush.slice.isChecked()


def test_limits_start_with_the_contrast_and_follow_the_numbers(page, desk):
    tools, brush = desk.labelling.tools, page.brush
    assert "tick the box" in brush.lowest.toolTip()
    desk.on_show.layers.scans[0].contrast_limits = (-10, 90)
    brush.limited.click()
    assert tools.limits == (-10, 90)
    assert (brush.lowest.value(), brush.highest.value()) == (-10, 90)
    brush.lowest.setValue(40)
    assert tools.limits == (40, 90)
    desk.on_show.layers.scans[0].contrast_limits = (0, 50)
    brush.from_view.click()
    assert tools.limits == (0, 50)
    page.keys()["W"]()
    assert tools.limits is None
    assert not brush.limited.isChecked()


def test_the_tools_act_on_the_class_in_hand(page, desk, background):
    layer = desk.on_show.layers.label_layer
    assert page.class_title.text() == "All of box"
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    page.tools.keep_largest.click()
    background.finish()
    assert layer.data[0, 0, 0] == 0
    layer.selected_label = 0
    assert "eraser" in page.tools.keep_largest.toolTip()


def test_holes_are_filled_as_chosen_beside_the_button(page, desk, background):
    layer = desk.on_show.layers.label_layer
    layer.data_setitem((np.array([3, 5]), np.array([6, 6]), np.array([7, 7])), 0)
    page.tools.holes.setCurrentIndex(1)
    page.tools.fill_holes.click()
    background.finish()
    assert (layer.data[3, 6, 7], layer.data[5, 6, 7]) == (0, 1)
    page.tools.holes.setCurrentIndex(0)
    page.tools.fill_holes.click()
    background.finish()
    assert layer.data[3, 6, 7] == 1


def test_every_control_says_what_it_does_and_nothing_is_cut_off(page):
    controls = (page.brush, page.tools, page.slices)
    for panel in controls:
        assert panel.minimumSizeHint().width() <= 344
        for control in panel.findChildren(object):
            if hasattr(control, "toolTip") and control.focusPolicy() and control.parent() is panel:
                assert control.toolTip(), control
                assert control.accessibleName(), control


def test_the_time_since_the_last_save_runs_on(page, desk, monkeypatch, qtbot, background):
    layer = desk.on_show.layers.label_layer
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 1)
    desk.open_study.about_to_work.emit()
    background.finish()
    saved = desk.labelling.saving.saved_at
    monkeypatch.setattr("napari_semiseg.gui.label.page.time.time", lambda: saved + 30)
    page._timer.timeout.emit()
    assert "saved 30 s ago" in page.state.text()


def test_a_sparse_label_is_marked_as_labelled_like_any_other(page, desk, background):
    page.slices.done.click()
    background.finish()
    page.mark()
    background.finish()
    page.mark()
    background.finish()
    assert desk.open_study.records.case("scan_0").state is CaseState.LABELLED
    assert desk.open_study.records.case("scan_0").done_slices.count == 1
