"""The way through a U-shaped network, whatever its levels are made of.

What the U-Net and the V-Net share, and what the networks with several answers on top of them need:
down through the encoder, up through a decoder, and how the two are joined.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

from torch import Tensor, nn

from napari_semiseg.engine.networks.encoder_features import EncoderFeatures
from napari_semiseg.engine.networks.heads import Heads, NetworkOutput


class EncodedImage(NamedTuple):
    """What the encoder makes of an image.

    Attributes
    ----------
    skips : list of Tensor
        (B, F, *spatial) for the decoder, from full resolution down.
    deepest : Tensor
        (B, F', *small) that the decoder begins with.
    bottleneck : Tensor
        (B, F', *small) the same before `EncoderFeatures`, where it may be perturbed.
    """

    skips: list[Tensor]
    deepest: Tensor
    bottleneck: Tensor


class EncoderDecoder(nn.Module):
    """An encoder and a decoder of as many levels, joined at each; subclasses build the layers."""

    dimensions: int
    encoder: nn.ModuleList
    up: nn.ModuleList
    decoder: nn.ModuleList
    encoder_features: EncoderFeatures
    dropout: nn.Module
    heads: Heads

    @property
    @abstractmethod
    def downsampling(self) -> nn.ModuleList:
        """The layers between the levels of the encoder."""

    @abstractmethod
    def join(self, skip: Tensor, upsampled: Tensor) -> Tensor:
        """Bring the encoder's features and what comes up from below together, one level high."""

    def encode(self, image: Tensor) -> EncodedImage:
        """Go down through ``image`` (B, channels, *spatial)."""
        first, *blocks = self.encoder
        levels = [first(image)]
        for down, block in zip(self.downsampling, blocks, strict=True):
            levels.append(block(down(levels[-1])))
        *skips, deepest = [self.encoder_features(level) for level in levels]
        return EncodedImage(skips, deepest, levels[-1])

    def decode(self, decoder: Any, skips: list[Tensor], features: Tensor) -> Tensor:
        """Go up to full resolution.

        Parameters
        ----------
        decoder : EncoderDecoder or InterpolatingDecoder
            Whose ``up`` and ``decoder`` layers are gone through.
        skips : list of Tensor
            Of the encoded image.
        features : Tensor
            (B, F', *small) to begin with.
        """
        for level in reversed(range(len(skips))):
            features = decoder.decoder[level](self.join(skips[level], decoder.up[level](features)))
        return features

    def forward(self, image: Tensor) -> NetworkOutput:
        """Segment ``image`` (B, channels, *spatial), each axis a multiple of the total stride."""
        skips, deepest, bottleneck = self.encode(image)
        features = self.decode(self, skips, self.dropout(deepest))
        logits, distance = self.heads(self.dropout(features))
        return NetworkOutput(logits, features, bottleneck, distance)
