"""Signed distance maps of labels, and the way back to masks (spec §4.7, §4.8).

Negative inside, positive outside, one channel for each foreground class. The training targets are
normalised to −1…1 for a tanh head; `exact_distance` gives millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import edt
import numpy as np
import torch
from scipy.ndimage import binary_erosion
from torch import Tensor

STEEPNESS = 1500.0


@dataclass(frozen=True)
class SignedDistanceOptions:
    """How a distance becomes a target in −1…1.

    Attributes
    ----------
    normalisation : {"per_side_max", "clip"}
        Divide each side by its largest distance in the crop (the papers' code: the same anatomy gets
        other values in other crops), or divide by `reach` and clip (the head then speaks mm).
    boundary : {"inner", "half_voxel"}
        Where zero lies: on the object's own border voxels (the papers' code: a threshold above 0.5
        then loses them), or on the faces between inside and outside voxels.
    reach : float
        Distance in mm that ``"clip"`` maps to 1.
    """

    normalisation: Literal["per_side_max", "clip"] = "per_side_max"
    boundary: Literal["inner", "half_voxel"] = "inner"
    reach: float = 10.0


def signed_distance_target(
    labels: Tensor, classes: int, spacing: Sequence[float], options: SignedDistanceOptions
) -> Tensor:
    """Signed distance maps of a batch of labels.

    Parameters
    ----------
    labels : Tensor
        (B, *spatial) class indices.
    classes : int
        Number of classes with the background, C.
    spacing : sequence of float
        Voxel size of the spatial axes in mm; ``"per_side_max"`` counts voxels, as the papers do.
    options : SignedDistanceOptions
        See there.

    Returns
    -------
    Tensor
        (B, C − 1, *spatial) float32 in −1…1 on the device of ``labels``. A class that is absent from
        a crop gets +1 everywhere, one that fills it −1.
    """
    indices = labels.cpu().numpy()
    maps = np.empty((len(indices), classes - 1, *indices.shape[1:]), np.float32)
    for crop, target in zip(indices, maps, strict=True):
        for index in range(1, classes):
            target[index - 1] = _normalised(crop == index, spacing, options)
    return torch.from_numpy(maps).to(labels.device)


def _normalised(
    mask: np.ndarray, spacing: Sequence[float], options: SignedDistanceOptions
) -> np.ndarray:
    if not mask.any():
        return np.ones(mask.shape, np.float32)
    if mask.all():
        return -np.ones(mask.shape, np.float32)
    unit = (1.0,) * mask.ndim if options.normalisation == "per_side_max" else tuple(spacing)
    distance = exact_distance(mask, unit, half_voxel=options.boundary == "half_voxel")
    if options.normalisation == "clip":
        return np.clip(distance / options.reach, -1.0, 1.0)
    outside, inside = distance.max(), -distance.min()
    scaled = np.where(mask, distance / max(inside, 1e-6), distance / max(outside, 1e-6))
    return scaled.astype(np.float32)


def exact_distance(
    mask: np.ndarray, spacing: Sequence[float], half_voxel: bool = True
) -> np.ndarray:
    """Euclidean distance to the boundary of ``mask``, negative inside.

    Parameters
    ----------
    mask : ndarray of bool
        2D or 3D.
    spacing : sequence of float
        Voxel size along each axis; distances come in its unit.
    half_voxel : bool, default True
        Put zero on the faces between inside and outside, half a voxel of the finest axis before the
        nearest voxel centre. False puts zero on the object's own border voxels, as the papers' code.

    Returns
    -------
    ndarray
        float32, same shape. Empty masks give +inf, full ones −inf.
    """
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    if mask.all():
        return np.full(mask.shape, -np.inf, np.float32)
    # Two labels in one pass: each voxel gets the distance to the nearest voxel of the other side.
    both = edt.edt(
        np.ascontiguousarray(mask.astype(np.uint8) + 1),
        anisotropy=tuple(float(mm) for mm in spacing),
        black_border=False,
        parallel=1,
    )
    if half_voxel:
        both = both - 0.5 * min(spacing)
        return np.where(mask, -both, both).astype(np.float32)
    signed = np.where(mask, -both, both)
    border = mask & ~binary_erosion(mask, border_value=1)
    signed[border] = 0.0
    return signed.astype(np.float32)


def mask_probability(signed_distance: Tensor, steepness: float = STEEPNESS) -> Tensor:
    r"""Map signed distances to foreground probabilities, :math:`\sigma(-k \varphi)`.

    The papers print the opposite sign; with distances negative inside, this is the right one
    (spec §4.8).

    Parameters
    ----------
    signed_distance : Tensor
        (B, C − 1, *spatial), negative inside, float32.
    steepness : float
        k; at 1500 only voxels very near the zero level get a gradient.
    """
    return torch.sigmoid(-steepness * signed_distance.float())
