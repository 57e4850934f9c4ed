"""Predictive entropy over stochastic passes of a network with dropout (spec §4.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
CROPS_AT_ONCE = 4


def has_dropout(network: nn.Module) -> bool:
    """Tell whether ``network`` has a dropout layer that drops something."""
    return any(isinstance(layer, DROPOUT) and layer.p > 0 for layer in network.modules())


@contextmanager
def dropout_active(network: nn.Module) -> Iterator[None]:
    """Make only the dropout layers of ``network`` random, whatever mode the rest is in."""
    layers = [layer for layer in network.modules() if isinstance(layer, DROPOUT)]
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, training in zip(layers, before, strict=True):
            layer.train(training)


def input_noise(images: Tensor, deviation: float) -> Tensor:
    """Add normal noise clipped to two deviations, the papers' perturbation of a teacher's input."""
    if deviation == 0:
        return images
    noise = (torch.randn_like(images) * deviation).clamp_(-2 * deviation, 2 * deviation)
    return images + noise


@torch.no_grad()
def mean_of_passes(
    probabilities_of: Callable[[Tensor], Tensor], images: Tensor, passes: int, noise: float
) -> Tensor:
    """Average the softmax of several stochastic passes.

    Parameters
    ----------
    probabilities_of : callable
        One stochastic pass, images (B, channels, *spatial) to probabilities (B, C, *spatial).
    images : Tensor
        (B, channels, *spatial).
    passes : int
        Number of passes T.
    noise : float
        Deviation of fresh input noise for every pass; 0 for none.

    Returns
    -------
    Tensor
        (B, C, *spatial) mean probabilities, float32.
    """
    total, left = None, passes
    while left > 0:
        repeats = min(left, max(1, CROPS_AT_ONCE // len(images)))
        repeated = images.repeat(repeats, *(1,) * (images.dim() - 1))
        drawn = probabilities_of(input_noise(repeated, noise)).float()
        drawn = drawn.reshape(repeats, len(images), *drawn.shape[1:]).sum(0)
        total = drawn if total is None else total + drawn
        left -= repeats
    assert total is not None
    return total / passes


def entropy(probabilities: Tensor) -> Tensor:
    """Entropy of each voxel's class probabilities, in nats: 0…ln C.

    Parameters
    ----------
    probabilities : Tensor
        (B, C, *spatial).

    Returns
    -------
    Tensor
        (B, *spatial).
    """
    limit = math.log(probabilities.shape[1])
    nats = -(probabilities * torch.log(probabilities + 1e-6)).sum(dim=1)
    return nats.clamp(0.0, limit)


def normalised_entropy(probabilities: Tensor) -> Tensor:
    """Entropy divided by ln C, 0…1; the unit of every uncertainty map of the project."""
    return entropy(probabilities) / math.log(probabilities.shape[1])
