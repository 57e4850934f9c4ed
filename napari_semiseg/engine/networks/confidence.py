"""The confidence network of ASDNet: which voxels of this map look like a human's? (spec §7.13).

A fully convolutional discriminator: a small U-shaped network that answers at every voxel. Built by
ASDNet.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_semiseg.engine.networks.discriminator import SLOPE, at_least_two, halving
from napari_semiseg.engine.networks.layers import CONVOLUTION, LINEAR_INTERPOLATION

HALVINGS = 3


class ConfidenceNetwork(nn.Module):
    """Three halvings and three residual blocks back up, with additive skips.

    The published code feeds its upper blocks the encoder's features instead of the block below, which
    leaves the deepest features unused; here each block takes the one below. In float32, as
    `Discriminator` and for its reason.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    image_channels : int, default 0
        Channels of the image; with 0 the map is judged alone, as in the published code.
    filters : int, default 32
        Feature channels at full resolution, doubled at every halving.
    """

    def __init__(
        self, dimensions: int, map_channels: int, image_channels: int = 0, filters: int = 32
    ) -> None:
        super().__init__()
        self.image_channels = image_channels
        widths = [filters * 2**level for level in range(HALVINGS + 1)]
        pairs = list(pairwise(widths))
        convolution = CONVOLUTION[dimensions]
        self.entry = convolution(map_channels + image_channels, filters, kernel_size=3, padding=1)
        self.down = nn.ModuleList(halving(dimensions, narrow, wide) for narrow, wide in pairs)
        self.up = nn.ModuleList(_UpBlock(dimensions, wide, narrow) for narrow, wide in pairs)
        self.head = convolution(filters, 2, kernel_size=1)

    def forward(self, maps: Tensor, images: Tensor) -> Tensor:
        """Score voxels.

        Parameters
        ----------
        maps : Tensor
            (B, map channels, *spatial) probabilities.
        images : Tensor
            (B, channels, *spatial) that the maps were made for; unused with no image channels.

        Returns
        -------
        Tensor
            (B, 2, *spatial) float32 logits: made by the segmenter, drawn by a human.
        """
        with torch.autocast(maps.device.type, enabled=False):
            seen = torch.cat([maps, images], dim=1) if self.image_channels else maps
            skips = [F.leaky_relu(self.entry(seen.float()), SLOPE)]
            for layer in self.down:
                skips.append(F.leaky_relu(layer(at_least_two(skips[-1])), SLOPE))
            features = skips.pop()
            for block in reversed(self.up):
                features = block(features, skips.pop())
            confidence: Tensor = self.head(features)
            return confidence


class _UpBlock(nn.Module):
    """Upsampling to a skip of any size, which is added, and one residual convolution."""

    def __init__(self, dimensions: int, wide: int, narrow: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimensions]
        # Narrowed before it is upsampled: the same numbers for an eighth of the work.
        self.narrow = convolution(wide, narrow, kernel_size=1)
        self.residual = convolution(narrow, narrow, kernel_size=3, padding=1)
        self.mode = LINEAR_INTERPOLATION[dimensions]

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        upsampled = F.interpolate(self.narrow(features), size=skip.shape[2:], mode=self.mode)
        joined = F.leaky_relu(upsampled + skip, SLOPE)
        return F.leaky_relu(joined + self.residual(joined), SLOPE)
