"""Strokes are saved over what a label is by now, in one transaction with their time."""

from __future__ import annotations

import os
import stat

import numpy as np
import pytest

from napari_semiseg.engine.errors import BadLabel, StudyError
from napari_semiseg.engine.study import CaseState, DecisionKind, Study
from napari_semiseg.engine.study.labels.provenance import HUMAN, NOBODY
from napari_semiseg.engine.study.labels.strokes import PaintedBox, lay_over
from napari_semiseg.engine.study.time_spent import CaseTime, Work

BOX = (slice(1, 3), slice(2, 4), slice(0, 2))


def stroke(value: int, before: int = 0, box: tuple[slice, ...] = BOX) -> PaintedBox:
    """A box of which the first column was painted."""
    former = np.full((2, 2, 2), before, np.uint8)
    after = former.copy()
    after[:, :, 0] = value
    return PaintedBox(box, former, after)


def test_strokes_are_laid_over_a_label_in_their_order_and_leave_it_as_it_is() -> None:
    label = np.full((4, 5, 6), 2, np.uint8)
    painted = lay_over(label, [stroke(1), stroke(3, before=1)])
    expected = label.copy()
    expected[1:3, 2:4, 0] = 3
    np.testing.assert_array_equal(painted, expected)
    assert (label == 2).all()


def test_what_was_painted_and_taken_back_leaves_what_others_drew_there() -> None:
    label = np.full((4, 5, 6), 2, np.uint8)
    there_and_back = [stroke(1), PaintedBox(BOX, stroke(1).after, stroke(1).before)]
    np.testing.assert_array_equal(lay_over(label, there_and_back), label)


def test_strokes_begin_a_label_and_go_on_in_it(study: Study) -> None:
    case, label = study.labels.paint("a", [stroke(1)], Work(3.0, 1), author="Ada")
    assert (case.state, case.label_version, label.sum()) == (CaseState.IN_PROGRESS, 1, 4)
    assert case == study.case("a")
    assert case.time == CaseTime(manual_seconds=3.0, manual_edits=1)
    case, label = study.labels.paint("a", [stroke(2, before=1)], Work(2.0, 2), author="Ada")
    np.testing.assert_array_equal(study.labels.load("a"), label)
    assert label.sum() == 8
    assert case.time == CaseTime(manual_seconds=5.0, manual_edits=3)
    assert [each.what for each in study.decisions("a")] == [DecisionKind.LABEL_SAVED]
    codes = study.labels.parts.provenance("a").codes
    assert set(np.unique(codes)) == {NOBODY, HUMAN}


def test_strokes_keep_what_another_program_saved_and_a_finished_label_finished(
    study: Study, drawn: np.ndarray
) -> None:
    with Study.open(study.path) as other:
        other.labels.save("a", drawn, state=CaseState.LABELLED)
    case, label = study.labels.paint("a", [stroke(2)], Work())
    expected = drawn.copy()
    expected[1:3, 2:4, 0] = 2
    np.testing.assert_array_equal(label, expected)
    assert case.state is CaseState.LABELLED


def test_a_program_that_saves_at_the_same_time_loses_nothing(
    study: Study, drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = study.labels._store
    stage, hands = store.stage, [drawn]

    def save_first(*arguments: object) -> object:
        if hands:
            with Study.open(study.path) as other:
                other.labels.save("a", hands.pop())
        return stage(*arguments)

    monkeypatch.setattr(store, "stage", save_first)
    case, label = study.labels.paint("a", [stroke(2)], Work(1.0, 1))
    expected = drawn.copy()
    expected[1:3, 2:4, 0] = 2
    np.testing.assert_array_equal(study.labels.load("a"), expected)
    np.testing.assert_array_equal(label, expected)
    assert case.time.manual_edits == 1
    folders = [entry.name for entry in (study.path / "labels" / "1").iterdir()]
    assert sorted(folders) == ["0001.zarr", "0002.zarr"]


def test_work_on_an_accepted_prediction_is_correction_from_now_on(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn, origin="accepted", run="001-dtc")
    study.labels.paint("a", [stroke(2)], Work(4.0, 1))
    case, _label = study.labels.paint("a", [stroke(1, before=2)], Work(1.0, 1))
    assert case.time == CaseTime(correction_seconds=5.0, correction_edits=2)
    assert case.label_origin == "human"


def test_a_stroke_without_a_class_or_in_a_damaged_label_is_refused(
    study: Study, drawn: np.ndarray
) -> None:
    with pytest.raises(BadLabel, match="99"):
        study.labels.paint("a", [stroke(99)], Work(1.0, 1))
    study.labels.save("a", drawn)
    (study.path / "labels" / "1" / "0001.zarr" / "c.0.0.0").unlink()
    with pytest.raises(StudyError, match="restore the previous label"):
        study.labels.paint("a", [stroke(1)], Work(1.0, 1))
    assert study.case("a").label_version == 1
    assert study.case("a").time == CaseTime()


def test_a_stroke_is_one_transaction_of_few_statements_and_forces_each_file_once(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.labels.paint("a", [stroke(1)], Work(1.0, 1))
    said: list[str] = []
    files, folders = [], []
    fsync = os.fsync

    def force(descriptor: int) -> None:
        (folders if stat.S_ISDIR(os.fstat(descriptor).st_mode) else files).append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", force)
    connection = study._records._connection()
    connection.set_trace_callback(said.append)
    study.labels.paint("a", [stroke(2, before=1)], Work(1.0, 1))
    connection.set_trace_callback(None)
    assert [text for text in said if text.startswith(("BEGIN", "COMMIT"))] == [
        "BEGIN IMMEDIATE",
        "COMMIT",
    ]
    assert len(said) == 11
    assert sum("FROM cases" in text for text in said) == 3  # before, inside, and as it is then
    assert len(files) == 4  # chunk and description, of the label and of its provenance
    assert len(folders) == (0 if os.name == "nt" else 3)  # provenance, label, and the case's own
