from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study, parse_classes, records
from napari_semiseg.engine.study.done_slices import (
    NOT_ANNOTATED,
    DoneSlices,
    read_done_slices,
    with_marks,
)


def along_z(*indices: int) -> DoneSlices:
    return DoneSlices((frozenset(indices), frozenset(), frozenset()))


def test_a_label_without_marks_is_complete(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    assert study.case("a").done_slices is None
    np.testing.assert_array_equal(study.labels.load_for_training("a"), drawn)
    assert study.labels.load_for_training("b") is None


def test_nobody_has_looked_at_slices_without_a_mark(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2, 5])
    assert study.case("a").done_slices == along_z(2, 5)
    label = study.labels.load_for_training("a")
    assert label.dtype == np.uint8
    for index in (2, 5):
        np.testing.assert_array_equal(label[index], drawn[index])
    for index in (0, 1, 3, 4):
        assert (label[index] == NOT_ANNOTATED).all()
    np.testing.assert_array_equal(study.labels.load("a"), drawn)


def test_slices_of_several_directions_count_together(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [3])
    study.labels.mark_slices("a", 2, [4])
    seen = np.zeros(drawn.shape, bool)
    seen[3] = seen[:, :, 4] = True
    label = study.labels.load_for_training("a")
    np.testing.assert_array_equal(label, np.where(seen, drawn, NOT_ANNOTATED))


def test_taking_the_last_mark_away_makes_the_label_complete_again(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2, 3])
    study.labels.mark_slices("a", 0, [2], done=False)
    assert study.case("a").done_slices == along_z(3)
    study.labels.mark_slices("a", 0, [3], done=False)
    assert study.case("a").done_slices is None


