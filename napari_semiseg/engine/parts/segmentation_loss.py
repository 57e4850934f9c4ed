"""Supervised losses on class indices (spec §4.1); ignored voxels count nowhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = 255
SMOOTHING = 1e-5


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy over the voxels that are not ignored.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    labels : Tensor
        (B, *spatial) int64 class indices, 255 ignored.

    Returns
    -------
    Tensor
        Scalar; 0 where every voxel is ignored.
    """
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp_min(1)


def dice_loss(probabilities: Tensor, labels: Tensor, only_present: bool = False) -> Tensor:
    r"""One minus the Dice overlap, averaged over the foreground classes.

    .. math:: 1 - \frac{2 \sum p g + \epsilon}{\sum p^2 + \sum g^2 + \epsilon}

    with sums over the whole batch and all voxels (``Dice2`` of spec §4.1).

    Parameters
    ----------
    probabilities : Tensor
        (B, C, *spatial), softmax over C; the background channel is not scored.
    labels : Tensor
        (B, *spatial) int64 class indices, 255 ignored.
    only_present : bool
        Leave classes out that no label of the batch has: their term is 1 with next to no gradient,
        whatever is predicted. The loss is 0 where no class is present.
    """
    counted = (labels != IGNORED).float()
    terms, present = [], []
    for index in range(1, probabilities.shape[1]):
        predicted = probabilities[:, index].float() * counted
        truth = (labels == index).float()
        overlap = (predicted * truth).sum()
        voxels = truth.sum()
        size = (predicted * predicted).sum() + voxels
        terms.append(1 - (2 * overlap + SMOOTHING) / (size + SMOOTHING))
        present.append((voxels > 0).float())
    if not only_present:
        return torch.stack(terms).mean()
    scored = torch.stack(present)
    return (torch.stack(terms) * scored).sum() / scored.sum().clamp_min(1.0)


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Half cross-entropy, half Dice: the supervised loss of UA-MT and most of its successors.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    labels : Tensor
        (B, *spatial) int64 class indices, 255 ignored.
    """
    probabilities = torch.softmax(logits.float(), dim=1)
    return 0.5 * (cross_entropy(logits, labels) + dice_loss(probabilities, labels))


def loss_on_labels(logits: Tensor, labels: Tensor, kind: str) -> Tensor:
    """Return the loss that a method's settings choose.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    labels : Tensor
        (B, *spatial) int64 class indices, 255 ignored.
    kind : {"dice", "cross-entropy", "dice+cross-entropy"}
        One of the two alone, or half of each.
    """
    if kind == "dice":
        return dice_loss(torch.softmax(logits.float(), dim=1), labels)
    return {"cross-entropy": cross_entropy, "dice+cross-entropy": segmentation_loss}[kind](
        logits, labels
    )


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
