"""A run is measured on the cases that it never saw, and on no others."""

import json

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation import held_out
from napari_semiseg.engine.evaluation.held_out import CaseEvaluated, evaluate
from napari_semiseg.engine.evaluation.recorded import recorded_metrics
from napari_semiseg.engine.study import CaseState, ClassInfo
from tests.engine.inference.known_answers import Threshold, finish, make_plan
from tests.engine.small_study import make_study


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=5, held_out=2) as made:
        run = made.runs.create("supervised", {}, 0)
        made.runs.update(run, status="finished")
        yield made


@pytest.fixture
def answer_with(monkeypatch):
    """Let a known method stand for the trained one."""

    def put(method):
        monkeypatch.setattr(held_out, "method_to_ask", lambda folder, device: method)

    return put


class Truth(Threshold):
    """Answers with the labels of the scans that it is given as images."""

    def predict(self, patch, uncertainty=True):
        labels = patch[:, 0].round()
        return super().predict(labels[:, None], uncertainty)


@pytest.fixture
def perfect(study, answer_with, monkeypatch):
    """A method that finds every label: the images it sees are the labels."""
    original = study.scans.read

    def volume(name):
        found = original(name)
        found.voxels[0] = study.labels.load(name)
        return found

    monkeypatch.setattr(study.scans, "read", volume)
    answer_with(Truth(make_plan(spacing=(1.5, 1, 1), class_values=(1, 2)), (0.5, 1.5)))


@pytest.mark.usefixtures("perfect")
def test_a_perfect_prediction_has_dice_one_and_no_distance(study):
    events, found = finish(evaluate(study))
    locked = [case.name for case in study.held_out_cases()]
    assert [event.case for event in events if isinstance(event, CaseEvaluated)] == locked
    assert list(found.cases) == locked
    assert found.dice == 1
    for classes in [*found.cases.values(), found.mean]:
        for scores in classes.values():
            assert scores == {"dice": 1, "hd95": 0, "asd": 0}
    assert list(found.mean) == ["shell", "core", "all"]


@pytest.mark.usefixtures("perfect")
def test_what_was_measured_is_recorded_with_the_run(study):
    _, found = finish(evaluate(study))
    recorded = recorded_metrics(study, study.runs.get(found.run), study.held_out_cases())
    assert recorded.current == found.metrics
    assert recorded.outdated == ()


def test_a_prediction_that_misses_everything_has_dice_nought(study, answer_with):
    answer_with(Threshold(make_plan(class_values=(1, 2)), (1e5, 1e5)))
    _, found = finish(evaluate(study))
    assert found.dice == 0
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["run"] == "001-supervised"
    assert found.to_dict()["unit"] == "mm"


def test_only_held_out_cases_are_read(study, answer_with, monkeypatch):
    answer_with(Threshold(make_plan(class_values=(1, 2)), (1e5, 1e5)))
    read = []
    for shelf, what in ((study.scans, "read"), (study.labels, "load")):
        original = getattr(shelf, what)
        monkeypatch.setattr(
            shelf, what, lambda name, original=original: (read.append(name), original(name))[1]
        )
    finish(evaluate(study))
    assert set(read) == {"case_03", "case_04"}


def test_measuring_changes_no_case(study, answer_with):
    answer_with(Threshold(make_plan(class_values=(1, 2)), (1e5, 1e5)))
    before = [(case.name, case.state, case.label_saved_at) for case in study.cases()]
    finish(evaluate(study))
    assert [(case.name, case.state, case.label_saved_at) for case in study.cases()] == before


def test_a_class_that_came_after_training_is_left_out(study, answer_with):
    answer_with(Threshold(make_plan(class_values=(1, 2)), (1e5, 1e5)))
    study.set_classes([*study.classes, ClassInfo(7, "new", "#ff0000")])
    _, found = finish(evaluate(study))
    assert list(found.mean) == ["shell", "core", "all"]


def test_a_class_that_is_gone_since_training_goes_by_its_value(study, answer_with):
    answer_with(Threshold(make_plan(class_values=(1, 2, 9)), (1e5, 1e5, 1e5)))
    _, found = finish(evaluate(study))
    assert "9" in found.mean


def test_distances_are_in_millimetres_on_the_scans_own_grid(study, answer_with, monkeypatch):
    """A ball that is one slice too low is one slice's thickness, 1.5 mm, away at most."""
    original = study.scans.read

    def volume(name):
        found = original(name)
        found.voxels[0] = np.roll(study.labels.load(name) > 0, 1, axis=0)
        return found

    monkeypatch.setattr(study.scans, "read", volume)
    answer_with(Truth(make_plan(spacing=(1.5, 1, 1), class_values=(1,)), (0.5,)))
    for name in ("case_03", "case_04"):
        study.hold_out(name, locked=False)
        ball = (study.labels.load(name) > 0).astype(np.uint8)
        study.labels.save(name, ball, state=CaseState.LABELLED)
        study.hold_out(name)
    _, found = finish(evaluate(study))
    scores = found.mean["shell"]
    assert 0.8 < scores["dice"] < 1
    assert 0 < scores["asd"] < scores["hd95"] <= 1.5 + 1e-6


def test_a_label_that_is_not_finished_is_no_reference(study, perfect):
    study.mark("case_04", CaseState.IN_PROGRESS)
    _, found = finish(evaluate(study))
    assert list(found.metrics) == ["case_03"]
    assert found.left_out == ("case_04",)
    assert found.to_dict()["left_out"] == ["case_04"]


def test_scans_that_a_run_learnt_from_before_they_were_locked_are_left_out(study, perfect):
    study.hold_out("case_00")
    _, found = finish(evaluate(study))
    assert set(found.metrics) == {"case_03", "case_04"}
    assert found.left_out == ("case_00",)
    for name in ("case_03", "case_04"):
        study.hold_out(name, locked=False)
    with pytest.raises(StudyError, match="has learnt from the labels of all 1 held-out scans"):
        next(evaluate(study))


def test_a_study_without_held_out_labels_says_what_to_do(tmp_path):
    with make_study(tmp_path, held_out=0) as study:
        study.runs.update(study.runs.create("supervised", {}, 0), status="finished")
        with pytest.raises(
            StudyError, match=r"no held-out scan with a finished label .*--held-out"
        ):
            next(evaluate(study))


def test_a_run_without_a_checkpoint_says_what_to_do(study):
    with pytest.raises(StudyError, match="no checkpoint yet; train it first"):
        next(evaluate(study, device="cpu"))


def test_an_unknown_run_is_named(study):
    with pytest.raises(StudyError, match="no run '012-dtc'"):
        next(evaluate(study, "012-dtc"))


@pytest.mark.parametrize("wanted", [True, False])
def test_measuring_with_or_without_islands_by_choice_records_nothing(study, perfect, wanted):
    _, evaluation = finish(evaluate(study, largest_component=wanted))
    assert evaluation.dice == 1.0
    assert study.runs.metrics("001-supervised") == {}
