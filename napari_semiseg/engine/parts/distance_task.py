"""What methods with a signed distance head share besides its targets (spec §4.7, §4.8).

The losses of the head on labelled crops, its masks as an answer that can stand beside a segmentation,
and the share of voxels through which a steep mask passes gradients. Ignored voxels count nowhere.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semiseg.engine.parts.disagreement import class_probabilities
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, dice_loss
from napari_semiseg.engine.parts.signed_distance import mask_probability

NEAR_ZERO = 0.01  # a mask of steepness 1500 is saturated beyond


def distance_loss(distance: Tensor, target: Tensor, labels: Tensor) -> Tensor:
    """Mean squared error of signed distances over the voxels that are not ignored.

    Parameters
    ----------
    distance : Tensor
        (B, C − 1, *spatial); gradients reach it.
    target : Tensor
        Of the same shape, on any device.
    labels : Tensor
        (B, *spatial) class indices, 255 ignored.

    Returns
    -------
    Tensor
        Scalar; 0 where every voxel is ignored.
    """
    known = (labels != IGNORED).unsqueeze(1).expand_as(distance)
    difference = torch.where(known, distance.float() - target.to(distance.device), 0.0)
    return difference.square().sum() / known.sum().clamp_min(1)


def mask_dice_loss(distance: Tensor, labels: Tensor, steepness: float) -> Tensor:
    """Mean Dice loss of the foreground masks that signed distances stand for.

    Classes that no label of the batch has are not scored (spec §7.19).

    Parameters
    ----------
    distance : Tensor
        (B, C − 1, *spatial), negative inside.
    labels : Tensor
        (B, *spatial) class indices, 255 ignored.
    steepness : float
        How sharply a distance turns into a mask.
    """
    masks = mask_probability(distance, steepness)
    unscored = torch.zeros_like(masks[:, :1])  # the background takes no part in the Dice
    return dice_loss(torch.cat([unscored, masks], dim=1), labels, only_present=True)


def answer_of_distance(distance: Tensor, steepness: float) -> Tensor:
    """Probabilities of all classes, (B, C, *spatial), of signed distances (B, C − 1, *spatial)."""
    return class_probabilities(mask_probability(distance, steepness))


def near_zero_share(distance: Tensor) -> float:
    """Share of voxels so near the zero level that a steep mask passes gradients, 0…1."""
    return (distance.detach().abs() < NEAR_ZERO).float().mean().item()
