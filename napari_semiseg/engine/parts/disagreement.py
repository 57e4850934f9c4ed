"""How far two answers of a method to the same crops lie apart (spec §6.1, §6.2).

Teacher and student give probabilities of all classes, a signed distance head one mask for each
foreground class; both become comparable here.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor


def total_variation(first: Tensor, second: Tensor) -> Tensor:
    """Half the summed absolute difference of two answers: 0 the same, 1 the opposite.

    Parameters
    ----------
    first, second : Tensor
        (B, C, *spatial) probabilities that sum to 1 over C.

    Returns
    -------
    Tensor
        (B, *spatial) in 0…1; with two classes the difference of the foreground probabilities.
    """
    return (0.5 * (first - second).abs().sum(dim=1)).clamp(0.0, 1.0)


def class_probabilities(masks: Tensor) -> Tensor:
    """Complete foreground masks with a background so that each voxel's probabilities sum to 1.

    Parameters
    ----------
    masks : Tensor
        (B, C − 1, *spatial) in 0…1, one independent mask for each foreground class.

    Returns
    -------
    Tensor
        (B, C, *spatial). The background gets what the masks leave; where masks overlap to more than
        1, they share the voxel in proportion and leave nothing.
    """
    covered = masks.sum(dim=1, keepdim=True)
    background = (1.0 - covered).clamp_min(0.0)
    return torch.cat([background, masks], dim=1) / covered.clamp_min(1.0)


def mean_total_variation(answers: Sequence[Tensor]) -> Tensor:
    """Average the total variation over every pair of answers.

    Parameters
    ----------
    answers : sequence of Tensor
        (B, C, *spatial) probabilities that sum to 1 over C; at least one.

    Returns
    -------
    Tensor
        (B, *spatial) in 0…1: 0 where all are the same; 0 throughout with one answer.
    """
    pairs = [total_variation(first, second) for first, second in combinations(answers, 2)]
    return torch.stack(pairs).mean(dim=0) if pairs else torch.zeros_like(answers[0][:, 0])
