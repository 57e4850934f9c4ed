"""One encoder with three decoders that differ in how they upsample, for MC-Net+.

The first decoder is that of the trunk, with transposed convolutions: alone with the encoder it is the
plain U-Net or V-Net. The others interpolate, linearly or to the nearest, and convolve. Built by the
catalogue around one of its trunks.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.heads import CONVOLUTION, NetworkOutput
from napari_semiseg.engine.networks.unet import UNet
from napari_semiseg.engine.networks.vnet import VNet

_LINEAR = {2: "bilinear", 3: "trilinear"}


class InterpolatingDecoder(nn.Module):
    """A decoder like the trunk's, with weights of its own and without transposed convolutions.

    Parameters
    ----------
    trunk : UNet or VNet
        Its decoder is the model; nothing is shared.
    mode : str
        Of the interpolation: ``"nearest"``, ``"bilinear"`` or ``"trilinear"``.
    """

    def __init__(self, trunk: UNet | VNet, mode: str) -> None:
        super().__init__()
        self.up = nn.ModuleList(_interpolating(layer, mode) for layer in trunk.up)
        self.decoder = nn.ModuleList(_fresh_copy(block) for block in trunk.decoder)
        self.head = _fresh_copy(trunk.heads.segmentation)


class MultiDecoder(nn.Module):
    """A trunk with two more decoders on the same encoder.

    Parameters
    ----------
    trunk : UNet or VNet
        With transposed convolutions in its decoder, which is the first of the three.
    """

    def __init__(self, trunk: UNet | VNet) -> None:
        super().__init__()
        self.trunk = trunk
        self.additive = isinstance(trunk, VNet)
        self.others = nn.ModuleList(
            InterpolatingDecoder(trunk, mode) for mode in (_LINEAR[trunk.dimensions], "nearest")
        )

    def forward(self, image: Tensor, branches: int | None = None) -> NetworkOutput:
        """Segment ``image`` with every decoder.

        Parameters
        ----------
        image : Tensor
            (B, channels, *spatial), each axis a multiple of the total stride.
        branches : int, optional
            How many decoders answer, the trunk's first; all by default.
        """
        trunk = self.trunk
        skips = self._encode(image)
        bottleneck = skips[-1]
        *skips, start = [trunk.encoder_features(level) for level in skips]
        start = trunk.dropout(start)
        features = self._decode(trunk, skips, start)
        logits, distance = trunk.heads(trunk.dropout(features))
        answers = [logits]
        others: list[Any] = list(self.others)[: None if branches is None else branches - 1]
        for other in others:
            answers.append(other.head(trunk.dropout(self._decode(other, skips, start))))
        return NetworkOutput(logits, features, bottleneck, distance, tuple(answers))

    def _encode(self, image: Tensor) -> list[Tensor]:
        downs = self.trunk.down if isinstance(self.trunk, VNet) else self.trunk.pool
        first, *blocks = self.trunk.encoder
        skips = [first(image)]
        for down, block in zip(downs, blocks, strict=True):
            skips.append(block(down(skips[-1])))
        return skips

    def _decode(self, decoder: Any, skips: list[Tensor], features: Tensor) -> Tensor:
        """Go up through the blocks of ``decoder``; skips are added or concatenated as in the trunk."""
        for level in reversed(range(len(skips))):
            upsampled = decoder.up[level](features)
            if self.additive:
                joined = upsampled + skips[level]
            else:
                joined = torch.cat([skips[level], upsampled], dim=1)
            features = decoder.decoder[level](joined)
        return features


def _interpolating(upsampling: Any, mode: str) -> nn.Sequential:
    """Copy an upsampling step with interpolation and a convolution for its transposed one."""
    sequence = isinstance(upsampling, nn.Sequential)
    transposed, *rest = list(upsampling) if sequence else [upsampling]
    dimensions = transposed.weight.dim() - 2
    interpolation = nn.Upsample(scale_factor=tuple(map(float, transposed.stride)), mode=mode)
    convolution = CONVOLUTION[dimensions](
        transposed.in_channels, transposed.out_channels, kernel_size=3, padding=1
    )
    return nn.Sequential(interpolation, convolution, *(_fresh_copy(layer) for layer in rest))


def _fresh_copy(module: nn.Module) -> nn.Module:
    """Copy a module and draw new weights, so that no decoder starts as another."""
    fresh = copy.deepcopy(module)
    for layer in fresh.modules():
        if callable(reset := getattr(layer, "reset_parameters", None)):
            reset()
    return fresh
