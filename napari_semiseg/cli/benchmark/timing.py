"""Fair timing: competitors take turns, and the median counts.

A machine that changes its speed, or that others use, then slows all of them alike.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

Work = Callable[[], object]


def seconds_in_turn(
    works: Mapping[str, Work], repeats: int, device: str = "cpu"
) -> dict[str, float]:
    """Return the median seconds of each of ``works``, run in turn.

    Parameters
    ----------
    works : mapping of str to callable
        The competitors. Each runs once more than ``repeats``: the first run allocates and compiles.
    device : str
        An accelerator that works on after a call returns is waited for.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            seconds = seconds_of(work, device)
            if turn:
                taken[name].append(seconds)
    return {name: statistics.median(values) for name, values in taken.items()}


def seconds_of(work: Work, device: str = "cpu") -> float:
    """Return the seconds that one run of ``work`` takes, with all that it leaves the device to do."""
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def wait_for(device: str) -> None:
    """Wait until ``device`` has done all that it was told."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()
