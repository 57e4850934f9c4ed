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
    identifier = study.create_run("ua-mt", {}, 0).identifier
    for case in study.cases():
        study.save_map(identifier, case.name, "prediction", drawn)
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
    case = study.regions.accept("a", run, numbers, {TUMOUR: "tumour, part 1"}, author="Ada")
    assert case.state is CaseState.ACCEPTED
    assert case.accepted_in_part
    assert case.label_origin == "accepted"
    label = study.load_training_label("a")
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
    study.regions.accept("a", run, numbers, {TUMOUR: "tumour"})
    before = study.label_snapshot_hash()
    study.regions.accept("a", run, numbers, {3: "background"})
    label = study.load_training_label("a")
    assert (label[0, 0] == 0).all()
    assert set(np.unique(label)) == {0, TUMOUR, NOT_ANNOTATED}
    assert study.label_snapshot_hash() != before


def test_each_part_is_a_line_of_the_audit_trail(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.regions.accept("a", run, numbers, {1: "liver, at least 80 %", 2: "tumour"})
    assert [decision.detail for decision in study.decisions("a")] == [
        "liver, at least 80 %: 23 voxels",
        "tumour: 1 voxels",
    ]


def test_what_a_person_drew_stays_and_the_label_stays_theirs(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    human = np.zeros(numbers.shape, np.uint8)
    human[2, 2:4, 2:4] = TUMOUR
    study.save_label("a", human)
    case = study.regions.accept("a", run, numbers, {LIVER: "liver"})
    assert (case.state, case.label_origin) == (CaseState.IN_PROGRESS, "human")
    label, provenance = study.load_label("a"), study.regions.provenance("a")
    assert (label[human > 0] == TUMOUR).all()
    assert (provenance.codes[human > 0] == HUMAN).all()
    assert provenance.voxels_by_class(label) == {1: {run: 19}, 2: {"human": 4}}
    assert study.labelled_cases() == []


def test_painting_over_accepted_voxels_makes_them_human(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.regions.accept("a", run, numbers, {LIVER: "liver", TUMOUR: "tumour"})
    painted = study.load_label("a")
    painted[2, 2, 2], painted[3, 3, 3] = 0, LIVER
    study.save_label("a", painted)
    codes = study.regions.provenance("a").codes
    assert codes[2, 2, 2] == codes[3, 3, 3] == HUMAN
    assert (codes > 0).sum() == 24
    training = study.load_training_label("a")
    assert training[2, 2, 2] == 0
    assert training[0, 0, 0] == NOT_ANNOTATED
    case = study.case("a")
    assert (case.state, case.label_origin) == (CaseState.IN_PROGRESS, "human")


def test_a_person_who_finishes_the_label_decides_on_every_voxel(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.regions.accept("a", run, numbers, {LIVER: "liver"})
    study.mark("a", CaseState.LABELLED)
    label = study.load_training_label("a")
    assert set(np.unique(label)) == {0, LIVER}
    assert not study.regions.undecided("a", run).any()
    with pytest.raises(StudyError, match="is complete"):
        study.regions.accept("a", run, numbers, {TUMOUR: "tumour"})
    assert study.load_label("a").max() == LIVER


def test_marked_slices_count_beside_accepted_parts(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.mark_slices("a", 0, [2])
    assert not study.regions.undecided("a", run)[2].any()
    study.regions.accept("a", run, numbers, {LIVER: "liver"})
    label = study.load_training_label("a")
    assert (label[2] == 0).all(), "a slice that a person finished stays as it is"
    assert (label[3][numbers[3] == LIVER] == LIVER).all()
    assert label[0, 0, 0] == NOT_ANNOTATED
    study.mark_slices("a", 0, [2], done=False)
    assert study.load_training_label("a")[2, 0, 0] == NOT_ANNOTATED
    study.mark_slices("a", 0, [0])
    study.mark("a", CaseState.LABELLED)
    label = study.load_training_label("a")
    assert (label[0] == 0).all()
    assert (label[5] == NOT_ANNOTATED).all(), "slices that wait for their mark still do not count"


def test_a_rejected_part_is_not_offered_again_and_never_trained_on(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    case = study.regions.reject("a", run, numbers, {LIVER: "liver"})
    assert case.state is CaseState.PREDICTED
    assert not case.label_belongs_to_a_person
    assert study.labelled_cases() == []
    left = study.regions.undecided("a", run)
    assert (left == (numbers != LIVER)).all()
    with pytest.raises(StudyError, match="left to decide"):
        study.regions.accept("a", run, numbers, {LIVER: "liver"})
    study.regions.accept("a", run, numbers, {TUMOUR: "tumour"})
    assert (study.load_training_label("a")[numbers == LIVER] == NOT_ANNOTATED).all()
    kinds = [decision.what for decision in study.decisions("a")]
    assert kinds == [DecisionKind.PART_REJECTED, DecisionKind.PART_ACCEPTED]


def test_another_run_may_be_right_where_one_was_rejected(
    study: Study, run: str, numbers: np.ndarray, drawn: np.ndarray
) -> None:
    study.regions.reject("a", run, numbers, {LIVER: "liver"})
    other = study.create_run("dtc", {}, 0).identifier
    study.save_map(other, "a", "prediction", drawn)
    assert study.regions.undecided("a", other).all()
    study.regions.accept("a", other, numbers, {LIVER: "liver"})
    provenance = study.regions.provenance("a")
    assert provenance.runs == (other,)
    assert not (provenance.codes == REJECTED).any()


def test_a_decision_can_be_taken_back(study: Study, run: str, numbers: np.ndarray) -> None:
    first = study.regions.accept("a", run, numbers, {LIVER: "liver"})
    second = study.regions.accept("a", run, numbers, {TUMOUR: "tumour"})
    with pytest.raises(StudyError, match="changed after"):
        study.regions.take_back("a", first.label_version)
    study.regions.take_back("a", second.label_version, author="Ada")
    assert study.load_label("a").max() == LIVER
    assert (study.regions.provenance("a").codes[numbers == TUMOUR] == NOBODY).all()
    assert study.case("a").accepted_in_part
    assert (study.load_training_label("a")[numbers == TUMOUR] == NOT_ANNOTATED).all()
    assert study.decisions("a")[-1].what is DecisionKind.PREVIOUS_LABEL_RESTORED


def test_taking_the_first_decision_back_leaves_no_label(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    case = study.regions.accept("a", run, numbers, {LIVER: "liver"})
    study.regions.take_back("a", case.label_version)
    case = study.case("a")
    assert (case.state, case.has_label) == (CaseState.PREDICTED, False)
    assert study.load_label("a") is None
    assert study.regions.provenance("a") is None
    assert study.regions.undecided("a", run).all()
    study.restore_previous_label("a")
    assert study.case("a").accepted_in_part
    study.regions.take_back("a", study.case("a").label_version)
    study.save_label("a", numbers.astype(np.uint8) // 3)
    assert study.case("a").label_version == 2


def test_accepting_the_whole_case_completes_what_was_accepted_in_part(
    study: Study, run: str, numbers: np.ndarray, drawn: np.ndarray
) -> None:
    study.regions.accept("a", run, numbers, {TUMOUR: "tumour"})
    study.accept("a", run)
    case = study.case("a")
    assert not case.accepted_in_part
    np.testing.assert_array_equal(study.load_training_label("a"), drawn)
    provenance = study.regions.provenance("a")
    assert provenance.decided.all()
    assert provenance.voxels_by_class(drawn) == {1: {run: 23}, 2: {run: 1}}


def test_nothing_of_a_prediction_that_was_rejected_as_a_whole_comes_back(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.accept("a", run)
    study.reject("a", run)
    study.regions.accept("a", run, numbers, {TUMOUR: "tumour"})
    assert (study.load_label("a") > 0).sum() == 1


def test_a_held_out_case_takes_no_part_of_a_prediction(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.hold_out("a")
    assert not study.regions.undecided("a", run).any()
    with pytest.raises(StudyError, match="is held out"):
        study.regions.accept("a", run, numbers, {LIVER: "liver"})
    study.regions.accept("b", run, numbers, {LIVER: "liver"})
    with pytest.raises(StudyError, match="accepted prediction"):
        study.hold_out("b")
    assert study.decisions("a")[-1].what is DecisionKind.HELD_OUT


def test_what_cannot_be_decided_on_is_told(study: Study, run: str, numbers: np.ndarray) -> None:
    other = study.create_run("dtc", {}, 0).identifier
    with pytest.raises(StudyError, match=f"{other} has no prediction"):
        study.regions.accept("a", other, numbers, {LIVER: "liver"})
    study.set_classes([*study.classes, *parse_classes("255=rest")])
    with pytest.raises(StudyError, match="255"):
        study.regions.accept("a", run, numbers, {LIVER: "liver"})
    assert study.load_label("a") is None
    assert study.decisions("a") == []


def test_a_label_of_before_provenance_is_unknown_and_kept(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    human = np.zeros(numbers.shape, np.uint8)
    human[2, 2, 2:5] = TUMOUR
    study.save_label("a", human)
    shutil.rmtree(study.path / "labels" / "1" / "0001.zarr" / "provenance")
    assert study.regions.provenance("a").voxels_by_class(human) == {2: {"unknown": 3}}
    study.regions.accept("a", run, numbers, {LIVER: "liver"})
    assert (study.load_label("a")[human > 0] == TUMOUR).all()
    assert (study.load_training_label("a")[human > 0] == TUMOUR).all()
    painted = study.load_label("a")
    painted[2, 2, 2] = LIVER
    study.save_label("a", painted)
    codes = study.regions.provenance("a").codes
    assert (codes[2, 2, 2:5] == (HUMAN, UNKNOWN, UNKNOWN)).all()


def test_training_never_guesses_which_voxels_are_decided(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.regions.accept("a", run, numbers, {LIVER: "liver"})
    shutil.rmtree(study.path / "labels" / "1" / "0001.zarr" / "provenance" / "c")
    with pytest.raises(StudyError, match="can no longer be read"):
        study.load_training_label("a")
    np.testing.assert_array_equal(study.load_label("a") > 0, numbers == LIVER)


def test_a_fix_remembers_the_run_that_it_started_from(
    study: Study, run: str, drawn: np.ndarray
) -> None:
    study.save_label("a", drawn, run=run)
    fixed = drawn.copy()
    fixed[4, 4, 4] = LIVER
    study.save_label("a", fixed)
    counts = study.regions.provenance("a").voxels_by_class(fixed)
    assert counts == {1: {"human": 1, run: 23}, 2: {run: 1}}
    assert study.case("a").label_belongs_to_a_person


def test_a_label_that_another_program_saves_meanwhile_is_not_lost(
    study: Study, run: str, numbers: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    human = np.zeros(numbers.shape, np.uint8)
    human[3, 3, 3] = LIVER
    store = study._writer._store
    stage, hands = store.stage, [human]

    def paint_first(*arguments: object) -> object:
        if hands:
            with Study.open(study.path) as other:
                other.save_label("a", hands.pop())
        return stage(*arguments)

    monkeypatch.setattr(store, "stage", paint_first)
    study.regions.accept("a", run, numbers, {1: "liver", 2: "tumour"})
    label = study.load_label("a")
    assert label[3, 3, 3] == LIVER, "the prediction says tumour there"
    assert (label > 0).sum() == 24
    assert not list((study.path / "labels" / "1").glob(".staged*"))


def test_previous_versions_keep_their_provenance(
    study: Study, run: str, numbers: np.ndarray
) -> None:
    study.regions.accept("a", run, numbers, {LIVER: "liver"})
    study.save_label("a", np.zeros(numbers.shape, np.uint8))
    assert set(np.unique(study.regions.provenance("a").codes)) == {NOBODY, HUMAN}
    study.restore_previous_label("a")
    assert set(np.unique(study.regions.provenance("a").codes)) == {NOBODY, 2}
    assert (study.load_training_label("a")[numbers != LIVER] == NOT_ANNOTATED).all()
