"""Strong views of crops: intensities change, geometry stays, so that labels fit voxel by voxel.

The strong perturbation of FixMatch and UniMatch for scans: random contrast, brightness, blur and noise
instead of the colour changes of photographs. Every random number comes from torch's default generator
of the images' device, so that a training step stays a pure function of its seed; nothing waits for
the device.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

JITTER_CHANCE = 0.8  # of a crop's contrast and brightness, as UniMatch jitters colours
BLUR_CHANCE = 0.5
CONTRAST = 0.5  # largest relative change
BRIGHTNESS = 0.5  # largest shift; normalised scans have deviation 1
NOISE = 0.3  # largest deviation


def strong_view(images: Tensor, strength: float = 1.0) -> Tensor:
    """Change the intensities of each crop at random.

    Parameters
    ----------
    images : Tensor
        (B, channels, *spatial), normalised.
    strength : float
        Factor of every change; 0 changes nothing.
    """
    images = _jitter(images, strength)
    images = _blur(images, min(strength, 1.0))
    deviation = NOISE * strength * _uniform(images, 0.0, 1.0)
    return images + deviation * torch.randn_like(images)


def erase(images: Tensor, boxes: Tensor) -> Tensor:
    """Hide what lies in the boxes behind the mean of its crop and channel (Cutout).

    Parameters
    ----------
    images : Tensor
        (B, channels, *spatial).
    boxes : Tensor
        (B, *spatial) bool, True where nothing is to be seen.
    """
    mean = images.mean(dim=tuple(range(2, images.dim())), keepdim=True)
    return torch.where(boxes.unsqueeze(1), mean, images)


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Draw one number a crop, shaped (B, 1, *1)."""
    shape = (len(images), *(1,) * (images.dim() - 1))
    return low + (high - low) * torch.rand(shape, device=images.device, dtype=images.dtype)


def _jitter(images: Tensor, strength: float) -> Tensor:
    mean = images.mean(dim=tuple(range(2, images.dim())), keepdim=True)
    chosen = strength * (_uniform(images, 0.0, 1.0) < JITTER_CHANCE)
    contrast = 1.0 + chosen * CONTRAST * _uniform(images, -1.0, 1.0)
    shift = chosen * BRIGHTNESS * _uniform(images, -1.0, 1.0)
    return (images - mean) * contrast + mean + shift


def _blur(images: Tensor, most: float) -> Tensor:
    """Mix each crop with its smoothed self."""
    pool = F.avg_pool3d if images.dim() == 5 else F.avg_pool2d
    smooth = images
    for _ in range(2):  # two running means of three voxels are near a Gaussian of deviation 1.2
        smooth = pool(smooth, 3, stride=1, padding=1, count_include_pad=False)
    chosen = _uniform(images, 0.0, 1.0) < BLUR_CHANCE
    return images + most * chosen * _uniform(images, 0.0, 1.0) * (smooth - images)
