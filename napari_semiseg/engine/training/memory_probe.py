"""A trial step before a run, so that its plan fits the device.

Where the estimate leaves a wide margin nothing is tried. Else a method of its own is put together,
takes one real step at the plan's crops, patch and precision in each phase of the training, and is
thrown away: the run's weights, optimisers, streams and random numbers never see it. Called while a run
is prepared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psutil
import torch

from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Clock, Method, MethodSettings
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.planning.machine import Machine, describe_machine
from napari_semiseg.engine.planning.memory import (
    KEPT_A_VOXEL_AND_FILTER,
    activation_bytes,
    smaller_plan,
)
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import BatchSampler
from napari_semiseg.engine.training.events import Event, Preparing, Warned
from napari_semiseg.engine.training.memory_backoff import MOST_SAVINGS, is_out_of_memory
from napari_semiseg.engine.training.processes import Processes

WIDE_MARGIN = 0.5  # of the free memory; what is estimated to take less is not tried
SAFE_SHARE = 0.85  # of the free memory that a step may take; previews and other programs want some
LATE = 0.99  # share of the budget at which every part of a method takes part
LOOKS_A_SECOND = 200
PASSES_OF_A_NETWORK = 2  # backward, over labelled and over unlabelled crops


@dataclass(frozen=True, eq=False)
class Trial:
    """What a trial step needs.

    Attributes
    ----------
    key : str
        Of the method.
    settings : MethodSettings
        Its hyper-parameters.
    make_sampler : callable
        Gives a method a sampler of its own for its plan.
    processes : Processes
        Each of which must have room.
    """

    key: str
    settings: MethodSettings
    make_sampler: Callable[[Method], BatchSampler]
    processes: Processes


def plan_that_fits(
    trial: Trial, plan: Plan, machine: Machine
) -> Generator[Event, None, tuple[Plan, Machine]]:
    """Make a plan smaller until a step of it fits the memory that is free.

    Parameters
    ----------
    plan, machine
        What was planned, for which device and in which precision.

    Returns
    -------
    plan, machine
        What fits; or, where nothing is left to save, what comes nearest.
    """
    method = method_of(trial.key)
    for _ in range(MOST_SAVINGS):
        doubtful = not has_wide_margin(trial.key, plan, machine)
        if doubtful:
            yield Preparing(0, 1, "trying whether memory is enough")
        if trial.processes.all_agree(not doubtful or _fits(trial, plan, machine)):
            break
        saving = smaller_plan(plan, machine, method.least_unlabelled, method.needs_full_precision)
        if saving is None:
            break
        plan, machine = saving.plan, replace(machine, precision=saving.precision)
        yield Warned(f"The plan needs more memory than is free: training takes {saving.what}.")
    return plan, machine


def has_wide_margin(key: str, plan: Plan, machine: Machine) -> bool:
    """Whether the estimate alone says that a step fits; never of a network that MONAI built."""
    known = not plan.network.name.startswith("monai:")
    need = activation_bytes(plan, _networks(key))
    return known and need <= WIDE_MARGIN * machine.free_memory


def _networks(key: str) -> float:
    return max(1.0, method_of(key).cost.backward / PASSES_OF_A_NETWORK)


def _fits(trial: Trial, plan: Plan, machine: Machine) -> bool:
    """Take the trial step; the CPU is spared one that the system would end the program for."""
    free = describe_machine(machine.device).free_memory
    least = activation_bytes(plan, _networks(trial.key), KEPT_A_VOXEL_AND_FILTER)
    if machine.device == "cpu" and least > free:
        return False
    try:
        return trial_peak(trial, plan, machine) <= SAFE_SHARE * free
    except (RuntimeError, MemoryError) as problem:
        if not is_out_of_memory(problem):
            raise
        return False
    finally:
        if machine.device == "cuda":
            torch.cuda.empty_cache()


def trial_peak(trial: Trial, plan: Plan, machine: Machine) -> float:
    """Take one step in each phase with a method of its own; return the bytes that it took at most."""
    devices = [torch.cuda.current_device()] if machine.device == "cuda" else []
    with torch.random.fork_rng(devices), _peak(machine.device) as peak:
        method = assemble(trial.key, plan, trial.settings, machine)
        sampler = trial.make_sampler(method)
        seen: set[tuple[int, int]] = set()
        for share in (0.0, LATE):
            clock = Clock(int(share > 0), share, plan.recipe.warm_start_share)
            crops = method.crops(clock)
            if crops not in seen:
                method.training_step(sampler.draw(*crops), clock)
                seen.add(crops)
    return peak[0]


@contextmanager
def _peak(device: str) -> Iterator[list[float]]:
    """Measure the bytes that the block takes at most, into the list that it gets."""
    peak = [0.0]
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_reserved()
        yield peak
        peak[0] = float(torch.cuda.max_memory_reserved() - before)
        return
    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss

    def look() -> None:
        while not ended.wait(1 / LOOKS_A_SECOND):
            peak[0] = max(peak[0], float(process.memory_info().rss - before))

    watcher = threading.Thread(target=look, name="memory", daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
