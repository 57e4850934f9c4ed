"""Section (a): a training step of every method, beside the same mathematics in plain PyTorch.

For each method also what a step costs relative to a supervised one, what the method's count of passes
promised, and whether its fast path has the gradient of float32.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

from napari_semiseg.cli.benchmark.gradients import LEAST_COSINE, gradient_cosine
from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.timing import Work, seconds_in_turn, wait_for
from napari_semiseg.cli.benchmark.twins import LATE, build, build_plain, crops_for, papers_plan
from napari_semiseg.cli.benchmark.workload import Shape, Workload, in_words
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.planning.freed_memory import freed_memory_kept
from napari_semiseg.engine.planning.machine import Machine, describe_machine
from napari_semiseg.engine.planning.plan import Plan

SUPERVISED = "supervised"
GRADIENT_PATCH: Shape = (32, 32, 32)
"""Crops whose gradients are compared are no larger: it costs many steps and depends little on size."""


def measure_steps(workload: Workload) -> Section:
    """Time a step of each method of ``workload``, fast and plain in turn.

    Raises
    ------
    SettingsError
        There is no such method or device.
    """
    machine = describe_machine(workload.device)
    keys = workload.methods or tuple(available_methods())
    cosines = {key: _cosine(key, workload, machine) for key in keys}
    rows = [
        _row(key, patch, cosines[key], workload, machine)
        for patch in workload.patches
        for key in keys
    ]
    remarks = [
        f"V-Net with {workload.filters} filters, 4 crops (2 labelled and 2 unlabelled, or 4 labelled), "
        f"every ramp up; medians of {workload.repeats} steps of each, in turn.",
        f"Fast is {machine.precision} with channels last and freed memory kept for the next step, as "
        "the project trains; plain is the same method class in float32 with contiguous tensors, in a "
        "process of its own, at PyTorch's own settings for the device.",
        "× supervised compares with a supervised step in the same run; by passes is what the method's "
        "own count of passes says. Losses beside the passes, and networks that are larger than the "
        "V-Net, are what it leaves out.",
        f"Gradient is the smallest cosine over the networks between both gradients of one step without "
        f"dropout, in crops no larger than {in_words(GRADIENT_PATCH)}; at least {LEAST_COSINE} is "
        "wanted.",
    ]
    turned = [key for key, cosine in cosines.items() if cosine < LEAST_COSINE]
    if turned:
        remarks.append(f"The gradient is turned in: {', '.join(turned)}.")
    return Section("Training step of every method", tuple(rows), tuple(remarks))


def _row(key: str, patch: Shape, cosine: float, workload: Workload, machine: Machine) -> Row:
    plan = papers_plan(patch, workload.filters)
    contestants = {"fast": build(key, plan, machine)}
    if key != SUPERVISED:
        contestants[SUPERVISED] = build(SUPERVISED, plan, machine)
    works: dict[str, Work] = {name: _step_of(method) for name, method in contestants.items()}
    with PlainTwin(key, plan, machine) as plain, freed_memory_kept(machine.device):
        seconds = seconds_in_turn(works | {"plain": plain.step}, workload.repeats, machine.device)
    return {
        "method": key,
        "crops": in_words(patch),
        "plain s": seconds["plain"],
        "fast s": seconds["fast"],
        "times faster": seconds["plain"] / seconds["fast"],
        "× supervised": seconds["fast"] / seconds.get(SUPERVISED, seconds["fast"]),
        "by passes": contestants["fast"].cost.relative,
        "gradient": cosine,
    }


class PlainTwin:
    """The plain twin of a method in a process of its own, whose memory is as PyTorch has it."""

    def __init__(self, key: str, plan: Plan, machine: Machine) -> None:
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_prepare_plain, initargs=(key, plan, machine)
        )

    def __enter__(self) -> PlainTwin:
        self.step()
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def step(self) -> None:
        """Take a step there and wait for it."""
        self._pool.submit(_plain_step).result()


_plain: list[Work] = []
"""The step of the twin, in its own process."""


def _prepare_plain(key: str, plan: Plan, machine: Machine) -> None:
    step = _step_of(build_plain(key, plan, machine))

    def whole_step() -> None:
        step()
        wait_for(machine.device)

    _plain[:] = [whole_step]


def _plain_step() -> None:
    _plain[0]()


def _step_of(method: Method) -> Work:
    return partial(method.training_step, crops_for(method, 0), LATE)


def _cosine(key: str, workload: Workload, machine: Machine) -> float:
    patch = min(
        (*workload.patches, GRADIENT_PATCH), key=lambda shape: shape[0] * shape[1] * shape[2]
    )
    plan = papers_plan(patch, workload.filters)
    return gradient_cosine(build(key, plan, machine), build_plain(key, plan, machine))
