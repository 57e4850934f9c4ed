from __future__ import annotations

import getpass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_semiseg.engine.errors import BadLabel, GeometryMismatch, StudyError
from napari_semiseg.engine.study import CaseState, DecisionKind, Study


@pytest.fixture
def run(study: Study, drawn: np.ndarray) -> str:
    """Give a run that predicted all cases."""
    identifier = study.runs.create("ua-mt", {}, 0).identifier
    for case in study.cases():
        study.runs.maps.save(identifier, case.name, "prediction", drawn)
        study.mark(case.name, CaseState.PREDICTED)
    return identifier


def names(cases: list) -> list[str]:
    return [case.name for case in cases]


def test_the_mark_of_a_model_is_no_decision(study: Study, run: str) -> None:
    assert study.case("a").state is CaseState.PREDICTED
    assert study.decisions() == []


def test_the_mark_of_a_model_passes_over_labels(study: Study, run: str, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.labels.save("b", drawn)
    study.accept("c", run)
    for name in "abc":
        study.mark(name, CaseState.PREDICTED)
    states = [case.state for case in study.cases()]
    assert states == [CaseState.LABELLED, CaseState.IN_PROGRESS, CaseState.ACCEPTED]


def test_an_accepted_prediction_becomes_the_label(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.accept("a", run, author="Ada")
    case = study.case("a")
    assert case.state is CaseState.ACCEPTED
    assert case.label_origin == "accepted"
    assert names(study.labelled_cases()) == ["a"]
    np.testing.assert_array_equal(study.labels.load("a"), drawn)
    [decision] = study.decisions("a")
    assert (decision.who, decision.what, decision.run) == ("Ada", DecisionKind.ACCEPTED, run)
    assert decision.label_hash == case.label_hash


@pytest.mark.parametrize("state", [CaseState.IN_PROGRESS, CaseState.LABELLED])
def test_a_prediction_never_replaces_what_a_person_drew(
    study: Study, run: str, drawn: np.ndarray, state: CaseState
) -> None:
    human = np.minimum(drawn, 1)
    study.labels.save("a", human, state=state)
    with pytest.raises(StudyError, match="a person made"):
        study.accept("a", run)
    with pytest.raises(StudyError, match="a person made"):
        study.labels.save("a", drawn, origin="accepted")
    np.testing.assert_array_equal(study.labels.load("a"), human)
    assert study.case("a").state is state
    assert not list((study.path / "labels" / "1").glob(".staged*"))


def test_a_prediction_may_replace_an_empty_unfinished_label(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn * 0)
    study.accept("a", run)
    assert study.case("a").state is CaseState.ACCEPTED


def test_an_empty_label_that_a_person_finished_is_kept(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn * 0, state=CaseState.LABELLED)
    with pytest.raises(StudyError, match="a person made"):
        study.accept("a", run)


def test_a_newer_prediction_may_replace_an_accepted_one(study: Study, run: str) -> None:
    study.accept("a", run)
    study.accept("a", run)
    assert study.case("a").state is CaseState.ACCEPTED


def test_a_correction_makes_an_accepted_label_human(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.accept("a", run)
    study.labels.save("a", drawn // 2, state=CaseState.LABELLED)
    assert study.case("a").label_origin == "human"
    with pytest.raises(StudyError, match="a person made"):
        study.accept("a", run)


def test_a_case_without_a_prediction_cannot_be_accepted(study: Study) -> None:
    run = study.runs.create("dtc", {}, 0)
    with pytest.raises(StudyError, match="no prediction map"):
        study.accept("a", run)


def test_a_rejected_case_is_not_trained_on(study: Study, run: str) -> None:
    study.accept("a", run)
    study.reject("a", run, "leaks into the stomach", author="Ada")
    assert study.case("a").state is CaseState.REJECTED
    assert study.labelled_cases() == []
    decision = study.decisions("a")[-1]
    assert (decision.what, decision.detail) == ("prediction rejected", "leaks into the stomach")


def test_rejecting_a_prediction_leaves_the_label_of_a_person(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.reject("a", run)
    assert study.case("a").state is CaseState.LABELLED
    assert study.decisions("a")[-1].what is DecisionKind.REJECTED


def test_a_held_out_case_is_neither_labelled_nor_unlabelled(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.labels.save("b", drawn, state=CaseState.LABELLED)
    study.hold_out("a")
    study.hold_out("c")
    assert names(study.labelled_cases()) == ["b"]
    assert study.unlabelled_cases() == []
    assert names(study.held_out_cases()) == ["a", "c"]
    assert study.case("a").state is CaseState.HELD_OUT


def test_a_held_out_label_can_be_edited_and_ending_the_hold_out_restores_the_state(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.hold_out("a")
    study.labels.save("a", drawn // 2, state=CaseState.LABELLED)
    assert study.case("a").state is CaseState.HELD_OUT
    study.hold_out("a", locked=False)
    assert study.case("a").state is CaseState.LABELLED
    study.mark("b", CaseState.HELD_OUT)
    study.hold_out("b", locked=False)
    assert study.case("b").state is CaseState.UNLABELLED
    what = [decision.what for decision in study.decisions("b")]
    assert what == [DecisionKind.HELD_OUT, DecisionKind.NO_LONGER_HELD_OUT]


def test_accepted_predictions_are_no_truth_for_held_out_cases(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.accept("a", run)
    with pytest.raises(StudyError, match="accepted prediction"):
        study.hold_out("a")
    study.hold_out("b")
    with pytest.raises(StudyError, match="held out"):
        study.accept("b", run)
    study.labels.save("a", drawn // 2)
    study.hold_out("a")
    with pytest.raises(StudyError, match="accepted prediction"):
        study.labels.restore_previous("a")
    np.testing.assert_array_equal(study.labels.load("a"), drawn // 2)


def test_marks_that_the_label_contradicts_are_refused(study: Study, drawn: np.ndarray) -> None:
    with pytest.raises(StudyError, match="no label yet"):
        study.mark("a", CaseState.LABELLED)
    with pytest.raises(StudyError, match="no accepted prediction"):
        study.mark("a", CaseState.ACCEPTED)
    study.labels.save("a", drawn)
    with pytest.raises(StudyError, match="cannot be marked unlabelled"):
        study.mark("a", CaseState.UNLABELLED)
    study.mark("a", CaseState.LABELLED)
    study.mark("a", CaseState.IN_PROGRESS)
    assert study.labelled_cases() == []


def test_a_label_cannot_be_saved_in_a_state_that_is_no_label(
    study: Study, drawn: np.ndarray
) -> None:
    with pytest.raises(StudyError, match="cannot be saved as 'predicted'"):
        study.labels.save("a", drawn, state=CaseState.PREDICTED)


def test_the_previous_label_comes_back_with_its_state(study: Study, drawn: np.ndarray) -> None:
    with pytest.raises(StudyError, match="no previous label"):
        study.labels.restore_previous("a")
    study.labels.save("a", drawn)
    study.mark("a", CaseState.LABELLED)
    study.labels.save("a", drawn // 2)
    assert study.case("a").state is CaseState.IN_PROGRESS
    study.labels.restore_previous("a", author="Ada")
    np.testing.assert_array_equal(study.labels.load("a"), drawn)
    assert study.case("a").state is CaseState.LABELLED
    study.labels.restore_previous("a")
    np.testing.assert_array_equal(study.labels.load("a"), drawn // 2)
    study.labels.save("a", drawn)
    np.testing.assert_array_equal(study.labels.load_previous("a"), drawn // 2)


def test_autosaves_are_one_decision_and_marks_are_each_one(study: Study, drawn: np.ndarray) -> None:
    for shift in range(5):
        study.labels.save("a", np.roll(drawn, shift, axis=0))
    study.mark("a", CaseState.LABELLED, author="Ada")
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.labels.save("a", drawn, state=CaseState.LABELLED, author="Grace")
    decisions = study.decisions("a")
    assert [(d.what.value, d.who, d.detail) for d in decisions] == [
        ("label saved", getpass.getuser(), "in progress"),
        ("marked", "Ada", "labelled"),
        ("label saved", "Grace", "labelled"),
    ]
    assert decisions[-1].label_hash == study.case("a").label_hash
    with Study.open(study.path) as next_session:
        next_session.labels.save("a", drawn, state=CaseState.LABELLED)
    assert len(study.decisions("a")) == 4


def test_a_label_file_is_imported_as_finished(
    study: Study, drawn: np.ndarray, tmp_path: Path
) -> None:
    affine = study.case("a").geometry.affine
    path = tmp_path / "label.nii.gz"
    nib.save(nib.Nifti1Image(drawn.transpose(), affine), path)
    study.labels.import_file("a", path)
    np.testing.assert_array_equal(study.labels.load("a"), drawn)
    assert study.case("a").state is CaseState.LABELLED
    assert study.decisions("a")[-1].what is DecisionKind.LABEL_IMPORTED

    shifted = affine.copy()
    shifted[0, 3] += 0.25
    nib.save(nib.Nifti1Image(drawn.transpose(), shifted), path)
    with pytest.raises(GeometryMismatch):
        study.labels.import_file("b", path)
    nib.save(nib.Nifti1Image(drawn.transpose() * 5, affine), path)
    with pytest.raises(BadLabel, match="5"):
        study.labels.import_file("b", path)
    assert study.labels.load("b") is None
