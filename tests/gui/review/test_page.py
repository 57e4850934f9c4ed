from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray
from napari_semiseg.engine.inference.stored_maps import store_maps
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.study import CaseState, DecisionKind
from tests.gui.parts_of_the_desk import review_page


@pytest.fixture
def page(qtbot, desk, background):
    """The page with predictions of scan_1 to scan_3, the last the most unsure."""
    study = desk.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run.identifier, status="finished")
    for index in (1, 2, 3):
        name = f"scan_{index}"
        shape = study.case(name).geometry.shape
        prediction = np.zeros(shape, np.uint8)
        prediction[2:6, 2:6, 2:6] = 1
        study.runs.maps.save(run, name, "prediction", prediction)
        study.runs.maps.save(
            run, name, "uncertainty", np.full(shape, index / 10, np.float32), source="x"
        )
        study.runs.maps.save(run, name, "signed_distance", np.zeros((2, *shape), np.float32))
        study.mark(name, CaseState.PREDICTED)
    desk.open_study.refresh()
    background.finish()
    page = review_page(desk)
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
    layers = desk.on_show.layers.map_layers()
    assert layers["signed_distance:1"].visible
    assert not layers["signed_distance:2"].visible
    page.of_class.activated.emit(1)
    assert layers["signed_distance:2"].visible


def test_accepting_goes_on_to_the_next(page, desk, background):
    show(page, background, "scan_3")
    page.accept.click()
    background.finish()
    assert desk.open_study.records.case("scan_3").state is CaseState.ACCEPTED
    assert desk.on_show.name == "scan_2"
    assert names(page)[-1] == "scan_3"


def test_going_on_to_the_next_scan_adds_no_map_layer(page, desk, background):
    show(page, background, "scan_3")
    before = desk.on_show.layers.map_layers()
    page.accept.click()
    background.finish()
    assert desk.on_show.name == "scan_2"
    assert desk.on_show.layers.map_layers() == before
    assert before["prediction"].metadata["semiseg"]["case"] == "scan_2"
    assert before["prediction"].visible


def test_a_scan_without_a_prediction_keeps_no_layers_of_the_maps_before(page, desk, background):
    show(page, background, "scan_3")
    show(page, background, "scan_0")
    kinds = {layer.metadata["semiseg"]["kind"] for layer in desk.on_show.layers.viewer.layers}
    assert kinds == {"scan", "label"}


def test_unreadable_maps_leave_no_layers_of_the_maps_before(page, desk, background, monkeypatch):
    def unreadable(study, name):
        raise StudyError("The maps cannot be read: predict the scan again.")

    show(page, background, "scan_3")
    monkeypatch.setattr("napari_semiseg.gui.viewer.maps_on_show.read_maps", unreadable)
    show(page, background, "scan_2")
    kinds = {layer.metadata["semiseg"]["kind"] for layer in desk.on_show.layers.viewer.layers}
    assert kinds == {"scan", "label"}


def test_rejecting_takes_the_reason_along(page, desk, background):
    page.go_on.setChecked(False)
    show(page, background, "scan_3")
    page.reason.setText("too small")
    page.keys()["R"]()
    background.finish()
    decision = desk.open_study.study.decisions("scan_3")[-1]
    assert (decision.what, decision.detail) == (DecisionKind.REJECTED, "too small")
    assert page.reason.text() == ""
    assert desk.on_show.name == "scan_3"


def test_fixing_opens_a_label_of_the_users_own(page, desk, background):
    show(page, background, "scan_3")
    page.keys()["F"]()
    background.finish()
    assert desk.open_study.records.case("scan_3").state is CaseState.IN_PROGRESS
    assert desk.on_show.layers.label_voxels().sum() == 64
    assert not page.accept.isEnabled()
    assert "person made" in page.accept.toolTip()


def test_keys_do_nothing_where_buttons_are_off(page, desk, background):
    desk.on_show.show("scan_0")
    background.finish()
    for key in "AFR":
        page.keys()[key]()
    background.finish()
    assert desk.open_study.records.case("scan_0").state is CaseState.LABELLED


def test_predicting_needs_a_run(qtbot, desk):
    page = review_page(desk)
    qtbot.addWidget(page)
    assert not page.predict.isEnabled()
    assert "train" in page.predict.toolTip()


@pytest.fixture
def with_own_maps(page, desk):
    """The page with a newer run of scan_1 that has a disagreement and maps of its own."""
    study = desk.open_study.study
    run = study.runs.create("two-answers", {}, 0)
    study.runs.update(run.identifier, status="finished")
    geometry = study.case("scan_1").geometry
    share = np.full(geometry.shape, 0.5, np.float32)
    second = NativeMap("second", "Teacher's prediction", "classes", "classes")
    border = NativeMap("border", "Learned distance", "distance", "foreground", 5.0, "mm")
    own = {
        "second": NativeArray(np.ones(geometry.shape, np.uint8), second),
        "border": NativeArray(np.stack([share, -share]), border),
    }
    prediction = np.ones(geometry.shape, np.uint8)
    shared = {"prediction": prediction, "uncertainty": share, "disagreement": share}
    maps = CaseMaps("scan_1", geometry, shared, own, "x")
    store_maps(study, run.identifier, maps)
    return page


