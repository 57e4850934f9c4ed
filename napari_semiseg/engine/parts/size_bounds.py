"""Sizes of structures and the penalty for leaving a band around a wanted size (spec §6.5).

A size is a share of a crop's voxels, 0…1, so that nothing here depends on resolution: what a network
predicts is summed from its probabilities, and what is wanted comes from a regressor or from labels.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_semiseg.engine.parts.segmentation_loss import IGNORED

SMALLEST_SHARE = 0.005
"""Sizes below this share of a crop are relative to it: otherwise one voxel of a structure that is
absent would weigh more than half of one that is there."""


def soft_sizes(probabilities: Tensor, counted: Tensor | None = None) -> Tensor:
    """Sum the foreground probabilities of each class, as a share of the crop.

    Parameters
    ----------
    probabilities : Tensor
        (B, C, *spatial), softmax over C.
    counted : Tensor, optional
        (B, *spatial) bool; only these voxels are summed. The share is of the whole crop.

    Returns
    -------
    Tensor
        (B, C − 1) in 0…1; gradients reach the probabilities.
    """
    foreground = probabilities[:, 1:].float()
    if counted is not None:
        foreground = foreground * counted.unsqueeze(1)
    return foreground.flatten(2).mean(dim=2)


def labelled_sizes(labels: Tensor, classes: int) -> Tensor:
    """Count the voxels of each foreground class in labels, as a share of the crop.

    Parameters
    ----------
    labels : Tensor
        (B, *spatial) int64 class indices; ignored voxels belong to no class.

    Returns
    -------
    Tensor
        (B, C − 1) in 0…1.
    """
    flat = labels.flatten(1)
    shares = [(flat == index).float().mean(dim=1) for index in range(1, classes)]
    return torch.stack(shares, dim=1)


def wholly_labelled(labels: Tensor) -> Tensor:
    """Return which crops have no ignored voxel, (B,) bool, of labels (B, *spatial)."""
    return (labels != IGNORED).flatten(1).all(dim=1)


def size_bounds(sizes: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Return the band around wanted sizes, ``(1 ∓ γ) r``; a negative size wants an absent structure.

    Parameters
    ----------
    sizes : Tensor
        (B, C − 1) wanted sizes r, of any sign.
    tolerance : float
        γ, 0 for an equality.

    Returns
    -------
    lower, upper : Tensor
        (B, C − 1), not below 0.
    """
    return ((1 - tolerance) * sizes).clamp_min(0), ((1 + tolerance) * sizes).clamp_min(0)


def bound_penalty(sizes: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    r"""Square how far sizes lie outside a band; 0 inside.

    .. math:: \max(0, a - V)^2 + \max(0, V - b)^2

    Parameters
    ----------
    sizes, lower, upper : Tensor
        (B, C − 1) shares of a crop: V, a and b.

    Returns
    -------
    Tensor
        (B, C − 1); gradients reach ``sizes`` only.
    """
    lower, upper = lower.detach(), upper.detach()
    return (lower - sizes).clamp_min(0).square() + (sizes - upper).clamp_min(0).square()


def relative_bound_penalty(sizes: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """As `bound_penalty`, but relative: small structures weigh as much as large ones.

    Relative to the larger of the wanted and the present size, so that a small structure that is
    predicted far too large, as by a network that has just begun, does not drown all other losses.

    Parameters
    ----------
    sizes, lower, upper : Tensor
        (B, C − 1) shares of a crop.

    Returns
    -------
    Tensor
        (B, C − 1) in 0…1; 0.01 for a size 10 % of the wanted one below its band.
    """
    wanted = ((lower + upper) / 2).detach()
    scale = torch.maximum(wanted, sizes.detach()).clamp_min(SMALLEST_SHARE)
    return bound_penalty(sizes, lower, upper) / scale.square()


def mean_over_known(penalties: Tensor, known: Tensor) -> Tensor:
    """Sum penalties (B, C − 1) over classes and average them over crops of known size, (B,) bool.

    Returns
    -------
    Tensor
        Scalar; 0 where no crop's size is known.
    """
    each = torch.where(known, penalties.sum(dim=1), 0.0)
    return each.sum() / known.sum().clamp_min(1)


Scale = Literal["log", "softplus", "linear"]


PERCENT = 100.0


SMALLEST_PERCENT = 1e-3  # that an output stands for where a softplus never reaches 0


LARGEST_LOGARITHM = 4.7  # just above ln 100: no structure is larger than its crop


def sizes_of(outputs: Tensor, scale: Scale) -> Tensor:
    """Turn a regressor's outputs into shares of the crop.

    Parameters
    ----------
    outputs : Tensor
        (B, C − 1) unbounded.
    scale : {"log", "softplus", "linear"}
        What they are: ln(1 + percent); percent before a softplus; or percent, as in the paper.

    Returns
    -------
    Tensor
        (B, C − 1), at most 1. Negative ones, which only a softplus rules out, mean an absent class.
    """
    if scale == "log":
        percent = torch.expm1(outputs.clamp_max(LARGEST_LOGARITHM))
    elif scale == "softplus":
        percent = F.softplus(outputs)
    else:
        percent = outputs
    return (percent / PERCENT).clamp_max(1.0)


def outputs_of(sizes: Tensor, scale: Scale) -> Tensor:
    """Return the outputs (B, C − 1) that `sizes_of` turns into ``sizes``, shares of 0…1."""
    percent = PERCENT * sizes
    if scale == "log":
        return torch.log1p(percent)
    if scale == "softplus":
        percent = percent.clamp_min(SMALLEST_PERCENT)
        return percent + torch.log(-torch.expm1(-percent))
    return percent


def regression_error(outputs: Tensor, sizes: Tensor, scale: Scale) -> Tensor:
    """Square the difference between a regressor's outputs and true sizes, on the regressor's scale.

    Parameters
    ----------
    outputs : Tensor
        (B, C − 1) unbounded; gradients reach them.
    sizes : Tensor
        (B, C − 1) true shares of the crop, 0…1.
    scale : {"log", "softplus", "linear"}
        As in `sizes_of`.

    Returns
    -------
    Tensor
        (B, C − 1).
    """
    if scale == "softplus":
        return (F.softplus(outputs) - PERCENT * sizes).square()
    return (outputs - outputs_of(sizes, scale)).square()
