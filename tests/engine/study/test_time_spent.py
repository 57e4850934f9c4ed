"""How long people worked on the label of each case, as the records keep it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import Study, export_labels, records
from napari_semiseg.engine.study.time_spent import CaseTime


def test_a_new_case_has_taken_no_time(study: Study) -> None:
    assert study.case("a").time == CaseTime()


def test_work_adds_up_and_stays_with_its_case(study: Study) -> None:
    study.time_spent.add("a", 30.0, 2)
    study.time_spent.add("a", 12.5, 1)
    assert study.case("a").time == CaseTime(manual_seconds=42.5, manual_edits=3)
    assert study.case("b").time == CaseTime()
    with Study.open(study.path) as again:
        assert again.case("a").time.minutes == pytest.approx(42.5 / 60)


def test_work_on_a_label_that_began_as_a_prediction_is_correction(study: Study) -> None:
    study.time_spent.add("a", 10.0, 1)
    study.time_spent.begin_correction("a")
    study.time_spent.add("a", 5.0, 2)
    assert study.case("a").time == CaseTime(10.0, 5.0, 1, 2)


def test_an_export_tells_how_long_each_case_took_and_nobody_s_name(
    study: Study, drawn: np.ndarray, tmp_path: Path
) -> None:
    study.labels.save("a", drawn, author="Dr. Who")
    study.time_spent.add("a", 84.0, 5)
    study.time_spent.begin_correction("a")
    study.time_spent.add("a", 18.0, 2)
    for _ in range(2):  # the second export replaces the first
        export_labels(study, tmp_path / "out")
    assert (tmp_path / "out" / "annotation_time.csv").read_text("utf-8").splitlines() == [
        "case,minutes by hand,edits by hand,minutes of corrections,corrections",
        "a,1.40,5,0.30,2",
    ]


def test_the_time_goes_with_its_case(study: Study) -> None:
    study.time_spent.add("a", 5.0, 1)
    study.remove_case("a")
    study.time_spent.add("a", 5.0, 1)
    assert [case.time for case in study.cases()] == [CaseTime(), CaseTime()]


def test_a_closed_study_takes_no_time_down(study: Study) -> None:
    study.close()
    with pytest.raises(StudyError, match="closed"):
        study.time_spent.add("a", 5.0, 1)


def test_a_study_from_before_the_time_was_kept_opens_with_none(
    tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_time = records.MIGRATIONS[:2]
    with monkeypatch.context() as patch:
        patch.setattr(records, "MIGRATIONS", without_time)
        patch.setattr(records, "SCHEMA_VERSION", len(without_time))
        old = records.Records(tmp_path)
        old.create()
        with old.transaction() as connection:
            connection.execute("INSERT INTO study VALUES (1, 'old', '2025-01-01')")
            connection.execute("ATTACH ? AS new", (str(study.path / records.FILE_NAME),))
            columns = [row["name"] for row in connection.execute("PRAGMA table_info(cases)")]
            names = ", ".join(columns)
            connection.execute(f"INSERT INTO cases ({names}) SELECT {names} FROM new.cases")
        old.close()
    with Study.open(tmp_path) as opened:
        assert [(case.name, case.time) for case in opened.cases()] == [
            ("a", CaseTime()),
            ("b", CaseTime()),
            ("c", CaseTime()),
        ]
        opened.time_spent.add("b", 5.0, 1)
        assert opened.case("b").time.manual_edits == 1
    connection = sqlite3.connect(tmp_path / records.FILE_NAME)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(records.MIGRATIONS)
    connection.close()
