from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.label import saving
from tests.gui.cases_on_show import paint
from tests.gui.parts_of_the_desk import label_page


@pytest.fixture
def page(qtbot, desk):
    page = label_page(desk)
    qtbot.addWidget(page)
    return page


def brush(page, value):
    return page._brushes.button(value)


def test_without_a_scan_everything_says_what_to_do_first(page):
    for control in (brush(page, 1), page.brush_size, page.done):
        assert not control.isEnabled()
        assert "choose one above" in control.toolTip()


def test_choosing_a_scan_shows_it(page, desk, background):
    page.case.activated.emit(1)
    assert "Reading scan_1" in page.state.text()
    background.finish()
    assert desk.on_show.name == "scan_1"
    assert page.state.text() == "Unlabelled"
    assert brush(page, 1).isEnabled()


def test_next_and_previous_stop_at_the_ends(page, desk, background):
    page.next.click()
    background.finish()
    assert desk.on_show.name == "scan_0"
    assert not page.previous.isEnabled()
    assert "first" in page.previous.toolTip()
    page.next.click()
    background.finish()
    assert desk.on_show.name == "scan_1"


def test_a_class_button_takes_the_brush_and_follows_the_layer(page, desk, background):
    desk.on_show.show("scan_1")
    background.finish()
    brush(page, 2).click()
    assert desk.on_show.layers.label_layer.selected_label == 2
    assert desk.on_show.layers.label_layer.mode == "paint"
    assert brush(page, 2).isChecked()
    desk.on_show.layers.label_layer.selected_label = 1
    assert brush(page, 1).isChecked()
    assert not brush(page, 2).isChecked()


def test_the_brush_size_follows_the_layer_in_millimetres(page, desk, background):
    desk.on_show.show("scan_1")
    background.finish()
    page.brush_size.setValue(9.0)
    assert desk.on_show.layers.label_layer.brush_size == pytest.approx(6.0)
    desk.on_show.layers.label_layer.brush_size = 2
    assert page.brush_size.value() == pytest.approx(3.0)


def test_a_painted_scan_is_marked_and_taken_back(page, desk, background, qapp):
    desk.on_show.show("scan_1")
    background.finish()
    assert "Nothing is painted" in page.done.toolTip()
    layer = desk.on_show.layers.label_layer
    layer.data_setitem((np.array([1]), np.array([2]), np.array([2])), 1)
    qapp.processEvents()
    background.finish()
    page.done.click()
    background.finish()
    assert desk.open_study.records.case("scan_1").state is CaseState.LABELLED
    assert "in progress" in page.done.text().replace("&", "")
    page.done.click()
    background.finish()
    assert desk.open_study.records.case("scan_1").state is CaseState.IN_PROGRESS


def test_keys_are_the_classes_in_order(page, desk, background):
    desk.on_show.show("scan_1")
    background.finish()
    keys = page.keys()
    assert {"0", "1", "2", "M"} <= set(keys)
    keys["2"]()
    assert desk.labelling.brush_value == 2


def test_new_classes_get_buttons(page, desk, background):
    from napari_semiseg.engine.study import parse_classes

    desk.scans.set_classes(parse_classes("1=box,2=rim,7=core"))
    background.finish()
    assert brush(page, 7) is not None
    assert "core" in brush(page, 7).text()


def test_a_label_that_was_not_saved_says_so_until_it_is(page, desk, background, monkeypatch):
    def refuse(*_):
        raise StudyError("The disk is full: free some space.")

    desk.on_show.show("scan_1")
    background.finish()
    with monkeypatch.context() as patch:
        patch.setattr(saving, "keep_label", refuse)
        paint(desk)
        desk.open_study.about_to_work.emit()
        background.finish()
    assert "not saved, kept for another try" in page.state.text()
    desk.open_study.about_to_work.emit()
    background.finish()
    assert "saved just now" in page.state.text()
