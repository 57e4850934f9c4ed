"""Where a teacher is certain enough to be believed, as a map (UA-MT, UG-MCL; spec §4.5, §7.3).

In training a voxel counts while the entropy of the teacher's dropout passes lies below a threshold
that rises from 3/4 of ln C to ln C. At the end every voxel counts, so the mask of any one moment says
little; the share of training in which a voxel counts says it for all moments.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from napari_semiseg.engine.parts.ramps import certainty_threshold
from napari_semiseg.engine.parts.uncertainty import (
    dropout_active,
    entropy,
    mean_of_passes,
)


@torch.no_grad()
def teacher_entropy(teacher: nn.Module, images: Tensor, passes: int, noise: float) -> Tensor:
    """Entropy of a teacher's mean answer over noisy dropout passes, nothing in it being changed.

    Parameters
    ----------
    teacher : nn.Module
        Network that returns a `NetworkOutput`; its batch statistics are used, not collected.
    images : Tensor
        (B, channels, *spatial).
    passes : int
        Number of passes.
    noise : float
        Deviation of the input noise of each pass.

    Returns
    -------
    Tensor
        (B, *spatial), 0…ln C.
    """
    teacher.eval()
    with dropout_active(teacher):
        mean = mean_of_passes(
            lambda crops: torch.softmax(teacher(crops).logits.float(), dim=1),
            images,
            passes,
            noise,
        )
    return entropy(mean)


def certain_share(uncertainty: Tensor, classes: int) -> Tensor:
    """Share of semi-supervised training in which a voxel of this entropy counts as certain.

    Parameters
    ----------
    uncertainty : Tensor
        (B, *spatial) entropy in nats, 0…ln C.
    classes : int
        Number of classes C.

    Returns
    -------
    Tensor
        (B, *spatial) in 0…1: 1 where the voxel counts from the start, s where it counts in the last
        share s, that is ``uncertainty < certainty_threshold(1 − s, classes)`` from there on.
    """
    lowest = certainty_threshold(0.0, classes) / math.log(classes)
    height = (uncertainty / math.log(classes) - 0.75).clamp_min(1e-12) / 0.25
    # The inverse of the threshold's Gaussian ramp.
    share = torch.sqrt(-torch.log(height.clamp_max(1.0)) / 5.0)
    early = uncertainty / math.log(classes) < lowest
    return torch.where(early, 1.0, share).clamp(0.0, 1.0)
