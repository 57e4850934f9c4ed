r"""Prototypes and cosines of features that are interpolated to the labels' size (spec §4.9).

The bottleneck of a network is small but has hundreds of channels; interpolated to the size of the
labels it would fill gigabytes. Nothing here does that, and yet all results are exact, values and
gradients. With the linear interpolation :math:`U` along each axis and low-resolution features
:math:`F` of :math:`D` channels,

.. math::
    \sum_x (UF)(x)\, M(x) = \sum_j F(j)\, (U^T M)(j), \qquad p \cdot UF = U(p \cdot F),

.. math::
    \lVert (UF)(x) \rVert^2 = \sum_{\delta \in \{-1,0,1\}^d} \sum_j
        U(x,j)\, U(x,j+\delta)\; F(j) \cdot F(j+\delta) .

The last holds because a voxel lies between two neighbours along each axis. It turns the norm into the
interpolation of 14 one-channel maps in 3D (5 in 2D; opposite offsets give the same), whatever
:math:`D` is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_semiseg.engine.parts.prototypes import SMALLEST_NORM, SMOOTHING


def interpolation_matrix(small: int, large: int, device: torch.device) -> Tensor:
    """Linear interpolation along one axis, as `torch.nn.functional.interpolate` does it.

    Parameters
    ----------
    small, large : int
        Number of samples before and after, ``large >= small``.

    Returns
    -------
    Tensor
        (large, small) float32; each row has at most two weights, of neighbours, that sum to 1.
    """
    units = torch.eye(small, device=device).unsqueeze(1)
    return F.interpolate(units, size=large, mode="linear", align_corners=False).squeeze(1).T


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Interpolate maps (B, C, *small) linearly to ``size``: the operator U."""
    matrices = [
        interpolation_matrix(small, large, maps.device)
        for small, large in zip(maps.shape[2:], size, strict=True)
    ]
    return _along_axes(maps.float(), matrices)


def gather(masks: Tensor, size: Sequence[int]) -> Tensor:
    """Sum masks (B, C, *large) into the low-resolution voxels that they hang on: Uᵀ.

    Each large voxel is shared among its low-resolution neighbours, so totals are kept.
    """
    matrices = [
        interpolation_matrix(small, large, masks.device).T
        for large, small in zip(masks.shape[2:], size, strict=True)
    ]
    return _along_axes(masks.float(), matrices)


def masked_average_of_upsampled(features: Tensor, masks: Tensor) -> Tensor:
    """Masked average pooling of interpolated features, without interpolating them.

    Parameters
    ----------
    features : Tensor
        (B, F, *small).
    masks : Tensor
        (B, C, *large) weights 0…1, one channel a class.

    Returns
    -------
    Tensor
        (B, C, F) float32: `masked_average` of the interpolated features; zeros for an empty mask.
    """
    weights = gather(masks, features.shape[2:]).flatten(2)
    sums = torch.einsum("bcn,bfn->bcf", weights, features.float().flatten(2))
    return sums / (masks.float().flatten(2).sum(dim=2, keepdim=True) + SMOOTHING)


def squared_norm_of_upsampled(features: Tensor, size: Sequence[int]) -> Tensor:
    """Squared length of each interpolated feature.

    Parameters
    ----------
    features : Tensor
        (B, F, *small).

    Returns
    -------
    Tensor
        (B, 1, *size) float32, not negative.
    """
    features = features.float()
    axes = [
        _products_of_neighbours(interpolation_matrix(small, large, features.device))
        for small, large in zip(features.shape[2:], size, strict=True)
    ]
    parts: dict[tuple[int, ...], Tensor] = {}
    for offsets in itertools.product((-1, 0, 1), repeat=len(axes)):
        if offsets < (0,) * len(axes):
            continue  # the opposite offset stands for this one
        if any(products[offset] is None for products, offset in zip(axes, offsets, strict=True)):
            continue
        here = (..., *[slice(max(0, -offset), min(0, -offset) or None) for offset in offsets])
        there = (..., *[slice(max(0, offset), min(0, offset) or None) for offset in offsets])
        inner = (features[here] * features[there]).sum(dim=1, keepdim=True)
        parts[offsets] = 2 * inner if any(offsets) else inner
    for axis, products in enumerate(axes, start=2):
        parts = _added_along(axis, products, parts)
    (total,) = parts.values()
    return total.clamp_min(0.0)


def cosine_of_upsampled(features: Tensor, prototypes: Tensor, size: Sequence[int]) -> Tensor:
    """Cosine between each interpolated feature and each prototype.

    Parameters
    ----------
    features : Tensor
        (B, F, *small).
    prototypes : Tensor
        (B, C, F) prototypes of their own for each image, or (1, C, F) for all.

    Returns
    -------
    Tensor
        (B, C, *size) in −1…1, float32; 0 for a prototype of zeros.
    """
    directions = F.normalize(prototypes.float(), dim=2, eps=SMALLEST_NORM)
    projected = torch.matmul(directions, features.float().flatten(2))
    projected = projected.reshape(*projected.shape[:2], *features.shape[2:])
    squared = squared_norm_of_upsampled(features, size).clamp_min(SMALLEST_NORM**2)
    return upsample(projected, size) * squared.rsqrt()


def _products_of_neighbours(matrix: Tensor) -> dict[int, Tensor | None]:
    """Products U(x, j) U(x, j + δ) for δ of −1, 0, 1, as (large, j); None where all are zero."""
    large, small = matrix.shape
    neighbours = matrix[:, :-1] * matrix[:, 1:] if 1 < small < large else None
    return {0: matrix.square(), 1: neighbours, -1: neighbours}


def _added_along(
    axis: int, products: dict[int, Tensor | None], parts: dict[tuple[int, ...], Tensor]
) -> dict[tuple[int, ...], Tensor]:
    """Interpolate along one axis, and add up what differs in the offset along it only.

    So the last and largest axis is left with three maps instead of fourteen.
    """
    sums: dict[tuple[int, ...], Tensor] = {}
    for (offset, *others), part in parts.items():
        matrix = products[offset]
        assert matrix is not None
        longer, left = _along_axis(part, axis, matrix), tuple(others)
        sums[left] = sums[left] + longer if left in sums else longer
    return sums


def _along_axes(maps: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Multiply each spatial axis of ``maps`` (B, C, *spatial) by its matrix (after, before)."""
    for axis, matrix in enumerate(matrices, start=2):
        maps = _along_axis(maps, axis, matrix)
    return maps


def _along_axis(maps: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Multiply one axis of ``maps`` by ``matrix`` (after, before)."""
    rows = matrix @ maps.flatten(axis + 1) if axis + 1 < maps.dim() else maps @ matrix.T
    return rows.reshape(*maps.shape[:axis], len(matrix), *maps.shape[axis + 1 :])
