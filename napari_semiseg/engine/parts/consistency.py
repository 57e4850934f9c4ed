"""Consistency between two predictions of the same crops (spec §4.6)."""

from __future__ import annotations

from torch import Tensor


def mean_squared_difference(student: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of probabilities; gradients reach the student only.

    Parameters
    ----------
    student, target : Tensor
        (B, C, *spatial) probabilities.
    """
    return (student - target.detach()).square().mean()


def certain_squared_difference(student: Tensor, target: Tensor, certain: Tensor) -> Tensor:
    """Mean squared difference over the voxels that are certain.

    Parameters
    ----------
    student, target : Tensor
        (B, C, *spatial) probabilities; gradients reach the student only.
    certain : Tensor
        (B, *spatial) bool or 0/1 mask.

    Returns
    -------
    Tensor
        Scalar; 0 where no voxel is certain.
    """
    mask = certain.unsqueeze(1).to(student.dtype)
    difference = (student - target.detach()).square() * mask
    return difference.sum() / (student.shape[1] * mask.sum() + 1e-16)
