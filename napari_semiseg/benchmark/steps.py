"""Section (a): a training step of every method, beside the same mathematics in plain PyTorch.

For each method also what a step costs relative to a supervised one, what the method's count of passes
promised, and whether its fast path has the gradient of float32.
"""

from __future__ import annotations

from functools import partial

from napari_semiseg.benchmark.gradients import LEAST_COSINE, gradient_cosine
from napari_semiseg.benchmark.section import Row, Section
from napari_semiseg.benchmark.timing import seconds_in_turn
from napari_semiseg.benchmark.twins import LATE, build, build_plain, crops_for, papers_plan
from napari_semiseg.benchmark.workload import Shape, Workload, in_words
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.planning.machine import Machine, describe_machine

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
        f"Fast is {machine.precision} with channels last, as the project trains; plain is the same "
        "method class in float32 with contiguous tensors, at PyTorch's own settings for the device.",
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
    contestants = {
        "fast": build(key, plan, machine),
        "plain": build_plain(key, plan, machine),
    }
    if key != SUPERVISED:
        contestants[SUPERVISED] = build(SUPERVISED, plan, machine)
    works = {
        name: partial(method.training_step, crops_for(method, 0), LATE)
        for name, method in contestants.items()
    }
    seconds = seconds_in_turn(works, workload.repeats, machine.device)
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


def _cosine(key: str, workload: Workload, machine: Machine) -> float:
    patch = min(
        (*workload.patches, GRADIENT_PATCH), key=lambda shape: shape[0] * shape[1] * shape[2]
    )
    plan = papers_plan(patch, workload.filters)
    return gradient_cosine(build(key, plan, machine), build_plain(key, plan, machine))
