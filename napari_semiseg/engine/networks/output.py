"""The shape of every network's answer, so that a method never asks which network it has."""

from __future__ import annotations

from torch import Tensor


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


class EncodedImage:
    """What the encoder makes of an image.

    A plain class for the reason that `NetworkOutput` is one.

    Parameters
    ----------
    skips : list of Tensor
        (B, F, *spatial) for the decoder, from full resolution down.
    deepest : Tensor
        (B, F', *small) that the decoder begins with.
    bottleneck : Tensor
        (B, F', *small) the same before `EncoderFeatures`, where it may be perturbed.
    """

    __slots__ = ("bottleneck", "deepest", "skips")

    def __init__(self, skips: list[Tensor], deepest: Tensor, bottleneck: Tensor) -> None:
        self.skips = skips
        self.deepest = deepest
        self.bottleneck = bottleneck
