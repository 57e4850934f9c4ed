"""A method as the project runs it and the same method in plain PyTorch, on the same crops.

The plain twin has the method's own class and mathematics: float32, contiguous tensors, and none of
the fast paths that depend on the precision of the device.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_semiseg.cli.benchmark.workload import Shape, levels_of
from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Clock, Method
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.planning.presets import PAPER
from napari_semiseg.engine.sampling.batches import Batch

CROPS = 4
LATE = Clock(step=900, share=0.9)
"""A moment at which every ramp is up and every phase has begun."""


def papers_plan(
    patch: Shape, filters: int, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
) -> Plan:
    """Plan the papers' V-Net for two classes and crops of ``patch`` (z, y, x)."""
    return Plan(
        preset="paper",
        spacing=spacing,
        patch=patch,
        class_values=(1,),
        channels=1,
        normalisation=Normalisation(),
        network=NetworkSpecification(
            name="vnet",
            filters=filters,
            strides=((2, 2, 2),) * levels_of(patch),
            normalisation="batch",
            dropout=0.5,
        ),
        recipe=PAPER,
    )


def build(key: str, plan: Plan, machine: Machine) -> Method:
    """Build the method ``key`` as the project runs it, with weights that are the same every time.

    Raises
    ------
    SettingsError
        There is no such method.
    """
    torch.manual_seed(0)
    return assemble(key, plan, settings_of(method_of(key), {}), machine)


def build_plain(key: str, plan: Plan, machine: Machine) -> Method:
    """Build the plain twin of what `build` returns: float32 and contiguous."""
    method = build(key, plan, replace(machine, precision="32-true"))
    for network in method.networks().values():
        network.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return method


def crops_for(method: Method, seed: int) -> Batch:
    """Make the crops of one step: noise around a bright box, half of them labelled if that suffices.

    Parameters
    ----------
    method : Method
        Its plan says how large they are, and whether it learns from unlabelled ones.
    """
    generator = torch.Generator().manual_seed(seed)
    size, device = method.plan.patch, method.fabric.device
    z, y, x = (slice(extent // 4, -extent // 4) for extent in size)
    images = torch.randn(CROPS, 1, *size, generator=generator)
    images[:, 0, z, y, x] += 3
    labels = torch.zeros(CROPS, *size, dtype=torch.long)
    labels[:, z, y, x] = 1
    axes = [torch.arange(extent, dtype=torch.float32) for extent in size]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    labelled = CROPS // 2 if method.uses_unlabelled else CROPS
    images, labels = images.to(device), labels.to(device)
    return Batch(
        images,
        images,
        labels[:labelled],
        method.plan.spacing,
        tuple(f"case {index}" for index in range(CROPS)),
        positions=positions.expand(CROPS, *positions.shape).to(device),
        hidden_labels=labels[labelled:],
    )
