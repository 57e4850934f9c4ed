"""Running means of class prototypes over training, and maps of the likeness to them (spec §4.9, §6.4).

Prototypes of one step come from few crops and live for one step. Their running mean is what is left
at inference of crops that are no longer there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semiseg.engine.parts.prototype_segmentation import ABSENT, ClassPrototypes
from napari_semiseg.engine.parts.upsampled_features import cosine_of_upsampled

State = dict[str, Tensor | None]


class PrototypeBank:
    """Running mean of the prototype of each class over the steps that show it.

    Parameters
    ----------
    decay : float
        Weight of the past, 0…1; until then the mean is the plain one.
    """

    def __init__(self, classes: int, decay: float) -> None:
        self.decay = decay
        self.seen = torch.zeros(classes, dtype=torch.long)
        self.vectors: Tensor | None = None
        """(C, F); None before the first step."""

    @torch.no_grad()
    def update(self, prototypes: ClassPrototypes) -> None:
        """Take in the prototypes of one step, averaged over its images."""
        mean = prototypes.mean_over_images()
        vectors, present = mean.vectors[0], mean.present[0]
        if self.vectors is None:
            self.vectors = torch.zeros_like(vectors)
            self.seen = self.seen.to(vectors.device)
        kept = (self.seen / (self.seen + 1)).clamp_max(self.decay).unsqueeze(1)
        moved = kept * self.vectors + (1 - kept) * vectors
        self.vectors = torch.where(present.unsqueeze(1), moved, self.vectors)
        self.seen = self.seen + present

    @property
    def prototypes(self) -> ClassPrototypes | None:
        """One set (1, C, F) for all images; None before the first step."""
        if self.vectors is None:
            return None
        return ClassPrototypes(self.vectors.unsqueeze(0), (self.seen > 0).unsqueeze(0))

    def to(self, device: torch.device) -> None:
        """Move the means to ``device``."""
        self.seen = self.seen.to(device)
        self.vectors = None if self.vectors is None else self.vectors.to(device)

    def state_dict(self) -> State:
        """Return the means and how many steps are in each."""
        return {"vectors": self.vectors, "seen": self.seen}

    def load_state_dict(self, state: State) -> None:
        """Continue from what `state_dict` returned."""
        assert state["seen"] is not None
        self.vectors, self.seen = state["vectors"], state["seen"]


def likeness_and_answer(
    features: Tensor, prototypes: ClassPrototypes, scale: float, size: torch.Size
) -> tuple[Tensor, Tensor]:
    """Compare the feature of each voxel with the prototype of each class.

    Parameters
    ----------
    features : Tensor
        (B, F, *small), interpolated to ``size`` as it were; exact, but never made.
    prototypes : ClassPrototypes
        One set for each image, or one for all.

    Returns
    -------
    likeness : Tensor
        (B, C, *size) cosine in −1…1; −1 for a class without a prototype.
    answer : Tensor
        (B, C, *size) softmax of the scaled cosines; 0 for a class without a prototype.
    """
    cosine = cosine_of_upsampled(features, prototypes.vectors, size).clamp(-1.0, 1.0)
    absent = ~prototypes.present_over(size)
    answer = torch.softmax((scale * cosine).masked_fill(absent, ABSENT), dim=1)
    return cosine.masked_fill(absent, -1.0), answer
