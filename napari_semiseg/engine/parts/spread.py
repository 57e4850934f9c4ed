"""How far several answers to the same crops lie apart, such as those of scales or decoders."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from napari_semiseg.engine.parts.disagreement import total_variation


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
