from __future__ import annotations

import getpass
from datetime import datetime, timedelta

import pytest

from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.study.decisions import author_or_user, now


def test_the_moment_is_utc_and_sorts_as_text() -> None:
    first, second = now(), now()
    assert datetime.fromisoformat(first).utcoffset() == timedelta(0)
    assert first <= second


def test_the_user_that_is_logged_in_decides_where_no_author_is_given() -> None:
    assert author_or_user("  Ada ") == "Ada"
    assert author_or_user(None) == author_or_user("  ") == getpass.getuser()


def test_a_system_without_users_has_an_unknown_author(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert author_or_user(None) == "unknown"


def test_decisions_are_told_oldest_first_for_one_case_or_all(study: Study) -> None:
    study.mark("a", CaseState.IN_PROGRESS)
    study.hold_out("b")
    study.mark("a", CaseState.UNLABELLED)
    assert [decision.case for decision in study.decisions()] == ["a", "b", "a"]
    assert [decision.detail for decision in study.decisions("a")] == ["in progress", "unlabelled"]
