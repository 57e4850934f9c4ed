"""How much faster a training step is than plain PyTorch: V-Net, 16 filters, 2 + 2 crops of 64³.

Both take the same supervised step (cross-entropy and Dice, SGD) on the same crops, in turn, so that a
machine that changes its speed changes both. Plain means float32 with contiguous tensors; the other
is what the project runs: the machine's fast precision and channels last.

    python tests/measurements/measure_step_speed.py [--steps 8] [--size 64]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.networks.vnet import VNet
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.planning.presets import PAPER
from napari_semiseg.engine.sampling.batches import Batch

TARGET = 2.5
CROPS = 4


def main() -> int:
    """Measure, print a table, and fail below the target."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    size = (arguments.size,) * 3
    images = torch.randn(CROPS, 1, *size)
    labels = (images[:, 0] > 0.5).long()
    plain, ours = plain_step(images, labels), project_step(images, labels, size)
    seconds: dict[str, list[float]] = {"plain": [], "project": []}
    for step in range(arguments.steps + 1):
        for name, take in (("plain", plain), ("project", ours)):
            started = time.perf_counter()
            take()
            if step:  # the first one compiles and allocates
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["plain"] / medians["project"]
    print(f"{'plain float32, contiguous':32s} {medians['plain']:.3f} s a step")
    print(f"{'project, ' + describe_machine().precision:32s} {medians['project']:.3f} s a step")
    print(f"ratio {ratio:.2f} (target {TARGET})")
    return 0 if ratio >= TARGET else 1


def plain_step(images: torch.Tensor, labels: torch.Tensor):
    """Return the step as one writes it first."""
    network = VNet(3, 1, 2)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def take() -> None:
        optimiser.zero_grad()
        segmentation_loss(network(images).logits, labels).backward()
        optimiser.step()

    return take


def project_step(images: torch.Tensor, labels: torch.Tensor, size: tuple[int, ...]):
    """Return the step as the project takes it."""
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
    method = assemble(
        "supervised", plan, settings_of(method_of("supervised"), {}), describe_machine("cpu")
    )
    batch = Batch(images, images, labels, plan.spacing, ("crop",) * CROPS)
    return lambda: method.training_step(batch, Clock(0, 0.0))


if __name__ == "__main__":
    sys.exit(main())
