"""Prototypes of the classes: the mean feature of each over the labelled cases.

Measured once at the end of training with the network that answers, and kept in the checkpoint, so
that similarity maps need no labelled scan later. Features may be coarser than the window; prototypes
and similarities are then those of the linearly interpolated features, which are never made.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.parts.prototypes import (
    SMALLEST_NORM,
    cosine_similarity_map,
    masked_sums,
)
from napari_semiseg.engine.parts.upsampled_features import cosine_of_upsampled, gather
from napari_semiseg.engine.sampling.batches import cut
from napari_semiseg.engine.sampling.patch_cache import CachedCase

CASES_READ = 20


def measure_prototypes(method: Method, cases: Sequence[CachedCase]) -> Tensor | None:
    """Average the method's features over each class, one window around each class and case.

    Parameters
    ----------
    cases : sequence of CachedCase
        Labelled cases; of those with a voxel of a class, the first 20 are read.

    Returns
    -------
    Tensor or None
        (C, F) float32 on the method's device; a class that no case shows has zeros. None where no
        case shows any.
    """
    sums: Tensor | None = None
    counts = torch.zeros(method.plan.classes, device=method.fabric.device)
    for case in [case for case in cases if case.foreground][:CASES_READ]:
        for positions in case.foreground:
            centre = _inside(np.median(positions, axis=0), case, method.plan.patch)
            crop = cut(case.image, case.label, centre, method.plan.patch)
            assert crop.label is not None
            window = crop.image.reshape(1, -1, *method.plan.spatial).to(method.fabric.device)
            features = method.predict(window, uncertainty=False).features
            indices = crop.label.reshape(1, *method.plan.spatial).to(features.device)
            masks = torch.stack([indices == index for index in range(method.plan.classes)], dim=1)
            if features.shape[2:] != masks.shape[2:]:
                masks = gather(masks, features.shape[2:])
            inside, count = masked_sums(features, masks)
            sums = inside[0] if sums is None else sums + inside[0]
            counts += count[0]
    return None if sums is None else sums / counts.clamp_min(1).unsqueeze(1)


def similarity_to_prototypes(features: Tensor, prototypes: Tensor, size: Sequence[int]) -> Tensor:
    """Cosine between the feature of each voxel of a window and each prototype.

    Parameters
    ----------
    features : Tensor
        (B, F, *spatial), of the window's size or coarser.
    prototypes : Tensor
        (C, F); a row of zeros (class never seen) gives −1, “nothing alike”.

    Returns
    -------
    Tensor
        (B, C, *size) in −1…1, float32.
    """
    if tuple(features.shape[2:]) == tuple(size):
        return cosine_similarity_map(features, prototypes)
    cosines = cosine_of_upsampled(features, prototypes.unsqueeze(0), size)
    unknown = prototypes.float().norm(dim=1) <= SMALLEST_NORM
    return cosines.masked_fill(unknown.reshape(1, -1, *(1,) * len(size)), -1.0)


def _inside(centre: np.ndarray, case: CachedCase, patch: tuple[int, int, int]) -> np.ndarray:
    """Shift ``centre`` so that a window around it stays inside the scan where it can."""
    shape, half = np.array(case.image.shape[1:]), np.array(patch) / 2
    low = np.minimum(half, shape / 2) - 0.5
    inside: np.ndarray = np.clip(centre, low, np.maximum(shape - half, shape / 2) - 0.5)
    return inside
