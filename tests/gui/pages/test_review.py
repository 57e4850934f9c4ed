from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState, DecisionKind
from napari_semiseg.gui.pages.review import ReviewPage


@pytest.fixture
def page(qtbot, desk, background):
    """The page with predictions of scan_1 to scan_3, the last the most unsure."""
    study = desk.study
    run = study.create_run("ua-mt", {}, 0)
    study.update_run(run.identifier, status="finished")
    for index in (1, 2, 3):
        name = f"scan_{index}"
        shape = study.case(name).geometry.shape
        prediction = np.zeros(shape, np.uint8)
        prediction[2:6, 2:6, 2:6] = 1
        study.save_map(run, name, "prediction", prediction)
        study.save_map(run, name, "uncertainty", np.full(shape, index / 10, np.float32), source="x")
        study.save_map(run, name, "signed_distance", np.zeros((2, *shape), np.float32))
        study.mark(name, CaseState.PREDICTED)
    desk.refresh()
    background.finish()
    page = ReviewPage(desk)
    qtbot.addWidget(page)
    desk.reviewing.measure_missing()
    background.finish()
    return page


def names(page):
    model = page.table.model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def show(page, background, name):
    page.table.chosen.emit(name)
    background.finish()


def test_the_most_unsure_scan_comes_first_with_its_percentage(page):
    assert names(page) == ["scan_3", "scan_2", "scan_1"]
    assert page.table.model().index(0, 2).data() == "30 %"


def test_decisions_wait_for_a_scan_and_say_so(page):
    for control in (page.accept, page.fix, page.reject):
        assert not control.isEnabled()
        assert "choose one in the list" in control.toolTip()


def test_map_boxes_follow_what_the_scan_has(page, desk, background):
    show(page, background, "scan_2")
    assert page.maps["prediction"].isEnabled()
    assert not page.maps["similarity"].isEnabled()
    assert "no such map" in page.maps["similarity"].toolTip()
    page.maps["signed_distance"].click()
    layers = desk.layers.map_layers()
    assert layers["signed_distance:1"].visible
    assert not layers["signed_distance:2"].visible
    page.of_class.activated.emit(1)
    assert layers["signed_distance:2"].visible


def test_accepting_goes_on_to_the_next(page, desk, background):
    show(page, background, "scan_3")
    page.accept.click()
    background.finish()
    assert desk.records.case("scan_3").state is CaseState.ACCEPTED
    assert desk.labelling.shown == "scan_2"
    assert names(page)[-1] == "scan_3"


def test_rejecting_takes_the_reason_along(page, desk, background):
    page.go_on.setChecked(False)
    show(page, background, "scan_3")
    page.reason.setText("too small")
    page.keys()["R"]()
    background.finish()
    decision = desk.study.decisions("scan_3")[-1]
    assert (decision.what, decision.detail) == (DecisionKind.REJECTED, "too small")
    assert page.reason.text() == ""
    assert desk.labelling.shown == "scan_3"


def test_fixing_opens_a_label_of_the_users_own(page, desk, background):
    show(page, background, "scan_3")
    page.keys()["F"]()
    background.finish()
    assert desk.records.case("scan_3").state is CaseState.IN_PROGRESS
    assert desk.layers.label_voxels().sum() == 64
    assert not page.accept.isEnabled()
    assert "person made" in page.accept.toolTip()


def test_keys_do_nothing_where_buttons_are_off(page, desk, background):
    desk.labelling.show_case("scan_0")
    background.finish()
    for key in "AFR":
        page.keys()[key]()
    background.finish()
    assert desk.records.case("scan_0").state is CaseState.LABELLED


def test_predicting_needs_a_run(qtbot, desk):
    page = ReviewPage(desk)
    qtbot.addWidget(page)
    assert not page.predict.isEnabled()
    assert "train" in page.predict.toolTip()
