"""The U-Net that answers at several resolutions, for URPC (spec §2.4).

The U-Net of this room with a segmentation head on each of its last decoder levels; every answer is
interpolated to full size. Built by the catalogue in the two dresses of the U-Net.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from napari_semiseg.engine.networks.layers import (
    CHANNEL_DROPOUT,
    CONVOLUTION,
    LINEAR_INTERPOLATION,
)
from napari_semiseg.engine.networks.output import EncodedImage, NetworkOutput
from napari_semiseg.engine.networks.unet import UNet

MOST_SCALES = 4
DROPOUT_SHARES = (0.2, 0.4, 0.6, 1.0)
"""Dropout of the decoder levels relative to the coarsest head's, finest first (0.1 to 0.5)."""


class PyramidUNet(UNet):
    """U-Net with a head on each of the four finest decoder levels, or on all where there are fewer.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    channels, classes : int
        Image channels; classes with the background, C.
    filters : int, default 16
        Feature channels at full resolution, doubled at every level.
    strides : sequence of sequence of int
        One entry a level; four times (2, 2, 2) in the paper.
    normalisation : {"instance", "batch", "none"}
        ``"instance"`` in the paper.
    dropout : float, default 0.5
        Drops whole channels before the coarsest head; 0.6, 0.4 and 0.2 of it before the finer ones.
    paper : bool, default True
        The dress, as in `UNet`.
    """

    def __init__(
        self,
        dimensions: int,
        channels: int,
        classes: int,
        filters: int = 16,
        strides: Sequence[Sequence[int]] = ((2, 2, 2),) * 4,
        normalisation: str = "instance",
        dropout: float = 0.5,
        signed_distance_head: bool = False,
        paper: bool = True,
    ) -> None:
        super().__init__(
            dimensions,
            channels,
            classes,
            filters,
            strides,
            normalisation,
            dropout=0.0,  # here every decoder level has its own
            signed_distance_head=signed_distance_head,
            paper=paper,
        )
        self.scales = min(len(strides), MOST_SCALES)
        heads = [
            CONVOLUTION[dimensions](filters * 2**level, classes, kernel_size=1)
            for level in range(1, self.scales)
        ]
        if paper:
            for head in heads:
                nn.init.kaiming_normal_(head.weight)
        self.coarse_heads = nn.ModuleList(heads)
        self.level_dropout = nn.ModuleList(
            CHANNEL_DROPOUT[dimensions](dropout * share) if dropout else nn.Identity()
            for share in DROPOUT_SHARES[: self.scales]
        )

    def forward(self, image: Tensor | EncodedImage, branches: int | None = None) -> NetworkOutput:
        """Segment ``image`` at every scale.

        Parameters
        ----------
        image : Tensor or EncodedImage
            (B, channels, *spatial), each axis a multiple of the total stride.
        branches : int, optional
            How many scales to answer at, finest first; all by default.
        """
        encoded = self.encoded(image)
        skips, decoded = encoded.skips, encoded.deepest
        levels: list[Tensor] = []
        for level in reversed(range(len(self.up))):
            features = self.decoder[level](self.join(skips[level], self.up[level](decoded)))
            decoded = self.level_dropout[level](features) if level < self.scales else features
            levels.insert(0, decoded)
        logits, distance = self.heads(decoded)
        coarse = list(self.coarse_heads)[: None if branches is None else branches - 1]
        pairs = zip(coarse, levels[1:], strict=False)  # not every level has a head
        answers = [self._enlarge(head(level), logits) for head, level in pairs]
        return NetworkOutput(
            logits,
            features,
            encoded.bottleneck,
            distance,
            (logits, *answers),
            self.kept(encoded),
        )

    def _enlarge(self, coarse: Tensor, logits: Tensor) -> Tensor:
        mode = LINEAR_INTERPOLATION[self.dimensions]
        return F.interpolate(coarse.float(), size=logits.shape[2:], mode=mode, align_corners=False)
