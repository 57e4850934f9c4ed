"""Signed distance maps of labels, and the way back to masks (spec §4.7, §4.8).

Negative inside, positive outside, one channel for each foreground class. The training targets are
normalised to −1…1 for a tanh head; `exact_distance` gives millimetres. Ignored voxels are on neither
side: they bound nothing, and their own values mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.parts.segmentation_loss import IGNORED
from napari_semiseg.engine.parts.voxel_faces import (
    distance_to_faces,
    distance_to_other_side,
    touches,
)

STEEPNESS = 1500.0

# Distance transforms release the interpreter's lock; one thread is enough to be ready in time.
_WORKER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="signed-distance")


@dataclass(frozen=True)
class SignedDistanceOptions:
    """How a distance becomes a target in −1…1.

    Attributes
    ----------
    normalisation : {"per_side_max", "clip", "none"}
        Divide each side by its largest distance (the papers' code: in a crop, the same anatomy gets
        other values than in the next); divide by `reach` and clip (the head then speaks mm); or
        leave the distance as it is and let the head's own tanh squash it, tanh(distance / reach).
    boundary : {"inner", "half_voxel"}
        Where zero lies: on the object's own border voxels (the papers' code: a threshold above 0.5
        then loses them), or on the faces between inside and outside voxels.
    reach : float
        Distance that ``"clip"`` maps to 1 and ``"none"`` to tanh 1.
    unit : {"auto", "voxel", "mm"}
        Unit of the distance. ``"auto"`` counts voxels for ``"per_side_max"``, as the papers do, and
        mm where there is a reach.
    """

    normalisation: Literal["per_side_max", "clip", "none"] = "per_side_max"
    boundary: Literal["inner", "half_voxel"] = "inner"
    reach: float = 10.0
    unit: Literal["auto", "voxel", "mm"] = "auto"

    @property
    def in_voxels(self) -> bool:
        """Whether distances count voxels, whatever their size."""
        if self.unit == "auto":
            return self.normalisation == "per_side_max"
        return self.unit == "voxel"

    @property
    def millimetres(self) -> float | None:
        """Millimetres that a value of 1 stands for; None where values are not proportional to mm."""
        return self.reach if self.normalisation == "clip" and not self.in_voxels else None


def signed_distance_target(
    labels: Tensor, classes: int, spacing: Sequence[float], options: SignedDistanceOptions
) -> Tensor:
    """Signed distance maps of a batch of labels.

    Parameters
    ----------
    labels : Tensor
        (B, *spatial) class indices, 255 ignored.
    spacing : sequence of float
        Voxel size of the spatial axes in mm.

    Returns
    -------
    Tensor
        (B, C − 1, *spatial) float32 in −1…1 on the device of ``labels``. A class that is absent from
        a crop gets +1 everywhere, one that fills it −1. Ignored voxels have a value without meaning.
    """
    maps = _targets(labels.cpu().numpy(), classes, spacing, options)
    return maps.to(labels.device)


def begin_signed_distance_target(
    labels: Tensor, classes: int, spacing: Sequence[float], options: SignedDistanceOptions
) -> Future[Tensor]:
    """Start `signed_distance_target` in a thread, to be ready when the network's answer is.

    Takes the same as `signed_distance_target`. Call it before the forward pass: an accelerator's
    labels are copied here, which waits for all that it still has to do.
    """
    return _WORKER.submit(_targets, labels.cpu().numpy(), classes, tuple(spacing), options)


def _targets(
    labels: np.ndarray, classes: int, spacing: Sequence[float], options: SignedDistanceOptions
) -> Tensor:
    maps = np.empty((len(labels), classes - 1, *labels.shape[1:]), np.float32)
    for crop, target in zip(labels, maps, strict=True):
        unknown: np.ndarray | None = crop == IGNORED
        if not np.any(unknown):
            unknown = None
        for index in range(1, classes):
            target[index - 1] = _normalised(crop == index, unknown, spacing, options)
    return torch.from_numpy(maps)


def _normalised(
    mask: np.ndarray,
    unknown: np.ndarray | None,
    spacing: Sequence[float],
    options: SignedDistanceOptions,
) -> np.ndarray:
    unit = (1.0,) * mask.ndim if options.in_voxels else tuple(spacing)
    distance = exact_distance(mask, unit, options.boundary == "half_voxel", unknown)
    if np.isinf(distance.flat[0]):
        signs: np.ndarray = np.sign(distance)
        return signs
    if options.normalisation == "clip":
        return np.clip(distance / options.reach, -1.0, 1.0)
    if options.normalisation == "none":
        return np.tanh(distance / options.reach)
    outside, inside = distance.max(), -distance.min()
    scaled = np.where(mask, distance / max(inside, 1e-6), distance / max(outside, 1e-6))
    return np.asarray(scaled, np.float32)


def exact_distance(
    mask: np.ndarray,
    spacing: Sequence[float],
    half_voxel: bool = True,
    unknown: np.ndarray | None = None,
) -> np.ndarray:
    """Euclidean distance to the boundary of ``mask``, negative inside.

    Parameters
    ----------
    mask : ndarray of bool
        2D or 3D.
    spacing : sequence of float
        Voxel size along each axis; distances come in its unit.
    half_voxel : bool, default True
        Put zero on the faces between inside and outside (see `distance_to_faces`). False puts it on
        the object's own border voxels, as the papers' code.
    unknown : ndarray of bool, optional
        Voxels that are on neither side, so that distances are to the nearest voxel that is known.

    Returns
    -------
    ndarray
        float32, same shape. Where no voxel is known to be inside, +inf; where none is known to be
        outside, −inf. 0 in unknown voxels.
    """
    inside = mask if unknown is None else mask & ~unknown
    outside = ~mask if unknown is None else ~(mask | unknown)
    if not inside.any():
        return np.full(mask.shape, np.inf, np.float32)
    if not outside.any():
        return np.full(mask.shape, -np.inf, np.float32)
    measure = distance_to_faces if half_voxel else distance_to_other_side
    distance = measure(inside, outside, spacing)
    signed = np.where(inside, -distance, distance)
    if not half_voxel:
        signed[touches(inside, outside)] = 0.0
    if unknown is not None:
        signed[unknown] = 0.0
    return signed


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
