"""One encoder with three decoders that differ in how they upsample, for MC-Net+.

The first decoder is that of the trunk, with transposed convolutions: alone with the encoder it is the
plain U-Net or V-Net. The others interpolate, linearly or to the nearest, and convolve. Built by the
catalogue around one of its trunks.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from napari_semiseg.engine.networks.encoder_decoder import EncoderDecoder
from napari_semiseg.engine.networks.layers import CONVOLUTION, LINEAR_INTERPOLATION
from napari_semiseg.engine.networks.output import EncodedImage, NetworkOutput


class InterpolatingDecoder(nn.Module):
    """A decoder like the trunk's, with weights of its own and without transposed convolutions.

    Parameters
    ----------
    trunk : UNet or VNet
        Its decoder is the model; nothing is shared.
    mode : str
        Of the interpolation: ``"nearest"``, ``"bilinear"`` or ``"trilinear"``.
    """

    def __init__(self, trunk: EncoderDecoder, mode: str) -> None:
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

    def __init__(self, trunk: EncoderDecoder) -> None:
        super().__init__()
        self.trunk = trunk
        self.others = nn.ModuleList(
            InterpolatingDecoder(trunk, mode)
            for mode in (LINEAR_INTERPOLATION[trunk.dimensions], "nearest")
        )

    def forward(self, image: Tensor | EncodedImage, branches: int | None = None) -> NetworkOutput:
        """Segment ``image`` with every decoder.

        Parameters
        ----------
        image : Tensor or EncodedImage
            (B, channels, *spatial), each axis a multiple of the total stride.
        branches : int, optional
            How many decoders answer, the trunk's first; all by default.
        """
        trunk = self.trunk
        encoded = trunk.encoded(image)
        start = trunk.dropout(encoded.deepest)
        features = trunk.decode(trunk, encoded.skips, start)
        logits, distance = trunk.heads(trunk.dropout(features))
        answers = [logits]
        others: list[Any] = list(self.others)[: None if branches is None else branches - 1]
        for other in others:
            answers.append(other.head(trunk.dropout(trunk.decode(other, encoded.skips, start))))
        return NetworkOutput(
            logits,
            features,
            encoded.bottleneck,
            distance,
            tuple(answers),
            trunk.kept(encoded),
        )


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
