"""How a run goes, in words: steps, when it will be done, where it computes, memory.

The Train page shows it. Reading the memory is quick and asks the graphics card nothing that it would
have to wait for. Main thread only.
"""

from __future__ import annotations

import sys
from datetime import datetime, timedelta

import psutil

from napari_semiseg.gui.train.training import TrainingProgress
from napari_semiseg.gui.widgets.controls import minutes_and_seconds

GIBIBYTE = 2**30
SOON_SECONDS = 120.0
"""Runs that end sooner need no time of day."""

WAITING = {
    "pausing": "pausing after this step",
    "paused": "paused: press “Resume” below to go on",
    "stopping": "stopping with what was learnt so far",
}


def facts_of(progress: TrainingProgress, state: str, memory: str, now: datetime) -> str:
    """Return a few lines about a run.

    Parameters
    ----------
    state : str
        `Training.state`.
    memory : str
        From `memory_in_use`.
    """
    if progress.outcome:
        steps = f" after {progress.step:,} steps" if progress.step else ""
        run = f"Run {progress.run}" if progress.run else "The run"
        ended = {"finished": "has finished", "stopped": "was stopped", "failed": "has failed"}
        return f"{run} {ended[progress.outcome]}{steps}."
    lines = []
    if progress.step and state in WAITING:
        lines.append(f"Step {progress.step:,} · {WAITING[state]}")
    elif progress.step:
        lines.append(f"Step {progress.step:,} · {_remaining(progress.remaining, now)}")
    elif progress.preparing:
        lines.append(f"{progress.preparing[0].upper()}{progress.preparing[1:]}…")
    where = (progress.device, memory)
    lines.append(" · ".join(part for part in where if part))
    return "\n".join(line for line in lines if line)


def _remaining(seconds: float | None, now: datetime) -> str:
    if seconds is None:
        return "the time left is not known yet"
    words = f"{minutes_and_seconds(seconds)} of training left"
    if seconds < SOON_SECONDS:
        return words
    end = now + timedelta(seconds=seconds)
    day = "" if end.date() == now.date() else f"{end:%A} "
    return f"{words}, until about {day}{end:%H:%M}"


def memory_in_use(device: str) -> str:
    """Return the memory that the program uses, and on a graphics card that of the run.

    Parameters
    ----------
    device : str
        Kind of the device, such as ``"cuda"``.
    """
    used = f"{psutil.Process().memory_info().rss / GIBIBYTE:.1f} GB of memory"
    torch = sys.modules.get("torch")
    if device == "cuda" and torch is not None and torch.cuda.is_initialized():
        return f"{torch.cuda.memory_reserved() / GIBIBYTE:.1f} GB on the card, {used}"
    return used
