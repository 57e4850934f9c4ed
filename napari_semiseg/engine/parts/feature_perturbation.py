"""Dropping channels of the encoder's features for some crops of a pass (UniMatch).

The features are dropped where the decoder reads them, every level on its own; what deeper levels of
the encoder are made of stays whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.encoder_features import EncoderFeatures
from napari_semiseg.engine.networks.heads import Heads


@contextmanager
def channels_dropped(
    network: nn.Module, probability: float, crops: slice = slice(None)
) -> Iterator[None]:
    """Drop whole feature channels of the chosen crops in every pass of ``network`` inside.

    Parameters
    ----------
    network : nn.Module
        A network of the catalogue, in training or inference mode. Where its pass goes through no
        `EncoderFeatures`, the features that its heads read are dropped instead.
    probability : float
        Probability that a channel is dropped, 0…1 without 1; the others grow to make up for it.
    crops : slice
        Which crops of the batch; the others stay as they are.
    """
    reached = False

    def drop(features: Tensor) -> Tensor:
        shape = (*features.shape[:2], *(1,) * (features.dim() - 2))
        factors = torch.ones(shape, device=features.device, dtype=features.dtype)
        factors[crops].bernoulli_(1.0 - probability).div_(1.0 - probability)
        return features * factors

    def at_level(_module: nn.Module, _inputs: Any, features: Tensor) -> Tensor:
        nonlocal reached
        reached = True
        return drop(features)

    def before_heads(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        nonlocal reached
        already, reached = reached, False
        return None if already else (drop(inputs[0]), *inputs[1:])

    with ExitStack() as hooks:
        for layer in network.modules():
            if isinstance(layer, EncoderFeatures):
                hooks.callback(layer.register_forward_hook(at_level).remove)
            elif isinstance(layer, Heads):
                hooks.callback(layer.register_forward_pre_hook(before_heads).remove)
        yield
