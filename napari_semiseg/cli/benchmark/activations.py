"""What a network keeps for its backward pass: the figure with which the planner bounds a patch."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.workload import Workload, in_words, levels_of
from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.planning.planner import BYTES_A_VOXEL_AND_FILTER

WIDTHS = (1, 2)
"""The filters of the workload are divided by these."""


def measure_activations(workload: Workload) -> Section:
    """Count the bytes that the networks of both presets keep, in both precisions of the CPU."""
    size = workload.patches[0][0]
    rows: list[Row] = []
    for name, normalisation, dropout in (("unet", "instance", 0.0), ("vnet", "batch", 0.5)):
        for width in WIDTHS:
            specification = NetworkSpecification(
                name=name,
                filters=workload.filters // width,
                strides=((2, 2, 2),) * levels_of((size, size, size)),
                normalisation=normalisation,  # type: ignore[arg-type]
                dropout=dropout,
            )
            kept = {
                "float32 bytes": kept_bytes(specification, size, bfloat16=False),
                "bfloat16 bytes": kept_bytes(specification, size, bfloat16=True),
            }
            rows.append({"network": name, "filters": float(specification.filters), **kept})
    remarks = (
        f"Bytes for each voxel of a crop of {in_words((size, size, size))} and each filter. The "
        f"planner allows for {BYTES_A_VOXEL_AND_FILTER}: the convolutions' workspace comes on top.",
    )
    return Section("What a network keeps for its backward pass", tuple(rows), remarks)


def kept_bytes(specification: NetworkSpecification, size: int, bfloat16: bool) -> float:
    """Return the bytes kept per voxel and filter after a forward pass on one crop of size³."""
    network = build_network(specification).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    kept: dict[int, int] = {}

    def remember(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.randn(1, 1, size, size, size)
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(image).logits
        segmentation_loss(logits, (image[:, 0] > 0).long())
    weights: int = sum(weight.numel() * 4 for weight in network.parameters())
    return (sum(kept.values()) - weights) / size**3 / specification.filters