def test_marks_stay_while_a_person_goes_on_drawing(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2])
    study.labels.save("a", drawn // 2)
    study.mark("a", CaseState.LABELLED)
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    assert study.case("a").done_slices == along_z(2)


def test_marks_come_and_go_with_the_label_they_belong_to(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    study.labels.save("a", drawn // 2)
    study.labels.mark_slices("a", 0, [2])
    study.labels.restore_previous("a")
    assert study.case("a").done_slices is None
    study.labels.restore_previous("a")
    assert study.case("a").done_slices == along_z(2)


def test_an_empty_slice_can_be_done_before_anything_is_painted(study: Study) -> None:
    study.labels.mark_slices("a", 0, [1])
    case = study.case("a")
    assert case.state is CaseState.IN_PROGRESS
    assert case.label_belongs_to_a_person
    label = study.labels.load_for_training("a")
    assert set(np.unique(label[1])) == {0}
    assert set(np.unique(np.delete(label, 1, axis=0))) == {NOT_ANNOTATED}


def test_an_accepted_prediction_is_complete(study: Study, drawn: np.ndarray) -> None:
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.maps.save(run, "a", "prediction", drawn)
    study.labels.mark_slices("b", 0, [1])
    study.labels.mark_slices("b", 0, [1], done=False)
    study.runs.maps.save(run, "b", "prediction", drawn)
    study.accept("b", run)
    assert study.case("b").done_slices is None
    study.labels.mark_slices("a", 0, [1])
    with pytest.raises(StudyError, match="a person made"):
        study.accept("a", run)


def test_marks_are_decisions_and_part_of_the_snapshot(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    complete = study.labels.snapshot_hash()
    study.labels.mark_slices("a", 0, [4, 2], author="Ada")
    sparse = study.labels.snapshot_hash()
    study.labels.mark_slices("a", 0, [4], author="Ada")
    assert study.labels.snapshot_hash() == sparse != complete
    study.labels.mark_slices("a", 0, [2, 4], done=False)
    assert study.labels.snapshot_hash() == complete
    details = [(decision.who, decision.detail) for decision in study.decisions("a")[1:]]
    assert details[0] == ("Ada", "done slices: z 2, 4")
    assert [detail for _, detail in details] == ["done slices: z 2, 4", "done slices: all"]


def test_a_held_out_case_is_measured_as_a_whole(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2])
    with pytest.raises(StudyError, match="in some slices only"):
        study.hold_out("a")
    study.labels.save("b", drawn)
    study.hold_out("b")
    with pytest.raises(StudyError, match="is held out"):
        study.labels.mark_slices("b", 0, [2])
    study.hold_out("b", locked=False)
    study.labels.mark_slices("b", 0, [2])
    study.labels.mark_slices("b", 0, [2], done=False)
    study.hold_out("b")


def test_a_sparse_label_does_not_come_back_to_a_held_out_case(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.mark_slices("a", 0, [2])
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2], done=False)
    study.hold_out("a")
    with pytest.raises(StudyError, match="in some slices only"):
        study.labels.restore_previous("a")


@pytest.mark.parametrize(("axis", "index"), [(0, 6), (0, -1), (2, 8), (3, 0)])
def test_slices_that_are_not_there_are_refused(study: Study, axis: int, index: int) -> None:
    with pytest.raises(StudyError, match="lices"):
        study.labels.mark_slices("a", axis, [index])
    assert not study.case("a").has_label


def test_the_value_for_not_annotated_is_no_class(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2])
    study.set_classes(parse_classes("1=liver,2=tumour,255=vessel"))
    with pytest.raises(StudyError, match="'vessel' has the value 255"):
        study.labels.load_for_training("a")
    with pytest.raises(StudyError, match="'vessel' has the value 255"):
        study.labels.mark_slices("b", 0, [2])
    assert not study.case("b").has_label


def test_a_study_of_before_keeps_its_complete_labels(
    tmp_path: Path, study: Study, drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(records, "MIGRATIONS", records.MIGRATIONS[:1])
        patch.setattr(records, "SCHEMA_VERSION", 1)
        Study.create(tmp_path / "old.semiseg", parse_classes("1=liver,2=tumour")).close()
    old = tmp_path / "old.semiseg"
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    expected = study.labels.snapshot_hash()
    shutil.copytree(study.path / "labels", old / "labels", dirs_exist_ok=True)
    with sqlite3.connect(old / "study.sqlite") as target:
        target.execute("ATTACH ? AS new", (str(study.path / "study.sqlite"),))
        of_then = ", ".join(row[1] for row in target.execute("PRAGMA main.table_info(cases)"))
        target.execute(f"INSERT INTO cases SELECT {of_then} FROM new.cases")
        columns = "case_identifier, version, hash, class_values, origin, state, author, saved_at"
        target.execute(f"INSERT INTO labels SELECT {columns} FROM new.labels")
    target.close()
    with Study.open(old) as opened:
        assert opened.case("a").done_slices is None
        assert opened.labels.snapshot_hash() == expected
        np.testing.assert_array_equal(opened.labels.load_for_training("a"), drawn)
        opened.labels.mark_slices("a", 1, [3])
        assert opened.case("a").done_slices.along[1] == {3}


def test_marks_written_by_a_newer_version_are_refused() -> None:
    with pytest.raises(StudyError, match="update napari-semiseg"):
        read_done_slices('{"format": 3}')


def test_decided_voxels_count_beside_marked_slices() -> None:
    marks = DoneSlices(DoneSlices.NONE_ALONG, "abc")
    assert read_done_slices(marks.to_json()) == marks
    assert '"format": 2' in marks.to_json(), "older versions must not take it for a whole label"
    assert '"format": 1' in along_z(3).to_json()
    both = with_marks(marks, 0, [1], True)
    assert both == DoneSlices((frozenset({1}), frozenset(), frozenset()), "abc")
    assert str(both) == "z 1; decided voxels"
    assert with_marks(both, 0, [1], False) == marks
    label, decided = np.ones((3, 2, 2), np.uint8), np.zeros((3, 2, 2), bool)
    decided[2, 0, 0] = True
    shown = both.hide_the_rest(label, decided) != NOT_ANNOTATED
    assert shown[1].all()
    assert shown.sum() == 5


def test_marks_survive_the_way_to_text_and_back() -> None:
    marks = DoneSlices((frozenset({1, 9}), frozenset(), frozenset({0})))
    assert read_done_slices(marks.to_json()) == marks
    assert marks.count == 3
    assert str(marks) == "z 1, 9; x 0"


def test_marks_without_a_slice_are_no_marks() -> None:
    with pytest.raises(ValueError, match="done slices"):
        DoneSlices((frozenset(), frozenset(), frozenset()))
    with pytest.raises(ValueError, match="from 0"):
        along_z(-1)
    assert with_marks(None, 0, [], done=True) is None
