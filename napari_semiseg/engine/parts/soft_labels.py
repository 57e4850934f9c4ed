"""The supervised loss for labels that are probabilities, such as a fused answer (spec §7.12)."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTHING = 1e-5


def soft_segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Half cross-entropy, half Dice, as `segmentation_loss`, to which it is equal for hard labels.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    target : Tensor
        (B, C, *spatial) probabilities, taken as constants.

    Returns
    -------
    Tensor
        Scalar; its gradient is zero where the softmax of the logits is the target.
    """
    target = target.detach().float()
    log_probabilities = torch.log_softmax(logits.float(), dim=1)
    cross_entropy = -(target * log_probabilities).sum(dim=1).mean()
    voxels = (0, *range(2, logits.dim()))
    predicted, truth = log_probabilities.exp()[:, 1:], target[:, 1:]
    overlap = (predicted * truth).sum(dim=voxels)
    size = predicted.square().sum(dim=voxels) + truth.square().sum(dim=voxels)
    dice = 1 - (2 * overlap + SMOOTHING) / (size + SMOOTHING)
    return 0.5 * (cross_entropy + dice.mean())
