"""The layers that turn a trunk's features into answers, and the shape of every network's output.

Every network of the catalogue returns a `NetworkOutput`, so that a method never asks which trunk it
has. Called by the trunks in this room only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.layers import CONVOLUTION

if TYPE_CHECKING:
    from napari_semiseg.engine.networks.encoder_decoder import EncodedImage


class NetworkOutput:
    """What a forward pass returns.

    A plain class on purpose: precision wrappers convert the tensors of tuples and dataclasses to
    float32 at every call, which would copy the features for nothing.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial) class scores.
    features : Tensor
        (B, F, *spatial) last decoder features, before dropout.
    bottleneck : Tensor
        (B, F', *small) last encoder features, before dropout.
    signed_distance : Tensor or None
        (B, C − 1, *spatial) in −1…1, negative inside, float32; None without that head.
    branches : tuple of Tensor
        (B, C, *spatial) class scores of every scale or decoder, ``logits`` first; empty for networks
        with one answer.
    encoded : EncodedImage or None
        What the network can be asked about again without going through its encoder; None in training
        mode, and of networks that cannot.
    """

    __slots__ = ("bottleneck", "branches", "encoded", "features", "logits", "signed_distance")

    def __init__(
        self,
        logits: Tensor,
        features: Tensor,
        bottleneck: Tensor,
        signed_distance: Tensor | None = None,
        branches: tuple[Tensor, ...] = (),
        encoded: EncodedImage | None = None,
    ) -> None:
        self.logits = logits
        self.features = features
        self.bottleneck = bottleneck
        self.signed_distance = signed_distance
        self.branches = branches
        self.encoded = encoded


class Heads(nn.Module):
    """Segmentation logits and, where asked for, a signed distance map in parallel (spec §2.2).

    Parameters
    ----------
    dimensions : int
        2 or 3.
    features : int
        Feature channels that come in.
    classes : int
        Classes with the background, C.
    signed_distance : bool
        Adds the head of C − 1 tanh channels.
    """

    def __init__(self, dimensions: int, features: int, classes: int, signed_distance: bool) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimensions]
        self.segmentation = convolution(features, classes, kernel_size=1)
        self.distance = (
            convolution(features, classes - 1, kernel_size=1) if signed_distance else None
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, C, *spatial) and the signed distance (B, C − 1, *spatial) or None."""
        logits = self.segmentation(features)
        if self.distance is None:
            return logits, None
        # bfloat16 destroys the gradient of sigmoid(-1500 phi), so this head stays in float32 where
        # there is one; passes without gradients would only wait for it.
        if not torch.is_grad_enabled():
            return logits, torch.tanh(self.distance(features).float())
        with torch.autocast(features.device.type, enabled=False):
            return logits, torch.tanh(self.distance(features.float()))
