"""The discriminator of DAN and SASSNet: was this map made for a labelled scan? (spec §2.9).

A short stack of strided convolutions over a map and its image, pooled to one answer for the crop.
Built by the adversarial methods.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_semiseg.engine.networks.layers import (
    ADAPTIVE_POOLING,
    CHANNEL_DROPOUT,
    CONVOLUTION,
)

SLOPE = 0.2
DROPOUT = 0.5
HALVINGS = 4
POOLED = {2: 2, 3: 1}
"""Cells that an axis is pooled to; the published 2D code pools 256² images to 2 × 2."""


class Discriminator(nn.Module):
    """Four halvings of map and image, average pooling, and two scores for each crop.

    The pooling adapts to the crop, where the published code allows one crop size only. It computes in
    float32 whatever the precision of the segmenter: its last maps are few voxels wide, where the
    weight gradients of bfloat16 convolutions are not reliable.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    map_channels : int
        Channels of the map: C probabilities, or C − 1 signed distances.
    filters : int, default 64
        Feature channels after the first halving, doubled at every further one.
    """

    def __init__(
        self, dimensions: int, map_channels: int, image_channels: int, filters: int = 64
    ) -> None:
        super().__init__()
        widths = [filters * 2**level for level in range(HALVINGS)]
        self.map_entry = halving(dimensions, map_channels, filters)
        self.image_entry = halving(dimensions, image_channels, filters)
        self.deeper = nn.ModuleList(
            halving(dimensions, narrow, wide) for narrow, wide in pairwise(widths)
        )
        self.dropout = CHANNEL_DROPOUT[dimensions](DROPOUT)
        self.pool = ADAPTIVE_POOLING[dimensions](POOLED[dimensions])
        self.classifier = nn.Linear(widths[-1] * POOLED[dimensions] ** dimensions, 2)

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        """Score crops.

        Parameters
        ----------
        maps : Tensor
            (B, map channels, *spatial).
        images : Tensor
            (B, image channels, *spatial) that the maps were made for.

        Returns
        -------
        Tensor
            (B, 2) float32 logits: made for an unlabelled scan, made for a labelled one.
        """
        with torch.autocast(maps.device.type, enabled=False):
            entered = self.map_entry(at_least_two(maps.float()))
            entered = entered + self.image_entry(at_least_two(images.float()))
            features = F.leaky_relu(entered, SLOPE)
            for layer in self.deeper:
                features = F.leaky_relu(layer(at_least_two(self.dropout(features))), SLOPE)
            verdict: Tensor = self.classifier(self.pool(features).flatten(1))
            return verdict


def halving(dimensions: int, before: int, after: int) -> nn.Module:
    """Build the convolution that halves every axis (rounded down)."""
    return CONVOLUTION[dimensions](before, after, kernel_size=4, stride=2, padding=1)


def at_least_two(features: Tensor) -> Tensor:
    """Pad axes of one voxel (B, channels, *spatial) with a zero, so that `halving` keeps them.

    Thin crops run out of voxels along their short axis before the others do.
    """
    padding: list[int] = []
    for extent in reversed(features.shape[2:]):
        padding += [0, max(0, 2 - extent)]
    return F.pad(features, padding) if any(padding) else features
