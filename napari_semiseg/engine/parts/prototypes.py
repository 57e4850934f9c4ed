"""Class prototypes in feature space and the cosine similarity to them (spec §4.9)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTHING = 1e-5
SMALLEST_NORM = 1e-8


def masked_sums(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Sum features inside masks.

    Parameters
    ----------
    features : Tensor
        (B, F, *spatial).
    masks : Tensor
        (B, C, *spatial) weights 0…1, one channel a class.

    Returns
    -------
    sums : Tensor
        (B, C, F).
    counts : Tensor
        (B, C) total weight of each mask.
    """
    flat = features.float().flatten(2)
    weights = masks.float().flatten(2)
    return torch.einsum("bcn,bfn->bcf", weights, flat), weights.sum(dim=2)


def masked_average(features: Tensor, masks: Tensor) -> Tensor:
    """Masked average pooling: the mean feature inside each mask, (B, C, F)."""
    sums, counts = masked_sums(features, masks)
    return sums / (counts.unsqueeze(-1) + SMOOTHING)


def cosine_similarity_map(features: Tensor, prototypes: Tensor) -> Tensor:
    """Cosine between each voxel's feature and each class prototype.

    Parameters
    ----------
    features : Tensor
        (B, F, *spatial).
    prototypes : Tensor
        (C, F); a row of zeros (class never seen) gives −1, “nothing alike”.

    Returns
    -------
    Tensor
        (B, C, *spatial) in −1…1, float32.
    """
    unit = F.normalize(features.float(), dim=1, eps=SMALLEST_NORM)
    known = prototypes.float().norm(dim=1) > SMALLEST_NORM
    rows = F.normalize(prototypes.float(), dim=1, eps=SMALLEST_NORM)
    similarity = torch.einsum("bf...,cf->bc...", unit, rows)
    shape = (1, -1) + (1,) * (features.dim() - 2)
    return torch.where(known.reshape(shape), similarity, torch.full_like(similarity, -1.0))
