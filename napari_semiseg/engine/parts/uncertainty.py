"""Predictive entropy over stochastic passes of a network with dropout (spec §4.5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.ramps import certainty_threshold

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


@torch.no_grad()
def teacher_entropy(teacher: nn.Module, images: Tensor, passes: int, noise: float) -> Tensor:
    """Entropy of a teacher's mean answer over noisy dropout passes, nothing in it being changed.

    Parameters
    ----------
    teacher : nn.Module
        Network that returns a `NetworkOutput`; its batch statistics are used, not collected.
    images : Tensor
        (B, channels, *spatial).
    noise : float
        Deviation of the input noise of each pass.

    Returns
    -------
    Tensor
        (B, *spatial), 0…ln C.
    """
    teacher.eval()
    with dropout_active(teacher):
        mean = mean_of_passes(
            lambda crops: torch.softmax(teacher(crops).logits.float(), dim=1),
            images,
            passes,
            noise,
        )
    return entropy(mean)


def certain_share(uncertainty: Tensor, classes: int) -> Tensor:
    """Share of semi-supervised training in which a voxel of this entropy counts as certain.

    Parameters
    ----------
    uncertainty : Tensor
        (B, *spatial) entropy in nats, 0…ln C.

    Returns
    -------
    Tensor
        (B, *spatial) in 0…1: 1 where the voxel counts from the start, s where it counts in the last
        share s, that is ``uncertainty < certainty_threshold(1 − s, classes)`` from there on.
    """
    lowest = certainty_threshold(0.0, classes) / math.log(classes)
    height = (uncertainty / math.log(classes) - 0.75).clamp_min(1e-12) / 0.25
    # The inverse of the threshold's Gaussian ramp.
    share = torch.sqrt(-torch.log(height.clamp_max(1.0)) / 5.0)
    early = uncertainty / math.log(classes) < lowest
    return torch.where(early, 1.0, share).clamp(0.0, 1.0)


SMALLEST_RANGE = 1e-12


@dataclass(frozen=True, eq=False)
class RepeatedPasses:
    """Statistics of T stochastic passes.

    Attributes
    ----------
    probabilities : Tensor
        (B, C, *spatial) mean over the passes.
    features : Tensor
        (B, F, *spatial) mean of the last decoder features.
    variance : Tensor
        (B, F, *spatial) variance of the features over the passes, divided by T.
    """

    probabilities: Tensor
    features: Tensor
    variance: Tensor

    def scaled_variance(self) -> Tensor:
        """Mean variance of the channels, from 0 to 1 over each crop; 0 where nothing varies.

        Returns
        -------
        Tensor
            (B, *spatial).
        """
        variance = self.variance.mean(dim=1)
        voxels = tuple(range(1, variance.dim()))
        low, high = variance.amin(dim=voxels, keepdim=True), variance.amax(dim=voxels, keepdim=True)
        return (variance - low) / (high - low).clamp_min(SMALLEST_RANGE)

    def random_share(self) -> Tensor:
        """Share of the features' energy that is different in every pass, 0…1.

        Unlike the scaled variance it does not depend on the rest of the crop, so that the windows of
        a scan fit together.

        Returns
        -------
        Tensor
            (B, *spatial).
        """
        random = self.variance.sum(dim=1)
        return random / (random + self.features.square().sum(dim=1)).clamp_min(SMALLEST_RANGE)


@torch.no_grad()
def repeat_passes(
    network: Callable[[Tensor], NetworkOutput], images: Tensor, passes: int, noise: float
) -> RepeatedPasses:
    """Run a network with active dropout several times, keeping running moments only.

    Parameters
    ----------
    network : callable
        One stochastic pass of images (B, channels, *spatial).
    images : Tensor
        (B, channels, *spatial).
    noise : float
        Deviation of fresh input noise for every pass; 0 for none.
    """
    output = network(input_noise(images, noise))
    total = torch.softmax(output.logits.float(), dim=1)
    mean = output.features.float()
    squares = torch.zeros_like(mean)
    for count in range(2, passes + 1):
        output = network(input_noise(images, noise))
        total = total + torch.softmax(output.logits.float(), dim=1)
        features = output.features.float()
        change = features - mean
        mean = mean + change / count
        squares += change * (features - mean)  # Welford: no small difference of large sums
    return RepeatedPasses(total / passes, mean, squares / passes)


def trusted_squared_difference(student: Tensor, target: Tensor, uncertainty: Tensor) -> Tensor:
    """Mean squared difference, less where the target is uncertain: by exp(−uncertainty).

    Parameters
    ----------
    student, target : Tensor
        (B, channels, *spatial); gradients reach the student only.
    uncertainty : Tensor
        (B, *spatial) in 0…1, taken as given.
    """
    difference = (student - target.detach()).square().mean(dim=1)
    return (torch.exp(-uncertainty.detach()) * difference).mean()
