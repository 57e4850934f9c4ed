"""One optimiser step of a run: its crops, its random numbers, and what it says of the loss."""

from __future__ import annotations

import math
import time

import numpy as np
import torch

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.training.events import Progress
from napari_semiseg.engine.training.work import Work

MOST_SKIPPED = 20


def take_step(work: Work) -> Progress:
    """Take one optimiser step; its random numbers depend on the seed, the step and the process alone.

    Raises
    ------
    TrainingError
        The loss has not been a finite number for many steps.
    """
    started = time.perf_counter()
    clock = Clock(work.step, work.share, work.method.plan.recipe.warm_start_share)
    torch.manual_seed(_step_seed(work.settings.seed, work.step, work.processes.rank))
    batch = work.sampler.draw(*work.method.crops(clock))
    scalars = work.method.training_step(batch, clock)
    work.step += 1
    work.seconds += time.perf_counter() - started
    work.processes.check_alike(work.method, work.step)
    _watch(work, scalars)
    return Progress(
        step=work.step,
        share=work.share,
        seconds=work.seconds,
        remaining=work.budget.remaining(work.step, work.seconds),
        scalars=scalars,
    )


def _watch(work: Work, scalars: dict[str, float]) -> None:
    """Give up where gradients or losses stay non-finite; single ones are skipped by the method."""
    bad = "skipped" in scalars or not math.isfinite(scalars["loss"])
    work.skipped_in_a_row = work.skipped_in_a_row + 1 if bad else 0
    if work.skipped_in_a_row > MOST_SKIPPED:
        raise TrainingError(
            f"The loss of {work.method.title} is not a finite number at step {work.step}; "
            "lower the learning rate (plan override “recipe.learning_rate”) or check the scans' "
            "intensities. The last checkpoint is kept."
        )


def _step_seed(seed: int, step: int, rank: int) -> int:
    parts = [seed, step, 1] if rank == 0 else [seed, step, 1, rank]
    words = np.random.SeedSequence(parts).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))
