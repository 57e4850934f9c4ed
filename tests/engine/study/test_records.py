from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study, parse_classes, records
from napari_semiseg.engine.study.records import SCHEMA_VERSION, Records


def test_the_records_keep_a_rollback_journal(study: Study) -> None:
    with sqlite3.connect(study.path / "study.sqlite") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    connection.close()


def test_a_study_of_a_newer_version_is_refused(study: Study) -> None:
    connection = sqlite3.connect(study.path / "study.sqlite")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StudyError, match="update napari-semiseg"):
        Study.open(study.path)


def test_an_older_study_is_brought_up_to_date(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = (*records.MIGRATIONS, ("ALTER TABLE cases ADD COLUMN remark TEXT",))
    monkeypatch.setattr(records, "MIGRATIONS", newer)
    monkeypatch.setattr(records, "SCHEMA_VERSION", len(newer))
    with Study.open(study.path) as opened:
        assert [case.name for case in opened.cases()] == ["a", "b", "c"]
    connection = sqlite3.connect(study.path / "study.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(newer)
    connection.execute("SELECT remark FROM cases")
    connection.close()


def test_a_migration_that_fails_changes_nothing(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (*records.MIGRATIONS, ("CREATE TABLE extra (x)", "this is no SQL"))
    with monkeypatch.context() as patch:
        patch.setattr(records, "MIGRATIONS", broken)
        patch.setattr(records, "SCHEMA_VERSION", len(broken))
        with pytest.raises(StudyError):
            Study.open(study.path)
    with Study.open(study.path) as opened:
        assert len(opened.cases()) == 3


def test_damaged_records_are_told_in_one_sentence(study: Study) -> None:
    study.close()
    file = study.path / "study.sqlite"
    content = bytearray(file.read_bytes())
    content[4096 : 4096 * 4] = os.urandom(4096 * 3)
    file.write_bytes(content)
    with pytest.raises(StudyError, match="damaged"):
        Study.open(study.path)
    file.write_bytes(b"not a database at all" * 100)
    with pytest.raises(StudyError, match="damaged"):
        Study.open(study.path)


def test_a_folder_without_a_study_is_not_opened_nor_changed(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="There is no study"):
        Study.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_decisions_cannot_be_changed_or_removed(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    table = Records(study.path)
    for statement in ("UPDATE decisions SET who = 'x'", "DELETE FROM decisions"):
        with pytest.raises(StudyError, match="decisions are never"), table.transaction() as writing:
            writing.execute(statement)
    table.close()
    assert len(study.decisions()) == 1


def test_a_closed_study_says_so(study: Study) -> None:
    study.close()
    with pytest.raises(StudyError, match="is closed"):
        study.cases()


def test_every_thread_has_a_connection_and_those_of_ended_threads_are_closed(
    study: Study, drawn: np.ndarray
) -> None:
    problems: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for _ in range(3):
                study.labels.save(name, drawn, author=name)
                assert study.labels.load(name) is not None
        except BaseException as error:  # noqa: BLE001 - a thread hides what it raises
            problems.append(error)

    for _ in range(2):
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []
    assert len(study._records._connections) <= 1 + 5
    study.close()
    assert study._records._connections == {}


def test_a_full_disk_is_one_sentence_and_loses_nothing(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    run = study.runs.create("ua-mt", {}, 0)
    [pages] = study._records.query("PRAGMA page_count")
    study._records.query(f"PRAGMA max_page_count = {pages[0]}")
    with pytest.raises(StudyError, match=r"disk .* is full"):
        study.reject("b", run, reason="too large " * 10_000)
    assert study.decisions("b") == []
    assert study.case("b").state is CaseState.UNLABELLED
    np.testing.assert_array_equal(study.labels.load("a"), drawn)


def test_a_second_opening_sees_what_the_first_saved(
    study: Study, drawn: np.ndarray, tmp_path: Path
) -> None:
    with Study.open(tmp_path / "liver") as other:
        study.labels.save("a", drawn)
        np.testing.assert_array_equal(other.labels.load("a"), drawn)
        other.mark("a", CaseState.LABELLED)
        assert study.case("a").state is CaseState.LABELLED


def test_creating_over_something_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="exists already"):
        Study.create(study.path, parse_classes("1=liver"))
    (tmp_path / "empty.semiseg").mkdir()
    Study.create(tmp_path / "empty", parse_classes("1=liver")).close()
    assert not list(tmp_path.glob(".staged*"))
