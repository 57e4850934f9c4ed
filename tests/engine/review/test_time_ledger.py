"""How long people worked on cases."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.review.time_ledger import (
    CaseTime,
    EditEvent,
    mean_time,
    read_event,
    time_by_case,
)

START = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)


def event(seconds, case="a", activity="manual", author="anna"):
    return EditEvent(case, (START + timedelta(seconds=seconds)).isoformat(), activity, author)


def test_time_runs_between_strokes_and_a_pause_counts_as_a_minute():
    events = [event(0, activity="opened"), event(20), event(50), event(3650)]
    times = time_by_case(events)
    assert times == {"a": CaseTime(manual_seconds=20 + 30 + 60, manual_edits=3)}
    assert times["a"].manual_minutes == pytest.approx(110 / 60)


def test_correcting_a_prediction_is_counted_apart():
    events = [event(0, activity="opened"), event(10), event(30, activity="correction")]
    (time,) = time_by_case(events).values()
    assert (time.manual_seconds, time.correction_seconds) == (10, 20)
    assert time.minutes == pytest.approx(0.5)
    assert str(time) == "0.2 min by hand and 0.3 min correcting"


def test_the_way_from_one_case_to_another_belongs_to_neither():
    events = [event(0), event(10), event(40, "b"), event(45, "b"), event(50, "a")]
    times = time_by_case(events)
    assert times["a"].manual_seconds == 10
    assert times["b"].manual_seconds == 5


def test_looking_without_painting_counts_for_nothing():
    assert time_by_case([event(0, activity="opened"), event(50, activity="opened")]) == {}


def test_two_people_on_one_case_add_up_and_never_mix():
    events = [event(0), event(30), event(10, author="ben"), event(15, author="ben")]
    assert time_by_case(events)["a"].manual_seconds == 35


def test_moments_in_other_time_zones_are_the_same_moments():
    there = EditEvent("a", "2025-03-01T11:30:40+02:00", "manual", "anna")
    assert time_by_case([event(0), there])["a"].manual_seconds == 40


moments = st.lists(
    st.tuples(
        st.integers(0, 5000),
        st.sampled_from("abc"),
        st.sampled_from(["opened", "manual", "correction"]),
        st.sampled_from(["anna", "ben"]),
    ),
    max_size=30,
)


@given(moments, st.randoms())
def test_the_order_in_which_events_are_given_does_not_matter(given_moments, random):
    events = [event(*parts) for parts in given_moments]
    shuffled = events.copy()
    random.shuffle(shuffled)
    assert time_by_case(shuffled) == time_by_case(events)


@given(moments)
def test_nobody_works_longer_than_the_clock_or_than_a_minute_an_edit(given_moments):
    events = [event(*parts) for parts in given_moments]
    for author in ("anna", "ben"):
        own = [each for each in events if each.author == author]
        total = sum(time_by_case(own).values(), CaseTime())
        seconds = total.manual_seconds + total.correction_seconds
        edits = total.manual_edits + total.correction_edits
        assert seconds <= 60 * edits
        if own:
            first, last = min(e.moment for e in own), max(e.moment for e in own)
            assert seconds <= (last - first).total_seconds()
        assert edits == sum(each.activity != "opened" for each in own)


@given(moments)
def test_events_survive_being_stored(given_moments):
    for each in (event(*parts) for parts in given_moments):
        assert read_event(each.to_json()) == each
        assert "\n" not in each.to_json()


def test_events_of_a_newer_version_are_refused_in_a_sentence():
    with pytest.raises(StudyError, match="newer version"):
        read_event('{"format": 2}')


def test_a_moment_without_a_time_zone_and_an_unknown_activity_are_refused():
    with pytest.raises(ValueError, match="time zone"):
        EditEvent("a", "2025-03-01T11:30:40", "manual")
    with pytest.raises(ValueError, match="manual"):
        EditEvent("a", START.isoformat(), "thinking")


def test_mean_minutes_of_drawn_and_of_corrected_cases():
    times = {
        "a": CaseTime(manual_seconds=600, manual_edits=9),
        "b": CaseTime(manual_seconds=300, manual_edits=4),
        "c": CaseTime(manual_seconds=30, correction_seconds=90, manual_edits=1, correction_edits=3),
    }
    assert mean_time(times) == {"manual": 7.5, "correction": 2.0}
    assert mean_time({}) == {}
    assert str(CaseTime()) == "no time yet"
