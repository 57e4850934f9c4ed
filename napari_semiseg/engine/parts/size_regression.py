"""What a regressor's output means in sizes, and how wrong it is (spec §6.5).

The paper regresses counts of pixels, which depend on resolution and want a learning rate of 5e−6.
Percent of the crop do not; and on a logarithmic scale structures of very different sizes are learnt
at one pace. A softplus keeps sizes from being negative, but an output far below 0 gets no gradient
through it and stays there. Called by the curriculum method.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

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
