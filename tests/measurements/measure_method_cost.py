"""What a step of every method costs relative to supervised training, against its count of passes.

All methods take steps on the same 2 + 2 crops in turn (V-Net, 16 filters, the papers' preset), so that
a machine that changes its speed changes all of them. Methods that need float32 are compared with a
supervised step in float32.

    python tests/measurements/measure_method_cost.py [--size 64] [--steps 3] [--methods ua-mt dtc]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import replace

import torch

from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Clock, Method
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.machine import Machine, describe_machine
from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.planning.presets import PAPER
from napari_semiseg.engine.sampling.batches import Batch

LATE = Clock(step=900, share=0.9)  # every ramp is up and every phase begun
ALLOWED = 0.25
FULL_PRECISION = "supervised, float32"


def main() -> int:
    """Measure, print a table, and fail where a method costs too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--methods", nargs="*")
    arguments = parser.parse_args()
    keys = arguments.methods or [key for key in available_methods() if key != "supervised"]
    machine, size = describe_machine(), (arguments.size,) * 3
    yardsticks = {
        "supervised": build("supervised", machine, size),
        FULL_PRECISION: build("supervised", replace(machine, precision="32-true"), size),
    }
    print(f"{'method':24s} {'s a step':>9s} {'ratio':>6s} {'passes':>7s} {'off':>6s}")
    worst = 0.0
    for key in keys:
        method = build(key, machine, size)
        name = FULL_PRECISION if method.needs_full_precision else "supervised"
        seconds = time_in_turn([yardsticks[name], method], size, arguments.steps)
        ratio, expected = seconds[1] / seconds[0], method.cost.relative
        off = ratio / expected - 1
        worst = max(worst, off)
        note = f"  against {name}" if method.needs_full_precision else ""
        print(f"{key:24s} {seconds[1]:9.3f} {ratio:6.2f} {expected:7.2f} {off:+6.0%}{note}")
    return 0 if worst <= ALLOWED else 1


def build(key: str, machine: Machine, size: tuple[int, ...]) -> Method:
    """Build a method with the papers' V-Net for crops of ``size``."""
    method = available_methods()[key]
    plan = Plan(
        preset="paper",
        spacing=(1.0, 1.0, 1.0),
        patch=size,
        class_values=(1,),
        channels=1,
        normalisation=Normalisation(),
        network=NetworkSpecification(
            name="vnet", filters=16, strides=((2, 2, 2),) * 4, normalisation="batch", dropout=0.5
        ),
        recipe=PAPER,
    )
    return assemble(key, plan, method.Settings(), machine)


def time_in_turn(methods: list[Method], size: tuple[int, ...], steps: int) -> list[float]:
    """Return the median seconds of a step of each, taken in turn."""
    seconds: list[list[float]] = [[] for _ in methods]
    for step in range(steps + 1):
        for method, taken in zip(methods, seconds, strict=True):
            batch = crops(size, step, labelled=2 if method.uses_unlabelled else 4)
            started = time.perf_counter()
            method.training_step(batch, LATE)
            if step:  # the first one allocates
                taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in seconds]


def crops(size: tuple[int, ...], seed: int, labelled: int) -> Batch:
    """Make four crops of noise around a bright box, of which ``labelled`` have labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(4, 1, *size, generator=generator)
    inside = tuple(slice(extent // 4, -extent // 4) for extent in size)
    images[(slice(None), 0, *inside)] += 3
    labels = torch.zeros(4, *size, dtype=torch.long)
    labels[(slice(None), *inside)] = 1
    axes = [torch.arange(extent, dtype=torch.float32) for extent in size]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return Batch(
        images,
        images,
        labels[:labelled],
        (1.0, 1.0, 1.0),
        tuple(f"case {index}" for index in range(4)),
        positions=positions.expand(4, *positions.shape),
        hidden_labels=labels[labelled:],
    )


if __name__ == "__main__":
    sys.exit(main())
