"""Accepting and rejecting parts of a prediction, and what training then sees."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, DecisionKind, Study, parse_classes
from napari_semiseg.engine.study.done_slices import NOT_ANNOTATED
from napari_semiseg.engine.study.labels.provenance import HUMAN, NOBODY, REJECTED, UNKNOWN

LIVER, TUMOUR = 1, 2


@pytest.fixture
def run(study: Study, drawn: np.ndarray) -> str:
    """Give a run that predicted all cases."""
    identifier = study.runs.create("ua-mt", {}, 0).identifier
    for case in study.cases():
        study.runs.maps.save(identifier, case.name, "prediction", drawn)
        study.mark(case.name, CaseState.PREDICTED)
    return identifier


@pytest.fixture
def numbers(drawn: np.ndarray) -> np.ndarray:
    """Give the parts of the prediction: 1 the liver, 2 the tumour, 3 a corner of background."""
    parts = drawn.astype(np.int32)
    parts[0, 0] = 3
    return parts


def test_a_case_accepted_in_part_trains_with_the_decided_voxels_alone(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    case = study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour, part 1"}, author="Ada")
    assert case.state is CaseState.ACCEPTED
    assert case.accepted_in_part
    assert case.label_origin == "accepted"
    label = study.labels.load_for_training("a")
    assert (label[numbers == TUMOUR] == TUMOUR).all()
    assert (label[numbers != TUMOUR] == NOT_ANNOTATED).all()
    assert [case.name for case in study.labelled_cases()] == ["a"]
    [decision] = study.decisions("a")
    assert (decision.what, decision.who, decision.run) == (DecisionKind.PART_ACCEPTED, "Ada", run)
    assert decision.detail == "tumour, part 1: 1 voxels"
    assert decision.label_hash == case.label_hash


def test_accepted_background_is_background_in_training(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour"})
    before = study.labels.snapshot_hash()
    study.labels.parts.accept("a", run, numbers, {3: "background"})
    label = study.labels.load_for_training("a")
    assert (label[0, 0] == 0).all()
    assert set(np.unique(label)) == {0, TUMOUR, NOT_ANNOTATED}
    assert study.labels.snapshot_hash() != before


def test_each_part_is_a_line_of_the_audit_trail(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {1: "liver, at least 80 %", 2: "tumour"})
    assert [decision.detail for decision in study.decisions("a")] == [
        "liver, at least 80 %: 23 voxels",
        "tumour: 1 voxels",
    ]


def test_what_a_person_drew_stays_and_the_label_stays_theirs(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    human = np.zeros(numbers.shape, np.uint8)
    human[2, 2:4, 2:4] = TUMOUR
    study.labels.save("a", human)
    case = study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    assert (case.state, case.label_origin) == (CaseState.IN_PROGRESS, "human")
    label, provenance = study.labels.load("a"), study.labels.parts.provenance("a")
    assert (label[human > 0] == TUMOUR).all()
    assert (provenance.codes[human > 0] == HUMAN).all()
    assert provenance.voxels_by_class(label) == {1: {run: 19}, 2: {"human": 4}}
    assert study.labelled_cases() == []


def test_painting_over_accepted_voxels_makes_them_human(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {LIVER: "liver", TUMOUR: "tumour"})
    painted = study.labels.load("a")
    painted[2, 2, 2], painted[3, 3, 3] = 0, LIVER
    study.labels.save("a", painted)
    codes = study.labels.parts.provenance("a").codes
    assert codes[2, 2, 2] == codes[3, 3, 3] == HUMAN
    assert (codes > 0).sum() == 24
    training = study.labels.load_for_training("a")
    assert training[2, 2, 2] == 0
    assert training[0, 0, 0] == NOT_ANNOTATED
    case = study.case("a")
    assert (case.state, case.label_origin) == (CaseState.IN_PROGRESS, "human")


def test_a_person_who_finishes_the_label_decides_on_every_voxel(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    study.mark("a", CaseState.LABELLED)
    label = study.labels.load_for_training("a")
    assert set(np.unique(label)) == {0, LIVER}
    assert not study.labels.parts.undecided("a", run).any()
    with pytest.raises(StudyError, match="is complete"):
        study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour"})
    assert study.labels.load("a").max() == LIVER


def test_marked_slices_count_beside_accepted_parts(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.mark_slices("a", 0, [2])
    assert not study.labels.parts.undecided("a", run)[2].any()
    study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    label = study.labels.load_for_training("a")
    assert (label[2] == 0).all(), "a slice that a person finished stays as it is"
    assert (label[3][numbers[3] == LIVER] == LIVER).all()
    assert label[0, 0, 0] == NOT_ANNOTATED
    study.labels.mark_slices("a", 0, [2], done=False)
    assert study.labels.load_for_training("a")[2, 0, 0] == NOT_ANNOTATED
    study.labels.mark_slices("a", 0, [0])
    study.mark("a", CaseState.LABELLED)
    label = study.labels.load_for_training("a")
    assert (label[0] == 0).all()
    assert (label[5] == NOT_ANNOTATED).all(), "slices that wait for their mark still do not count"


def test_a_rejected_part_is_not_offered_again_and_never_trained_on(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    case = study.labels.parts.reject("a", run, numbers, {LIVER: "liver"})
    assert case.state is CaseState.PREDICTED
    assert not case.label_belongs_to_a_person
    assert study.labelled_cases() == []
    left = study.labels.parts.undecided("a", run)
    assert (left == (numbers != LIVER)).all()
    with pytest.raises(StudyError, match="left to decide"):
        study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour"})
    assert (study.labels.load_for_training("a")[numbers == LIVER] == NOT_ANNOTATED).all()
    kinds = [decision.what for decision in study.decisions("a")]
    assert kinds == [DecisionKind.PART_REJECTED, DecisionKind.PART_ACCEPTED]


def test_another_run_may_be_right_where_one_was_rejected(
    study: Study, run: str, numbers: np.ndarray, drawn: np.ndarray
) -> None:
    study.labels.parts.reject("a", run, numbers, {LIVER: "liver"})
    other = study.runs.create("dtc", {}, 0).identifier
    study.runs.maps.save(other, "a", "prediction", drawn)
    assert study.labels.parts.undecided("a", other).all()
    study.labels.parts.accept("a", other, numbers, {LIVER: "liver"})
    provenance = study.labels.parts.provenance("a")
    assert provenance.runs == (other,)
    assert not (provenance.codes == REJECTED).any()


def test_a_decision_can_be_taken_back(study: Study, run: str, numbers: np.ndarray) -> None:
    first = study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    second = study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour"})
    with pytest.raises(StudyError, match="changed after"):
        study.labels.parts.take_back("a", first.label_version)
    study.labels.parts.take_back("a", second.label_version, author="Ada")
    assert study.labels.load("a").max() == LIVER
    assert (study.labels.parts.provenance("a").codes[numbers == TUMOUR] == NOBODY).all()
    assert study.case("a").accepted_in_part
    assert (study.labels.load_for_training("a")[numbers == TUMOUR] == NOT_ANNOTATED).all()
    assert study.decisions("a")[-1].what is DecisionKind.PREVIOUS_LABEL_RESTORED


def test_taking_the_first_decision_back_leaves_no_label(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    case = study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    study.labels.parts.take_back("a", case.label_version)
    case = study.case("a")
    assert (case.state, case.has_label) == (CaseState.PREDICTED, False)
    assert study.labels.load("a") is None
    assert study.labels.parts.provenance("a") is None
    assert study.labels.parts.undecided("a", run).all()
    study.labels.restore_previous("a")
    assert study.case("a").accepted_in_part
    study.labels.parts.take_back("a", study.case("a").label_version)
    study.labels.save("a", numbers.astype(np.uint8) // 3)
    assert study.case("a").label_version == 2


def test_accepting_the_whole_case_completes_what_was_accepted_in_part(
    study: Study, run: str, numbers: np.ndarray, drawn: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour"})
    study.accept("a", run)
    case = study.case("a")
    assert not case.accepted_in_part
    np.testing.assert_array_equal(study.labels.load_for_training("a"), drawn)
    provenance = study.labels.parts.provenance("a")
    assert provenance.decided.all()
    assert provenance.voxels_by_class(drawn) == {1: {run: 23}, 2: {run: 1}}


def test_nothing_of_a_prediction_that_was_rejected_as_a_whole_comes_back(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.accept("a", run)
    study.reject("a", run)
    study.labels.parts.accept("a", run, numbers, {TUMOUR: "tumour"})
    assert (study.labels.load("a") > 0).sum() == 1


def test_a_held_out_case_takes_no_part_of_a_prediction(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.hold_out("a")
    assert not study.labels.parts.undecided("a", run).any()
    with pytest.raises(StudyError, match="is held out"):
        study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    study.labels.parts.accept("b", run, numbers, {LIVER: "liver"})
    with pytest.raises(StudyError, match="accepted prediction"):
        study.hold_out("b")
    assert study.decisions("a")[-1].what is DecisionKind.HELD_OUT


def test_what_cannot_be_decided_on_is_told(study: Study, run: str, numbers: np.ndarray) -> None:
    other = study.runs.create("dtc", {}, 0).identifier
    with pytest.raises(StudyError, match=f"{other} has no prediction"):
        study.labels.parts.accept("a", other, numbers, {LIVER: "liver"})
    study.set_classes([*study.classes, *parse_classes("255=rest")])
    with pytest.raises(StudyError, match="255"):
        study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    assert study.labels.load("a") is None
    assert study.decisions("a") == []


def test_a_label_of_before_provenance_is_unknown_and_kept(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    human = np.zeros(numbers.shape, np.uint8)
    human[2, 2, 2:5] = TUMOUR
    study.labels.save("a", human)
    shutil.rmtree(study.path / "labels" / "1" / "0001.zarr" / "provenance")
    assert study.labels.parts.provenance("a").voxels_by_class(human) == {2: {"unknown": 3}}
    study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    assert (study.labels.load("a")[human > 0] == TUMOUR).all()
    assert (study.labels.load_for_training("a")[human > 0] == TUMOUR).all()
    painted = study.labels.load("a")
    painted[2, 2, 2] = LIVER
    study.labels.save("a", painted)
    codes = study.labels.parts.provenance("a").codes
    assert (codes[2, 2, 2:5] == (HUMAN, UNKNOWN, UNKNOWN)).all()


def test_training_never_guesses_which_voxels_are_decided(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    (study.path / "labels" / "1" / "0001.zarr" / "provenance" / "c.0.0.0").unlink()
    with pytest.raises(StudyError, match="can no longer be read"):
        study.labels.load_for_training("a")
    np.testing.assert_array_equal(study.labels.load("a") > 0, numbers == LIVER)


def test_a_fix_remembers_the_run_that_it_started_from(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, run=run)
    fixed = drawn.copy()
    fixed[4, 4, 4] = LIVER
    study.labels.save("a", fixed)
    counts = study.labels.parts.provenance("a").voxels_by_class(fixed)
    assert counts == {1: {"human": 1, run: 23}, 2: {run: 1}}
    assert study.case("a").label_belongs_to_a_person


def test_a_label_that_another_program_saves_meanwhile_is_not_lost(
    study: Study, run: str, numbers: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    human = np.zeros(numbers.shape, np.uint8)
    human[3, 3, 3] = LIVER
    store = study.labels._store
    stage, hands = store.stage, [human]

    def paint_first(*arguments: object) -> object:
        if hands:
            with Study.open(study.path) as other:
                other.labels.save("a", hands.pop())
        return stage(*arguments)

    monkeypatch.setattr(store, "stage", paint_first)
    study.labels.parts.accept("a", run, numbers, {1: "liver", 2: "tumour"})
    label = study.labels.load("a")
    assert label[3, 3, 3] == LIVER, "the prediction says tumour there"
    assert (label > 0).sum() == 24
    assert not list((study.path / "labels" / "1").glob(".staged*"))


def test_previous_versions_keep_their_provenance(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.labels.parts.accept("a", run, numbers, {LIVER: "liver"})
    study.labels.save("a", np.zeros(numbers.shape, np.uint8))
    assert set(np.unique(study.labels.parts.provenance("a").codes)) == {NOBODY, HUMAN}
    study.labels.restore_previous("a")
    assert set(np.unique(study.labels.parts.provenance("a").codes)) == {NOBODY, 2}
    assert (study.labels.load_for_training("a")[numbers != LIVER] == NOT_ANNOTATED).all()
