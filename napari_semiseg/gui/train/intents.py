"""How long to train, by what it is for: a quick look, a lunch break, a night.

An intent wants a number of steps within limits of its own; how many minutes that is depends on the
pace of this machine, which earlier runs of the study have measured. Pure functions of the records,
without Qt; the Train page shows what they return.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_semiseg.engine.study import Run
from napari_semiseg.engine.training.settings import DEFAULT_MINUTES

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import Method

FEWEST_STEPS = 20
"""Runs of fewer steps tell no pace: the first ones are slow."""

SIDE_WORK_SHARE = 0.1
"""Time that previews, and as much that measuring, may take on top of the steps."""


@dataclass(frozen=True)
class Intent:
    """What training is for.

    Attributes
    ----------
    key, title : str
        Its name, and its name for people.
    steps : int
        Steps that are wanted.
    shortest, longest, unmeasured : float
        Minutes: its limits, and what it takes while the pace is not known.
    expectation : str
        What to expect, in words.
    """

    key: str
    title: str
    steps: int
    shortest: float
    longest: float
    unmeasured: float
    expectation: str


INTENTS = (
    Intent(
        "quick-look", "Quick look", 500, 1.0, 5.0, DEFAULT_MINUTES,
        "Shows whether the structures are found, and where it is unsure. Borders are still rough.",
    ),
    Intent(
        "lunch-break", "Lunch break", 6000, 10.0, 45.0, 30.0,
        "Predictions to review and correct. On small scans this is often as good as it gets.",
    ),
    Intent(
        "overnight", "Overnight", 40_000, 60.0, 480.0, 480.0,
        "For large scans, many structures or slow methods. On small scans rarely better than a "
        "lunch break: more labels help more than more hours.",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Pace:
    """How fast a method trains on this machine.

    Attributes
    ----------
    seconds : float
        Of one step.
    run : str
        The run that measured it.
    measured : bool
        Whether that run trained the same method; else it is an estimate from the methods' costs.
    """

    seconds: float
    run: str
    measured: bool


def pace_of(
    runs: Sequence[Run],
    methods: Mapping[str, type[Method]],
    key: str,
    preset: str,
    device: str,
) -> Pace | None:
    """Return how fast a method trains, from earlier runs of the study.

    Parameters
    ----------
    runs : sequence of Run
        Oldest first; the newest that fits counts.
    key, preset : str
        The method and its recipe; runs with another recipe do not count.
    device : str
        `Machine.device_name`; runs on another device do not count.

    Returns
    -------
    Pace or None
        Of a run of the same method, else estimated from another one; None without any.
    """
    fitting = [
        run
        for run in reversed(runs)
        if run.details.get("device") == device
        and run.details.get("steps", 0) >= FEWEST_STEPS
        and run.details.get("seconds", 0) > 0
        and run.settings.get("training", {}).get("preset") == preset
        and run.method in methods
    ]
    run = next((run for run in fitting if run.method == key), fitting[0] if fitting else None)
    if run is None or key not in methods:
        return None
    ratio = methods[key].cost.relative / methods[run.method].cost.relative
    seconds = ratio * run.details["seconds"] / run.details["steps"]
    return Pace(seconds, run.identifier, run.method == key)


def minutes_of(intent: Intent, pace: Pace | None) -> float:
    """Return how many minutes of training an intent takes, in round numbers."""
    if pace is None:
        return intent.unmeasured
    minutes = intent.steps * pace.seconds / 60
    return round_minutes(min(intent.longest, max(intent.shortest, minutes)))


def round_minutes(minutes: float) -> float:
    """Round as people do: 1.5, 3, 25, 90 minutes."""
    if minutes < 3:
        return max(0.5, round(2 * minutes) / 2)
    if minutes < 20:
        return float(round(minutes))
    return float(5 * round(minutes / 5)) if minutes < 120 else float(30 * round(minutes / 30))


def in_words(minutes: float) -> str:
    """Return a length of time such as ``"1.5 min"`` or ``"8 h"``."""
    return f"{minutes:g} min" if minutes < 120 else f"{minutes / 60:.3g} h"


def forecast(minutes: float, pace: Pace | None, validated: bool) -> str:
    """Return in words what so many minutes of training come to on this machine.

    Parameters
    ----------
    pace : Pace or None
        None while it is not known.
    validated : bool
        Whether labelled scans are set aside and measured while it trains, which takes time, too.
    """
    most = minutes * (1 + SIDE_WORK_SHARE * (2 if validated else 1))
    most = math.ceil(2 * most) / 2 if most < 10 else float(math.ceil(most))
    total = f"with previews up to {in_words(most)} in all, plus reading the scans"
    if validated:
        total = total.replace("previews", "previews and measuring")
    if pace is None:
        return (
            f"How many steps that is on this computer is not known before the first run; {total}."
        )
    steps = _two_digits(60 * minutes / pace.seconds)
    how = "measured in" if pace.measured else "estimated from"
    return (
        f"About {steps:,} steps of {pace.seconds:.2g} s, {how} run {pace.run} on this computer; "
        f"{total}."
    )


def _two_digits(steps: float) -> int:
    return int(float(f"{max(1.0, steps):.2g}"))
