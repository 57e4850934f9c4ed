"""Mixing pairs of crops, and of what networks say about them (ICT, spec §7.10).

The first half of a batch is mixed with the second. The same mixture is applied to the images that a
student sees and to the answers of a teacher that sees them unmixed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PairMixture:
    """Which share of each second crop is mixed into its first.

    Attributes
    ----------
    shares : Tensor
        (mixes,) μ in 0…1: 0 leaves the first crop, 1 gives the second.
    """

    shares: Tensor

    @classmethod
    def draw(cls, crops: int, concentration: float, device: torch.device) -> PairMixture:
        """Draw shares for ``crops`` // 2 pairs from Beta(concentration, concentration).

        Of a single crop nothing can be mixed: it is its own partner. A concentration below 1 makes
        shares near 0 and 1 likely. The numbers come from PyTorch's own stream on the CPU.
        """
        parameter = torch.tensor(concentration)
        shares = torch.distributions.Beta(parameter, parameter).sample((max(1, crops // 2),))
        return cls(shares.to(device))

    def crops_of(self, crops: Tensor) -> Tensor:
        """Return those of (B, ...) that take part: all but the last of an odd number."""
        return crops[: 2 * len(self.shares)]

    def __call__(self, crops: Tensor) -> Tensor:
        """Mix crops or answers (B, channels, *spatial).

        Returns
        -------
        Tensor
            (mixes, channels, *spatial): (1 − μ) of each first and μ of each second; a single crop
            comes back as it was.
        """
        if len(crops) == 1:
            return crops
        mixes = len(self.shares)
        first, second = crops[:mixes], crops[mixes : 2 * mixes]
        return torch.lerp(first, second, self.shares.reshape(-1, *(1,) * (crops.dim() - 1)))


def random_boxes(
    crops: Tensor, volume: tuple[float, float], aspect: float, chance: float = 1.0
) -> Tensor:
    """Draw a box of random volume and shape for each crop (CutMix, as UniMatch draws it).

    Parameters
    ----------
    crops : Tensor
        (B, channels, *spatial), of which only the shape and the device are asked.
    volume : tuple of float
        Smallest and largest share of the crop that a box takes, 0…1; uniform between them.
    aspect : float
        How much longer one edge may be than another, each relative to the crop's, at least 1.
    chance : float
        Probability that a crop has a box at all, 0…1.

    Returns
    -------
    Tensor
        (B, *spatial) bool, True inside. An edge longer than the crop is cut to it.
    """
    count, device, spatial = len(crops), crops.device, crops.shape[2:]
    dimensions = len(spatial)
    low, high = volume
    drawn = low + (high - low) * torch.rand(count, 1, device=device)
    stretch = (torch.rand(count, dimensions, device=device) - 0.5) * math.log(aspect)
    edges = drawn ** (1 / dimensions) * torch.exp(stretch - stretch.mean(dim=1, keepdim=True))
    size = torch.tensor(spatial, device=device)
    extents = torch.minimum((edges * size).round().clamp_min(1).long(), size)
    there = torch.rand(count, 1, device=device) < chance
    return place_boxes(extents * there, spatial)


def boxes_with_edge(crops: Tensor, edge: float) -> Tensor:
    """Draw where a box of fixed size lies in each crop (the mask of BCP).

    Parameters
    ----------
    crops : Tensor
        As of `random_boxes`.
    edge : float
        Every edge of the box relative to the crop's, 0…1, rounded down to voxels.

    Returns
    -------
    Tensor
        (B, *spatial) bool, True inside.
    """
    spatial = crops.shape[2:]
    extents = torch.tensor([int(extent * edge + 1e-6) for extent in spatial], device=crops.device)
    return place_boxes(extents.expand(len(crops), -1), spatial)


def place_boxes(extents: Tensor, spatial: Sequence[int]) -> Tensor:
    """Put each box at a random place inside its crop.

    Parameters
    ----------
    extents : Tensor
        (B, dimensions) int64 voxels along each edge; a box with an edge of 0 is empty.
    spatial : sequence of int
        Crop size, at least as large as every box.

    Returns
    -------
    Tensor
        (B, *spatial) bool, True inside.
    """
    device, count = extents.device, len(extents)
    free = torch.tensor(spatial, device=device) - extents + 1
    starts = (torch.rand(extents.shape, device=device) * free).long()
    boxes = torch.ones(count, *(1,) * len(spatial), dtype=torch.bool, device=device)
    for axis, extent in enumerate(spatial):
        shape = [count] + [1] * len(spatial)
        shape[axis + 1] = extent
        place = torch.arange(extent, device=device)
        start = starts[:, axis, None]
        inside = (place >= start) & (place < start + extents[:, axis, None])
        boxes = boxes & inside.reshape(shape)
    return boxes


def paste(below: Tensor, above: Tensor, boxes: Tensor) -> Tensor:
    """Show ``above`` inside the boxes and ``below`` outside.

    Parameters
    ----------
    below, above : Tensor
        Images (B, channels, *spatial) or labels (B, *spatial).
    boxes : Tensor
        (B, *spatial) bool.
    """
    return torch.where(boxes.unsqueeze(1) if below.dim() > boxes.dim() else boxes, above, below)
