"""What training does when memory runs out: a step that takes less, from the weights of the moment.

The method is put together anew with a smaller plan and goes on with the state of the old one, as a
resumed run does; the step is then tried again on the scans that it was to see. With several processes
there is no such way back, because the others already wait within the step: the run ends with a clear
error then, and the trial step of `memory_probe` is what prevents it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import torch

from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.planning.memory import Saving, smaller_plan
from napari_semiseg.engine.training.events import Event, Progress, Warned
from napari_semiseg.engine.training.step import take_step
from napari_semiseg.engine.training.work import Work

MOST_SAVINGS = 8


def step_within_memory(work: Work) -> Generator[Event, None, None]:
    """Take one optimiser step, with less in it where memory runs out.

    Yields
    ------
    Warned
        Before each new attempt: what is less now.

    Raises
    ------
    RuntimeError or MemoryError
        Memory ran out and nothing is left to save.
    """
    streams = work.sampler.state_dict()
    while not isinstance(found := _attempt(work), Progress):
        work.sampler.load_state_dict(streams)
        yield _go_on_with(work, found)
    yield found


def is_out_of_memory(problem: BaseException) -> bool:
    """Recognise CUDA's error by its type; the CPU's and MPS's have none of their own."""
    known = isinstance(problem, (torch.OutOfMemoryError, MemoryError))
    return known or any(w in str(problem) for w in ("DefaultCPUAllocator", "out of memory"))


def _attempt(work: Work) -> Progress | Saving:
    """Take the step, or tell what to save; what the step held is free again on return."""
    try:
        return take_step(work)
    except (RuntimeError, MemoryError) as problem:
        saving = _next_saving(work) if is_out_of_memory(problem) else None
        if saving is None:
            raise
        return saving


def _next_saving(work: Work) -> Saving | None:
    if work.processes.count > 1 or len(work.savings) >= MOST_SAVINGS:
        return None
    method = work.method
    return smaller_plan(
        method.plan, work.machine, method.least_unlabelled, method.needs_full_precision
    )


def _go_on_with(work: Work, saving: Saving) -> Warned:
    """Put the method together for the smaller plan, and write down why."""
    work.machine = replace(work.machine, precision=saving.precision)
    work.method = _rebuilt(work.method, work, saving)
    work.sampler.plan = saving.plan
    sentence = f"Memory ran out at step {work.step + 1}: training goes on with {saving.what}."
    work.savings.append(sentence)
    work.study.runs.update(
        work.run.identifier, plan=saving.plan.model_dump(mode="json"), savings=work.savings
    )
    return Warned(sentence)


def _rebuilt(method: Method, work: Work, saving: Saving) -> Method:
    device = method.fabric.device
    for optimiser in method.optimisers().values():
        optimiser.zero_grad()
    method.move(torch.device("cpu"))  # both would not fit beside each other
    if device.type == "cuda":
        torch.cuda.empty_cache()
    fresh = assemble(method.key, saving.plan, method.settings, work.machine)
    fresh.load_state_dict(_without_unfinished(method.state_dict()))
    fresh.move(device)
    return fresh


def _without_unfinished(state: dict[str, Any]) -> dict[str, Any]:
    """Leave out what an optimiser had only begun to remember of a weight when memory ran out."""
    for optimiser in state["optimisers"].values():
        entries = optimiser["state"]
        complete = max((len(entry) for entry in entries.values()), default=0)
        optimiser["state"] = {key: e for key, e in entries.items() if len(e) == complete}
    return state
