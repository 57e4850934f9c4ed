"""How far two gradients of the same weights point the same way (spec §6.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def dot_and_cosine(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[float, float]:
    """Dot product and cosine of two gradients, as if all weights were one vector.

    Parameters
    ----------
    first, second : sequence of Tensor
        One tensor for each weight, in the same order and of the same shapes.

    Returns
    -------
    product : float
        Sum of the products of all entries.
    cosine : float
        −1…1; 0 where one of the gradients is zero.
    """
    products = [(mine * theirs).sum() for mine, theirs in zip(first, second, strict=True)]
    squares = [
        torch.stack([entry.square().sum() for entry in gradient]).sum()
        for gradient in (first, second)
    ]
    product = torch.stack(products).sum()
    length = (squares[0].sqrt() * squares[1].sqrt()).item()
    return product.item(), product.item() / length if length > 0 else 0.0
