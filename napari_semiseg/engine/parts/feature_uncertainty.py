"""What changes between stochastic passes of a network: its answer, and its features (spec §7.6).

Used by the method that weighs its consistency by both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_semiseg.engine.networks.heads import NetworkOutput
from napari_semiseg.engine.parts.uncertainty import input_noise

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
    passes : int
        Number of passes T.
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
