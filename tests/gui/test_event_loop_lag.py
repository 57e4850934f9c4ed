"""The meter with which scripts measure how long the desk keeps its user waiting."""

from __future__ import annotations

import time

import numpy as np
import pytest

from tests.measurements.event_loop_lag import (
    LARGEST_MS,
    LARGEST_P95_MS,
    BlockWitness,
    LagMeter,
    is_too_long,
    run_event_loop,
    wait_until,
)

BLOCK_SECONDS = 0.1


def block():
    """Keep the main thread from its events, as slow code would."""
    end = time.perf_counter() + BLOCK_SECONDS
    while time.perf_counter() < end:
        pass


@pytest.fixture
def meter(qapp):
    return LagMeter()


def test_a_block_is_measured_under_the_name_of_the_action(meter):
    with meter.during("painting"):
        block()
        run_event_loop(0.05)
    assert set(meter.lags) == {"painting"}
    assert max(meter.lags["painting"]) >= 1000 * BLOCK_SECONDS - 20
    assert max(meter.work["painting"]) > 0


def test_a_block_at_the_very_end_is_measured_too(meter):
    with meter.during("closing"):
        block()
    assert max(meter.lags["closing"]) >= 1000 * BLOCK_SECONDS - 20


def test_what_no_user_waits_for_is_left_out(meter):
    with meter.during("painting"):
        with meter.paused():
            block()
            block()
        run_event_loop(0.02)
    assert max(meter.work["painting"]) < 1000 * BLOCK_SECONDS


def test_an_action_within_another_has_a_name_of_its_own(meter):
    with meter.during("outer"):
        with meter.during("inner"):
            block()
        assert meter.action == "outer"
    assert set(meter.lags) == {"outer", "inner"}
    assert max(meter.lags["inner"]) >= 1000 * BLOCK_SECONDS - 20


def test_the_witness_tells_where_the_program_was(meter):
    with BlockWitness(meter) as witness, meter.during("painting"):
        block()
        block()
    places = [place for action, place in witness.seen if action == "painting"]
    assert any("block" in place for place in places)


def test_waiting_in_vain_ends_with_an_error(qapp):
    with pytest.raises(TimeoutError, match="the moon"):
        wait_until(lambda: False, 0.05, "the moon")


@pytest.mark.parametrize(
    ("lags", "too_long"),
    [
        ([0.0] * 99 + [LARGEST_MS], False),
        ([0.0] * 99 + [LARGEST_MS + 1], True),
        ([LARGEST_P95_MS + 1] * 10 + [0.0] * 90, True),
    ],
)
def test_the_limits_are_those_of_a_fluid_viewer(lags, too_long):
    assert is_too_long(np.array(lags)) is too_long
