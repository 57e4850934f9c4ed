"""The U-Net in two dresses: the papers' 3D U-Net (spec §2.3) and the modern one of this project.

They differ in a few layers only (upsampling, activation, affine normalisation), so one class builds
both. Built by the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.encoder_decoder import EncoderDecoder
from napari_semiseg.engine.networks.encoder_features import EncoderFeatures
from napari_semiseg.engine.networks.heads import Heads
from napari_semiseg.engine.networks.layers import (
    BATCH_NORMALISATION,
    CONVOLUTION,
    INSTANCE_NORMALISATION,
    LINEAR_INTERPOLATION,
    MAX_POOLING,
    TRANSPOSED_CONVOLUTION,
)


class UNet(EncoderDecoder):
    """U-Net with two convolutions a level, max-pooling and concatenated skips.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    channels, classes : int
        Image channels; classes with the background.
    filters : int
        Feature channels at full resolution, doubled at every level.
    strides : sequence of sequence of int
        One entry a level; anisotropic strides keep thick slices from being pooled away.
    normalisation : {"instance", "batch", "none"}
        Normalisation after each convolution.
    dropout : float
        Element-wise dropout after the bottleneck and after the last decoder block.
    paper : bool
        True for the 3D U-Net that the BraTS experiments of the papers use: ReLU, instance
        normalisation without affine parameters, interpolated upsampling, Kaiming initialisation.
        False for LeakyReLU, affine normalisation and transposed convolutions.
    """

    def __init__(
        self,
        dimensions: int,
        channels: int,
        classes: int,
        filters: int = 16,
        strides: Sequence[Sequence[int]] = ((2, 2, 2),) * 4,
        normalisation: str = "instance",
        dropout: float = 0.0,
        signed_distance_head: bool = False,
        paper: bool = False,
    ) -> None:
        super().__init__()
        self.dimensions, self.normalisation, self.paper = dimensions, normalisation, paper
        widths = [filters * 2**level for level in range(len(strides) + 1)]
        self.encoder = nn.ModuleList([self._block(channels, widths[0])])
        self.pool = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level, stride in enumerate(strides):
            narrow, wide = widths[level], widths[level + 1]
            self.pool.append(MAX_POOLING[dimensions](tuple(stride)))
            self.encoder.append(self._block(narrow, wide))
            self.up.append(self._upsampling(wide, narrow, tuple(stride)))
            self.decoder.append(self._block(narrow + (wide if paper else narrow), narrow))
        self.encoder_features = EncoderFeatures()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.heads = Heads(dimensions, widths[0], classes, signed_distance_head)
        if paper:
            self.apply(_initialise_kaiming)

    def _upsampling(self, wide: int, narrow: int, stride: tuple[int, ...]) -> nn.Module:
        if self.paper:
            return nn.Upsample(scale_factor=stride, mode=LINEAR_INTERPOLATION[self.dimensions])
        transposed = TRANSPOSED_CONVOLUTION[self.dimensions]
        return transposed(wide, narrow, kernel_size=stride, stride=stride)

    def _norm(self, width: int) -> nn.Module:
        if self.normalisation == "instance":
            return INSTANCE_NORMALISATION[self.dimensions](width, affine=not self.paper)
        if self.normalisation == "batch":
            return BATCH_NORMALISATION[self.dimensions](width)
        return nn.Identity()

    def _block(self, before: int, after: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for width in (before, after):
            layers.append(CONVOLUTION[self.dimensions](width, after, kernel_size=3, padding=1))
            layers.append(self._norm(after))
            layers.append(nn.ReLU(inplace=True) if self.paper else nn.LeakyReLU(0.01, inplace=True))
        return nn.Sequential(*layers)

    @property
    def downsampling(self) -> nn.ModuleList:
        """Max-pooling."""
        return self.pool

    def join(self, skip: Tensor, upsampled: Tensor) -> Tensor:
        """Concatenate the channels."""
        return torch.cat([skip, upsampled], dim=1)


def _initialise_kaiming(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Conv3d)):
        nn.init.kaiming_normal_(module.weight)
