"""Judging predictions in the background: what is known, when it is out of date, how it ends."""

from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.review import case_queue
from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.open_study.records import JobStep
from napari_semiseg.gui.review.trust import STOPPED, judge_predictions
from tests.gui.conftest import box


def predict(study, run, name, prediction, unsure=0.05):
    shape = study.case(name).geometry.shape
    study.runs.maps.save(run, name, "prediction", prediction)
    study.runs.maps.save(run, name, "uncertainty", np.full(shape, unsure, np.float32), source="x")
    study.mark(name, CaseState.PREDICTED)


def finished_run(study):
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run.identifier, status="finished")
    return run


@pytest.fixture
def predicted(desk, background):
    """Good predictions of scan_1 and scan_2, and one of scan_3 that is far too small."""
    run = finished_run(desk.open_study.study)
    for index in (1, 2):
        predict(desk.open_study.study, run, f"scan_{index}", box(index))
    small = np.zeros_like(box(3))
    small[5, 8, 7] = 1
    predict(desk.open_study.study, run, "scan_3", small)
    desk.open_study.refresh()
    background.finish()
    return desk


@pytest.fixture
def trust(predicted):
    return predicted.reviewing.trust


def listed(session):
    return [case.name for case in session.reviewing.cases()]


def test_the_least_trusted_comes_first_whatever_the_uncertainty(predicted, trust, background):
    predicted.reviewing.unsure = {"scan_1": 0.9, "scan_2": 0.1, "scan_3": 0.0}
    assert listed(predicted) == ["scan_1", "scan_2", "scan_3"], "as before while trust is unknown"
    trust.judge_missing()
    assert trust.busy
    background.finish()
    assert not trust.busy
    assert listed(predicted)[0] == "scan_3"
    assert predicted.reviewing.next_case(None) == "scan_3"
    assert any("smaller" in reason for reason in trust.cases["scan_3"].trust.reasons)


def test_what_is_not_judged_yet_follows_in_the_order_of_uncertainty(predicted, trust, background):
    trust.judge_missing()
    background.finish()
    for name in ("scan_1", "scan_2"):
        trust.outdate(name)
    predicted.reviewing.unsure = {"scan_1": 0.2, "scan_2": 0.4}
    assert listed(predicted) == ["scan_3", "scan_2", "scan_1"]


def test_progress_is_told_apart_from_what_is_found(trust, background):
    shares, counts = [], []
    trust.progressed.connect(lambda: shares.append(trust.share))
    trust.changed.connect(lambda: counts.append(len(trust.cases)))
    trust.judge_missing()
    background.finish()
    assert shares[0] is None
    assert shares[-1] == 0.75, "one label and three predictions"
    assert counts == [0, 3, 3]


def test_nothing_is_judged_twice(trust, background):
    trust.judge_missing()
    background.finish()
    trust.judge_missing()
    assert not background.waiting


def test_accepting_a_prediction_does_not_shuffle_the_list(predicted, trust, background):
    trust.judge_missing()
    background.finish()
    predicted.reviewing.accept("scan_3")
    background.finish()
    trust.judge_missing()
    assert not background.waiting
    assert listed(predicted)[-1] == "scan_3"


def test_a_finished_label_and_a_new_prediction_are_taken_up(predicted, trust, background):
    trust.judge_missing()
    background.finish()
    predicted.open_study.study.labels.save("scan_1", box(1), state="labelled")
    predicted.open_study.refresh()
    background.finish()
    trust.judge_missing()
    background.finish()
    assert set(trust.cases) == {"scan_2", "scan_3"}, "a labelled scan leaves the list"
    before = trust.scores["scan_3"]
    predict(predicted.open_study.study, predicted.open_study.records.runs[-1], "scan_3", box(3))
    trust.outdate("scan_3")
    trust.judge_missing()
    background.finish()
    assert trust.scores["scan_3"] > before


def test_it_waits_while_predictions_are_made(predicted, trust, background):
    predicted.open_study.start_job("Predicting", lambda: None, done=lambda _: None)
    trust.judge_missing()
    assert not trust.busy
    background.finish()
    trust.judge_missing()
    assert trust.busy


def test_each_prediction_is_judged_among_those_of_its_own_run(predicted):
    newer = finished_run(predicted.open_study.study)
    predict(predicted.open_study.study, newer, "scan_2", box(2))
    values = list(judge_predictions(predicted.open_study.study, ["scan_1", "scan_2", "scan_3"]))
    judged = [value for value in values if not isinstance(value, JobStep)]
    runs = {item.case: item.run for items in judged for item in items}
    assert runs["scan_2"] == newer.identifier != runs["scan_1"] == runs["scan_3"]
    shares = [v.share for v in values if isinstance(v, JobStep) and v.share is not None]
    assert shares == sorted(shares)
    assert shares[-1] < 1


def test_held_out_scans_are_never_judged(predicted, trust, background):
    predicted.scans.hold_out("scan_3")
    background.finish()
    trust.judge_missing()
    background.finish()
    assert set(trust.cases) == {"scan_1", "scan_2"}


def test_stopping_says_so_and_does_not_begin_anew_by_itself(trust, background):
    trust.judge_missing()
    trust.stop()
    background.finish()
    assert trust.problem == STOPPED
    assert not trust.cases
    trust.judge_missing()
    assert not trust.busy
    trust.judge_again()
    background.finish()
    assert trust.problem is None
    assert trust.cases


def test_a_damaged_label_is_told_once(trust, background, monkeypatch):
    def broken(*_):
        raise StudyError("The label of 'scan_0' is damaged: restore the one before.")
        yield

    monkeypatch.setattr(case_queue, "queue_cases", broken)
    trust.judge_missing()
    background.finish()
    assert "damaged" in trust.problem
    trust.judge_missing()
    assert not background.waiting


def test_a_study_that_is_left_is_forgotten(predicted, trust, background):
    trust.judge_missing()
    predicted.open_study.close_study()
    background.finish()
    assert not trust.cases
    assert not trust.busy
