from __future__ import annotations

from datetime import datetime

import pytest

from napari_semiseg.gui.train.run_facts import facts_of, memory_in_use
from napari_semiseg.gui.train.training import TrainingProgress

NOW = datetime(2024, 5, 6, 22, 0)


def facts(state="running", **known):
    return facts_of(TrainingProgress(**known), state, "1.0 GB of memory", NOW)


def test_a_run_that_lasts_tells_when_it_ends():
    words = facts(step=1200, remaining=3600.0, device="CPU")
    assert (
        words == "Step 1,200 · 1:00:00 of training left, until about 23:00\nCPU · 1.0 GB of memory"
    )
    assert "until about Tuesday 06:00" in facts(step=1, remaining=8 * 3600.0)


def test_a_run_that_ends_soon_needs_no_time_of_day():
    assert "0:30 of training left\n" in facts(step=1, remaining=30.0)
    assert "not known yet" in facts(step=1)


def test_before_the_first_step_it_tells_what_is_prepared():
    assert facts(preparing="reading scans").startswith("Reading scans…")


@pytest.mark.parametrize(
    ("state", "word"), [("pausing", "pausing"), ("paused", "Resume"), ("stopping", "kept")]
)
def test_a_run_that_waits_says_so_and_tells_no_time(state, word):
    words = facts(state, step=7, remaining=3600.0)
    assert ("learnt so far" if word == "kept" else word) in words
    assert "left" not in words


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("finished", "has finished"), ("stopped", "was stopped"), ("failed", "has failed")],
)
def test_how_a_run_ended(outcome, word):
    assert facts(outcome=outcome, run="003-dtc", step=9) == f"Run 003-dtc {word} after 9 steps."
    assert facts(outcome=outcome) == f"The run {word}."


def test_memory_is_told_in_gigabytes():
    assert memory_in_use("cpu").endswith("GB of memory")
