"""Segmenting one set of crops with the class prototypes of another (CPCL, spec §6.4).

Prototypes are mean features under a mask; a voxel's class probabilities are the softmax of its scaled
cosines to them. A class without a voxel has no prototype: it takes no part, and voxels of it are not
scored.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.prototypes import SMALLEST_NORM
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, cross_entropy
from napari_semiseg.engine.parts.upsampled_features import (
    cosine_of_upsampled,
    masked_average_of_upsampled,
)

ABSENT = (
    -1e4
)  # score of a class without a prototype: probability 0, and no NaN where all are absent


@dataclass(frozen=True, eq=False)
class ClassPrototypes:
    """Prototypes of the classes in each of several images.

    Attributes
    ----------
    vectors : Tensor
        (B, C, F); zeros where a class is absent.
    present : Tensor
        (B, C) bool, whether the image shows the class.
    """

    vectors: Tensor
    present: Tensor

    def present_over(self, size: torch.Size) -> Tensor:
        """Return `present` with an axis of 1 for each of ``size``, (B, C, 1, …)."""
        return self.present.reshape(*self.present.shape, *(1,) * len(size))

    def mean_over_images(self) -> ClassPrototypes:
        """Average each class over the images that show it; one set (1, C, F) for all images."""
        counts = self.present.sum(dim=0, keepdim=True)
        mean = self.vectors.sum(dim=0, keepdim=True) / counts.clamp_min(1).unsqueeze(-1)
        return ClassPrototypes(mean, counts > 0)

    def paired_with(self, images: int) -> ClassPrototypes:
        """Give image i of ``images`` the prototypes of image i, from the start again if too few."""
        turns = torch.arange(images, device=self.vectors.device) % len(self.vectors)
        return ClassPrototypes(self.vectors[turns], self.present[turns])

    def separation(self) -> float:
        """Mean cosine distance between the classes that are present, 0…2; 0 with fewer than two."""
        known = self.vectors.detach()[self.present]
        if len(known) < 2:
            return 0.0
        directions = F.normalize(known, dim=1, eps=SMALLEST_NORM)
        pairs = torch.triu_indices(len(known), len(known), offset=1)
        likeness = (directions @ directions.T)[pairs[0], pairs[1]]
        return float(1 - likeness.mean())


def prototypes_of(
    features: Tensor, labels: Tensor, classes: int, confidence: Tensor | None = None
) -> ClassPrototypes:
    """Average each image's features over the voxels of each class.

    Parameters
    ----------
    features : Tensor
        (B, F, *small), interpolated to the size of the labels; gradients reach them.
    labels : Tensor
        (B, *spatial) class indices, 255 ignored.
    confidence : Tensor, optional
        (B, C, *spatial) probabilities by which voxels count; taken as constants. By default each
        voxel counts the same.
    """
    masks = torch.stack([labels == index for index in range(classes)], dim=1)
    present = masks.flatten(2).any(dim=2)
    weights = masks.float() if confidence is None else masks * confidence.detach()
    return ClassPrototypes(masked_average_of_upsampled(features, weights), present)


def prototype_scores(
    features: Tensor, prototypes: ClassPrototypes, scale: float, size: torch.Size
) -> Tensor:
    """Scaled cosines, the logits of a segmentation by prototypes.

    Parameters
    ----------
    features : Tensor
        (B, F, *small).
    prototypes : ClassPrototypes
        One set for each image, or one for all.

    Returns
    -------
    Tensor
        (B, C, *size) float32; very low for classes without a prototype.
    """
    scores = scale * cosine_of_upsampled(features, prototypes.vectors, size)
    return scores.masked_fill(~prototypes.present_over(size), ABSENT)


def forward_consistency(
    features: Tensor, prototypes: ClassPrototypes, target: Tensor, scale: float
) -> Tensor:
    """Mean squared difference between a segmentation by prototypes and a network's answer.

    Among the classes that have a prototype, at the voxels where the answer is one of them.

    Parameters
    ----------
    features : Tensor
        (B, F, *small) of the images to segment.
    target : Tensor
        (B, C, *spatial) probabilities; gradients reach them unless they are detached.

    Returns
    -------
    Tensor
        Scalar; 0 where no voxel is comparable.
    """
    size = target.shape[2:]
    answer = torch.softmax(prototype_scores(features, prototypes, scale, size), dim=1)
    known = _at_voxels(prototypes.present, most_probable_class(target)).unsqueeze(1)
    channels = prototypes.present_over(size)
    among = target * channels
    among = among / among.sum(dim=1, keepdim=True).clamp_min(SMALLEST_NORM)
    counted = known & channels
    difference = (answer - among).square() * counted
    return difference.sum() / counted.sum().clamp_min(1)


def backward_consistency(
    features: Tensor, prototypes: ClassPrototypes, labels: Tensor, scale: float
) -> Tensor:
    """Cross-entropy between real labels and a segmentation by prototypes.

    Voxels whose class has no prototype are ignored.

    Parameters
    ----------
    features : Tensor
        (B, F, *small) of the labelled images.
    labels : Tensor
        (B, *spatial) int64 class indices, 255 ignored.

    Returns
    -------
    Tensor
        Scalar; 0 where every voxel is ignored.
    """
    scores = prototype_scores(features, prototypes, scale, labels.shape[1:])
    return cross_entropy(scores, labels.where(_at_voxels(prototypes.present, labels), IGNORED))


def _at_voxels(present: Tensor, indices: Tensor) -> Tensor:
    """Tell for each voxel (B, *spatial) whether its class is present; False where ignored."""
    classes = present.shape[1]
    table = present.expand(len(indices), classes)
    known = table.gather(1, indices.clamp(max=classes - 1).flatten(1)).reshape(indices.shape)
    return known & (indices < classes)
