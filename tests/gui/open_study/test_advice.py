from __future__ import annotations

import pytest

from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.open_study import advice
from napari_semiseg.gui.open_study.records import Snapshot, take_snapshot
from tests.gui.conftest import box


@pytest.fixture
def records(desk):
    return lambda: take_snapshot(desk.open_study.study)


def with_run(desk):
    run = desk.open_study.study.runs.create("ua-mt", {}, 0)
    desk.open_study.study.runs.update(run.identifier, status="finished")
    return run.identifier


def test_an_empty_study_asks_for_scans_on_every_page():
    for page in advice.PAGES:
        assert "Add scans" in advice.next_step(Snapshot(), page, False)


def test_each_step_says_what_it_lacks(desk, records):
    assert advice.step_captions(Snapshot()) == (
        "add scans",
        "no scans",
        "no labels",
        "not yet",
        "not yet",
    )
    assert advice.step_captions(records()) == ("4", "1 done", "not yet", "not yet", "not yet")
    assert advice.step_captions(records(), training=True)[2] == "running"
    with_run(desk)
    desk.open_study.study.mark("scan_1", CaseState.PREDICTED)
    assert advice.step_captions(records()) == ("4", "1 done", "1 run", "1 to do", "hold out")


def test_training_needs_a_finished_label(desk, records):
    assert advice.why_not_train(records(), False) is None
    assert "under way" in advice.why_not_train(records(), True)
    desk.open_study.study.mark("scan_0", CaseState.IN_PROGRESS)
    assert "No label is finished" in advice.why_not_train(records(), False)
    assert "Mark as labelled" in advice.next_step(records(), "Label", False)


def test_predicting_needs_a_run_and_scans_without_labels(desk, records):
    assert "trained" in advice.why_not_predict(records(), None)
    with_run(desk)
    assert advice.why_not_predict(records(), None) is None
    assert "Adding scans" in advice.why_not_predict(records(), "Adding scans")
    for index in (1, 2, 3):
        desk.open_study.study.hold_out(f"scan_{index}")
    assert "Every scan" in advice.why_not_predict(records(), None)


def test_what_a_person_drew_is_not_accepted_over(records):
    assert "person made" in advice.why_not_accept(records().case("scan_0"), True)
    assert "predict it first" in advice.why_not_accept(records().case("scan_1"), False)
    assert advice.why_not_accept(records().case("scan_1"), True) is None


def test_the_next_step_follows_the_work(desk, records):
    assert "Start training" in advice.next_step(records(), "Train", False)
    assert "while it trains" in advice.next_step(records(), "Train", True)
    assert "train first" in advice.next_step(records(), "Review", False)
    run = with_run(desk)
    assert "4 Review" in advice.next_step(records(), "Train", False)
    assert "Predict" in advice.next_step(records(), "Review", False)
    desk.open_study.study.mark("scan_1", CaseState.PREDICTED)
    assert "1 prediction to look at" in advice.next_step(records(), "Review", False)
    desk.open_study.study.reject("scan_1", run)
    assert "Train again" in advice.next_step(records(), "Review", False)


def test_comparing_needs_held_out_labels_and_two_runs(desk, records):
    assert "held out" in advice.why_not_compare(records(), False)
    desk.open_study.study.hold_out("scan_1")
    assert "held out" in advice.why_not_compare(records(), False), "it has no label to measure on"
    desk.open_study.study.hold_out("scan_0")
    assert "two runs" in advice.why_not_compare(records(), False)
    with_run(desk)
    assert "Train another" in advice.why_not_compare(records(), False)
    assert "still training" in advice.why_not_compare(records(), True)
    assert advice.step_captions(records())[-1] == "1 run"
    with_run(desk)
    assert advice.why_not_compare(records(), False) is None
    assert advice.step_captions(records())[-1] == "2 runs"


def test_held_out_scans_are_asked_for_only_while_there_are_none(desk, records):
    assert "held-out" in advice.next_step(records(), "Scans", False)
    desk.open_study.study.labels.save("scan_1", box(1), state="labelled")
    desk.open_study.study.hold_out("scan_1")
    assert advice.next_step(records(), "Scans", False) == (
        "1 scan to learn from, 1 held out to measure quality on."
    )
