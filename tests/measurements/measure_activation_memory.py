"""Bytes that a network keeps for its backward pass, per voxel of a crop and filter.

The planner bounds a patch with this figure.

    python tests/measurements/measure_activation_memory.py
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

SIZE = 64


def kept_bytes(specification: NetworkSpecification, bfloat16: bool) -> float:
    """Return the bytes kept per voxel and filter after a forward pass on one crop of 64³."""
    network = build_network(specification).to(memory_format=torch.channels_last_3d)
    kept: dict[int, int] = {}

    def remember(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = torch.randn(1, 1, SIZE, SIZE, SIZE)
    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = network(image).logits
        segmentation_loss(logits, (image[:, 0] > 0).long())
    weights = sum(weight.numel() * 4 for weight in network.parameters())
    return (sum(kept.values()) - weights) / SIZE**3 / specification.filters


def main() -> None:
    """Print the figure for the networks of both presets."""
    for name, levels, normalisation, dropout in (
        ("unet", 3, "instance", 0.0),
        ("vnet", 4, "batch", 0.5),
    ):
        for filters in (8, 16):
            specification = NetworkSpecification(
                name=name,
                filters=filters,
                strides=((2, 2, 2),) * levels,
                normalisation=normalisation,
                dropout=dropout,
            )
            for bfloat16 in (True, False):
                figure = kept_bytes(specification, bfloat16)
                precision = "bfloat16" if bfloat16 else "float32"
                print(f"{name:6s} {filters:3d} filters  {precision:9s} {figure:5.1f} bytes")


if __name__ == "__main__":
    main()
