"""Hard labels that a network gives to crops without labels (spec §6.1)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Choice = Literal["argmax", "sample"]


@torch.no_grad()
def hard_labels(logits: Tensor, choice: Choice = "argmax") -> Tensor:
    """Choose one class for each voxel.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    choice : {"argmax", "sample"}
        The most probable class, or one drawn with the softmax's probabilities.

    Returns
    -------
    Tensor
        (B, *spatial) int64 class indices without a gradient.
    """
    scores = logits.float()
    if choice == "sample":
        # The largest of the log-probabilities plus Gumbel noise falls on each class with its
        # probability; minus the logarithm of an exponential variable is such noise.
        scores = scores - torch.empty_like(scores).exponential_().log()
    return scores.argmax(dim=1)
