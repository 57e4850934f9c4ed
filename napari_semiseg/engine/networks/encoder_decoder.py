"""The way through a U-shaped network, whatever its levels are made of.

What the U-Net and the V-Net share, and what the networks with several answers on top of them need:
down through the encoder, up through a decoder, and how the two are joined.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor, nn

from napari_semiseg.engine.networks.encoder_features import EncoderFeatures
from napari_semiseg.engine.networks.heads import Heads
from napari_semiseg.engine.networks.output import EncodedImage, NetworkOutput


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

    def encoded(self, image: Tensor | EncodedImage) -> EncodedImage:
        """Return what the encoder makes of an image, or made of it in an earlier pass."""
        return self.encode(image) if isinstance(image, Tensor) else image

    def kept(self, encoded: EncodedImage) -> EncodedImage | None:
        """Return what an output keeps for further passes.

        In training it would hold the skips of passes without gradients in memory for nothing.
        """
        return None if self.training else encoded

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

    def forward(self, image: Tensor | EncodedImage) -> NetworkOutput:
        """Segment an image.

        Parameters
        ----------
        image : Tensor or EncodedImage
            (B, channels, *spatial), each axis a multiple of the total stride; or what the encoder,
            which has no dropout, made of it in an earlier pass.
        """
        encoded = self.encoded(image)
        features = self.decode(self, encoded.skips, self.dropout(encoded.deepest))
        logits, distance = self.heads(self.dropout(features))
        return NetworkOutput(
            logits, features, encoded.bottleneck, distance, encoded=self.kept(encoded)
        )