def choose(page, title):
    next(a for a in page.more_maps.menu().actions() if a.text() == title).trigger()


def test_disagreement_can_be_shown_where_there_are_two_answers(with_own_maps, desk, background):
    page = with_own_maps
    box = page.maps["disagreement"]
    assert box.toolTip() == "The scan on the screen has no such map."
    show(page, background, "scan_2")
    assert not box.isEnabled()
    assert "one answer" in box.toolTip()
    show(page, background, "scan_1")
    assert box.isEnabled()
    assert not desk.on_show.layers.map_layers()["disagreement"].visible
    box.click()
    assert desk.on_show.layers.map_layers()["disagreement"].visible


def test_the_methods_own_maps_are_in_a_menu_and_show_for_the_chosen_class(
    with_own_maps, desk, background
):
    page = with_own_maps
    assert not page.more_maps.isEnabled()
    show(page, background, "scan_2")
    assert "method's own" in page.more_maps.toolTip()
    show(page, background, "scan_1")
    assert page.more_maps.isEnabled()
    titles = [action.text() for action in page.more_maps.menu().actions()]
    assert titles == ["Learned distance", "Teacher's prediction"]
    layers = desk.on_show.layers.map_layers()
    assert not any(layers[key].visible for key in ("second", "border:1", "border:2"))
    choose(page, "Teacher's prediction")
    choose(page, "Learned distance")
    assert layers["second"].visible
    assert (layers["border:1"].visible, layers["border:2"].visible) == (True, False)
    assert "(2 on)" in page.more_maps.text()
    assert page.of_class.isEnabled()
    page.of_class.activated.emit(1)
    assert (layers["border:1"].visible, layers["border:2"].visible) == (False, True)
    choose(page, "Teacher's prediction")
    assert not layers["second"].visible


def test_own_maps_of_the_scan_before_are_not_offered_for_the_next(with_own_maps, background):
    page = with_own_maps
    show(page, background, "scan_1")
    choose(page, "Teacher's prediction")
    show(page, background, "scan_2")
    assert not page.more_maps.isEnabled()
    assert not page.more_maps.menu().actions()
    show(page, background, "scan_1")
    assert "(1 on)" in page.more_maps.text()


def test_it_stays_narrow_with_every_map_on(with_own_maps, background):
    page = with_own_maps
    show(page, background, "scan_1")
    choose(page, "Teacher's prediction")
    choose(page, "Learned distance")
    assert page.minimumSizeHint().width() <= 344
    page.resize(344, 700)
    page.grab()
    for control in (*page.maps.values(), page.more_maps):
        assert control.width() >= control.sizeHint().width(), control.text()
        assert control.geometry().right() <= 344


def test_sizes_are_offered_for_methods_that_expect_some_only(page, desk, background):
    study = desk.open_study.study
    run = study.runs.create("curriculum", {}, 0)
    study.runs.update(run.identifier, status="finished")
    shape = study.case("scan_2").geometry.shape
    study.runs.maps.save(run, "scan_2", "prediction", np.ones(shape, np.uint8))
    desk.open_study.refresh()
    show(page, background, "scan_1")
    assert page.sizes.isHidden()
    show(page, background, "scan_2")
    assert not page.sizes.isHidden()
    assert page.layout().itemAt(page.layout().count() - 1).widget() is page.sizes
    page.resize(344, 700)
    page.grab()
    assert page.sizes.geometry().right() <= 344


def judge(page, desk, background):
    desk.reviewing.trust.judge_missing()
    background.finish()


def test_trust_has_a_column_as_soon_as_it_is_known(page, desk, background):
    assert page.table.isColumnHidden(3)
    judge(page, desk, background)
    assert not page.table.isColumnHidden(3)
    scores = desk.reviewing.trust.scores
    assert names(page) == sorted(scores, key=scores.__getitem__)
    first = page.table.model().index(0, 3).data()
    assert first == f"{100 * min(scores.values()):.0f} %"


def test_the_reasons_stand_under_the_list(page, desk, background):
    judge(page, desk, background)
    assert page.trust.words.isHidden(), "no scan is on the screen"
    show(page, background, "scan_3")
    words = page.trust.words.text()
    assert words.startswith("Trust ")
    assert words.count("\n") <= 4
    assert not page.trust.words.isHidden()


def test_judging_shows_its_progress_and_can_be_stopped(page, desk, background):
    desk.reviewing.trust.judge_missing()
    assert not page.trust.stop.isHidden()
    assert "Judging" in page.trust.note.text()
    page.trust.stop.click()
    background.finish()
    assert "was stopped" in page.trust.note.text()
    assert names(page) == ["scan_3", "scan_2", "scan_1"]
    page.trust.again.click()
    background.finish()
    assert page.trust.again.isHidden()
    assert not page.table.isColumnHidden(3)


def test_the_worst_slice_has_a_button_and_a_key(page, desk, background):
    assert not page.worst.isEnabled()
    assert "choose a predicted scan" in page.worst.toolTip()
    show(page, background, "scan_3")
    assert page.worst.isEnabled()
    page.keys()["W"]()
    found = page.worst_found.text()
    assert found.startswith(f"Slice {desk.slices.current}:")
    page.worst.click()
    assert page.worst_found.text() != found
