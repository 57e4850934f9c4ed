from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.study import Run
from napari_semiseg.gui.train.intents import (
    INTENTS,
    Pace,
    forecast,
    in_words,
    minutes_of,
    pace_of,
    round_minutes,
)

QUICK, LUNCH, NIGHT = INTENTS
CPU = "CPU, 2 cores"
RUN = Run(
    identifier="001-ua-mt", method="ua-mt", status="finished",
    settings={"training": {"preset": "modern"}}, seed=0, label_hash="", labelled=(), unlabelled=(),
    versions={}, details={"steps": 100, "seconds": 50.0, "device": CPU}, started="", finished=None,
    folder=Path(),
)  # fmt: skip


def pace(*runs, key="ua-mt", preset="modern", device=CPU):
    return pace_of(runs, available_methods(), key, preset, device)


def with_details(run=RUN, **details):
    return replace(run, details=run.details | details)


def test_the_newest_run_of_the_method_tells_the_pace():
    newer = replace(with_details(seconds=20.0), identifier="002-ua-mt")
    other = replace(with_details(), identifier="003-supervised", method="supervised")
    assert pace(RUN, newer, other) == Pace(0.2, "002-ua-mt", measured=True)


def test_another_methods_pace_is_scaled_by_the_cost_of_a_step():
    found = pace(RUN, key="supervised")
    assert found == Pace(pytest.approx(0.2), "001-ua-mt", measured=False)


@pytest.mark.parametrize(
    "run",
    [
        with_details(steps=5),
        with_details(device="NVIDIA H100"),
        replace(RUN, details={}),
        replace(RUN, settings={"training": {"preset": "paper"}}),
        replace(RUN, settings={}),
        replace(RUN, method="gone"),
    ],
)
def test_runs_that_do_not_fit_tell_nothing(run):
    assert pace(run) is None


def test_a_method_that_is_not_known_has_no_pace():
    assert pace(RUN, key="gone") is None


def test_intents_stay_within_their_limits():
    for intent in INTENTS:
        assert minutes_of(intent, None) == intent.unmeasured
        assert minutes_of(intent, Pace(1e-6, "", True)) == intent.shortest
        assert minutes_of(intent, Pace(1e6, "", True)) == intent.longest
        assert intent.shortest <= intent.unmeasured <= intent.longest
    assert minutes_of(QUICK, Pace(0.36, "", True)) == 3
    assert minutes_of(LUNCH, Pace(0.2, "", True)) == 20


@pytest.mark.parametrize(
    ("minutes", "rounded", "words"),
    [(0.1, 0.5, "0.5 min"), (1.4, 1.5, "1.5 min"), (7.3, 7, "7 min"), (43, 45, "45 min"),
     (130, 120, "2 h"), (480, 480, "8 h")],
)  # fmt: skip
def test_minutes_are_told_in_round_numbers(minutes, rounded, words):
    assert round_minutes(minutes) == rounded
    assert in_words(rounded) == words


def test_the_forecast_says_where_it_comes_from():
    measured = forecast(3, Pace(0.1234, "002-dtc", True), validated=True)
    assert "About 1,500 steps of 0.12 s, measured in run 002-dtc" in measured
    assert "measuring up to 4 min" in measured
    assert "estimated from run" in forecast(3, Pace(0.1, "002-dtc", False), validated=False)
    assert "not known before the first run" in forecast(3, None, validated=False)
