"""How long people worked on cases, and what corrections saved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.review.time_ledger import (
    IDLE_SECONDS,
    Savings,
    Work,
    WorkClock,
    savings,
    savings_words,
    time_words,
)
from napari_semiseg.engine.study.time_spent import CaseTime


@pytest.fixture
def clock():
    clock = WorkClock()
    clock.open("a", 100.0)
    return clock


def test_time_runs_between_edits_and_a_pause_counts_as_a_minute(clock):
    for moment in (120.0, 150.0, 3750.0):
        clock.edit(moment)
    assert clock.take() == Work(20 + 30 + IDLE_SECONDS, 3)
    assert clock.take() == Work(), "it was taken"


def test_the_way_from_one_case_to_another_belongs_to_neither(clock):
    clock.edit(110.0)
    clock.take()
    clock.open("b", 140.0)
    clock.edit(145.0)
    assert clock.take() == Work(5.0, 1)


def test_looking_without_editing_counts_for_nothing(clock):
    clock.open("b", 150.0)
    assert clock.take() == Work()


def test_a_case_that_is_shown_again_goes_on(clock):
    clock.edit(110.0)
    clock.open("a", 112.0)
    clock.edit(115.0)
    assert clock.take() == Work(15.0, 2)


def test_nothing_is_counted_without_a_case_on_the_screen():
    clock = WorkClock()
    clock.edit(5.0)
    clock.open("a", 10.0)
    clock.open(None, 20.0)
    clock.edit(30.0)
    assert clock.take() == Work()


def test_what_could_not_be_written_down_comes_again(clock):
    clock.edit(110.0)
    work = clock.take()
    clock.edit(115.0)
    clock.put_back("a", work)
    assert clock.take() == Work(15.0, 2)
    clock.put_back("gone", work)
    assert clock.take() == Work()


@given(st.lists(st.floats(0, 200), min_size=1, max_size=20))
def test_the_time_is_never_longer_than_it_took_nor_than_the_pauses_allow(pauses):
    clock, now = WorkClock(), 0.0
    clock.open("a", now)
    for pause in pauses:
        now += pause
        clock.edit(now)
    work = clock.take()
    assert work.edits == len(pauses)
    assert work.seconds <= min(now, IDLE_SECONDS * len(pauses)) + 1e-6


def test_a_case_with_both_kinds_of_edits_counts_as_corrected():
    found = savings(
        [
            CaseTime(manual_seconds=120, manual_edits=4),
            CaseTime(manual_seconds=60, manual_edits=1),
            CaseTime(manual_seconds=12, manual_edits=1, correction_seconds=6, correction_edits=1),
            CaseTime(),
        ]
    )
    assert found == Savings(1.5, pytest.approx(0.3), 2, 1)
    assert found.share == pytest.approx(0.2)
    assert savings_words(found) == (
        "Corrections took 20 % of the time of labelling by hand: 0.3 min against 1.5 min a scan "
        "(1 corrected, 2 by hand)."
    )


@pytest.mark.parametrize(
    "times",
    [
        [],
        [CaseTime(manual_seconds=60, manual_edits=1)],
        [CaseTime(correction_seconds=60, correction_edits=1)],
        [CaseTime(manual_edits=1), CaseTime(correction_seconds=60, correction_edits=1)],
    ],
)
def test_without_both_kinds_there_is_nothing_to_say(times):
    assert savings_words(savings(times)) == ""


def test_the_time_of_a_case_is_told_in_words():
    time = CaseTime(84, 18, manual_edits=5, correction_edits=2)
    assert time_words(time) == "1.4 min by hand, 0.3 min of corrections"
    assert time_words(CaseTime(manual_seconds=1, manual_edits=1)) == "under 0.1 min by hand"
    assert time_words(CaseTime()) == ""
