"""Soft pseudo-labels: probabilities made more decided (MC-Net+)."""

from __future__ import annotations

import torch
from torch import Tensor


def sharpen(logits: Tensor, temperature: float) -> Tensor:
    r"""Turn class scores into probabilities that are nearer to 0 and 1 than their softmax p.

    .. math:: p_c^{1/T} / \sum_k p_k^{1/T}

    with two classes the binary form of MC-Net+. It equals the softmax of the scores divided by T, and
    is computed so: the power of a small probability would be zero.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial); gradients reach them.
    temperature : float
        T above 0; 1 leaves the softmax as it is, towards 0 the result is one-hot.

    Returns
    -------
    Tensor
        (B, C, *spatial) float32 probabilities that sum to 1 over C.
    """
    return torch.softmax(logits.float() / temperature, dim=1)
