"""The label before and after a decision or a correction."""

from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState
from tests.gui.conftest import box
from tests.gui.parts_of_the_desk import review_page


@pytest.fixture
def before(desk, background):
    """Scan_1 predicted and on the screen."""
    study = desk.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run.identifier, status="finished")
    study.runs.maps.save(run, "scan_1", "prediction", box(1))
    study.mark("scan_1", CaseState.PREDICTED)
    desk.open_study.refresh()
    desk.maps.show_case("scan_1")
    background.finish()
    return desk.reviewing.before


def shown(desk, name="scan_1 label before"):
    return next((each for each in desk.on_show.layers.visible_layers() if each.name == name), None)


def paint(desk, background):
    layer = desk.on_show.layers.label_layer
    layer.data_setitem((np.array([0]), np.array([0]), np.array([0])), 2)
    desk.on_show.layers.label_edited.emit(None)
    background.finish()


def test_nothing_is_before_the_first_change(before):
    assert "not changed yet" in before.why_not()
    before.toggle()
    assert not before.showing


def test_it_shows_the_label_before_a_decision_and_after_it(before, desk, background):
    desk.reviewing.accept("scan_1")
    background.finish()
    before.toggle()
    assert before.showing
    assert not shown(desk).data.any()
    assert not desk.on_show.layers.label_layer.visible
    before.toggle()
    assert shown(desk) is None
    assert desk.on_show.layers.label_layer.visible
    np.testing.assert_array_equal(desk.on_show.layers.label_voxels(), box(1))


def test_a_correction_of_many_strokes_is_one_change(before, desk, background):
    desk.reviewing.accept("scan_1")
    background.finish()
    paint(desk, background)
    paint(desk, background)
    before.toggle()
    np.testing.assert_array_equal(shown(desk).data, box(1))
    assert desk.on_show.layers.label_voxels()[0, 0, 0] == 2


def test_changes_of_another_session_come_from_the_study(before, desk, background):
    for label in (box(2), box(3)):
        desk.open_study.study.labels.save("scan_3", label)
    desk.open_study.refresh()
    desk.on_show.show("scan_3")
    background.finish()
    assert before.why_not() is None
    before.toggle()
    background.finish()
    np.testing.assert_array_equal(shown(desk, "scan_3 label before").data, box(2))


def test_nothing_can_be_painted_into_the_hidden_label(before, desk, background):
    desk.reviewing.accept("scan_1")
    background.finish()
    before.toggle()
    desk.labelling.paint_with(1)
    assert desk.on_show.layers.label_layer.mode == "pan_zoom"


def test_another_scan_brings_the_present_label_back(before, desk, background):
    desk.reviewing.accept("scan_1")
    background.finish()
    before.toggle()
    desk.on_show.show("scan_2")
    background.finish()
    assert not before.showing
    assert desk.on_show.layers.label_layer.visible


def test_it_has_a_button_and_a_key_and_ends_with_the_page(qtbot, before, desk, background):
    page = review_page(desk)
    qtbot.addWidget(page)
    assert not page.before.isEnabled()
    desk.reviewing.accept("scan_1")
    background.finish()
    page.keys()["B"]()
    assert page.before.isChecked()
    page.before.click()
    assert not page.before.isChecked()
    page.show()
    page.before.click()
    page.hide()
    assert not before.showing
