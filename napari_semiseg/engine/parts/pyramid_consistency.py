"""Agreement of the answers at several scales with their mean, less where they differ (URPC, spec §7.8).

All is computed from log-probabilities: the authors' code takes the logarithm of a softmax, which is
minus infinity once a scale is sure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Divergence = Literal["of_mean", "of_scale"]
SMALLEST_WEIGHT = 1e-8


@dataclass(frozen=True, eq=False)
class Pyramid:
    """Answers at S scales to the same crops.

    Attributes
    ----------
    probabilities : Tensor
        (S, B, C, *spatial).
    mean : Tensor
        (B, C, *spatial) mean over the scales; gradients flow through it.
    discrepancy : Tensor
        (S, B, *spatial) Kullback-Leibler divergence D between each scale and the mean, in nats, at
        least 0; 0 where all scales say the same.
    """

    probabilities: Tensor
    mean: Tensor
    discrepancy: Tensor


def pyramid_of(logits: Sequence[Tensor], divergence: Divergence = "of_mean") -> Pyramid:
    r"""Compare each scale with the mean of all.

    Parameters
    ----------
    logits : sequence of Tensor
        S tensors (B, C, *spatial), all of full size.
    divergence : {"of_mean", "of_scale"}
        :math:`\sum_c \bar p_c \ln (\bar p_c / p_{s,c})` (the authors' code), or
        :math:`\sum_c p_{s,c} \ln (p_{s,c} / \bar p_c)` (the paper's equation).
    """
    logarithms = torch.stack([torch.log_softmax(scores.float(), dim=1) for scores in logits])
    log_mean = torch.logsumexp(logarithms, dim=0) - math.log(len(logits))
    probabilities, mean = logarithms.exp(), log_mean.exp()
    if divergence == "of_mean":
        terms = mean * (log_mean - logarithms)
    else:
        terms = probabilities * (logarithms - log_mean)
    # Rounding makes a divergence of zero negative now and then.
    return Pyramid(probabilities, mean, terms.sum(dim=2).clamp_min(0.0))


def rectified_consistency(pyramid: Pyramid) -> Tensor:
    r"""Uncertainty-rectified consistency: voxels where a scale differs much count less there.

    .. math:: \frac{1}{S} \sum_s \left[
        \frac{\mathrm{mean}\{(\bar p - p_s)^2 e^{-D_s}\}}{\mathrm{mean}\{e^{-D_s}\}}
        + \mathrm{mean}\{D_s\} \right]

    The second term keeps the discrepancy from growing to escape the first.

    Returns
    -------
    Tensor
        Scalar; 0 where all scales say the same.
    """
    voxels = tuple(range(1, pyramid.discrepancy.dim()))
    trust = torch.exp(-pyramid.discrepancy)
    squares = (pyramid.mean - pyramid.probabilities).square().mean(dim=2)
    agreement = (squares * trust).mean(dim=voxels) / (trust.mean(dim=voxels) + SMALLEST_WEIGHT)
    return (agreement + pyramid.discrepancy.mean(dim=voxels)).mean()
