"""FixMatch, for segmentation: a strong view learns what a weak view is sure of.

One step: the network labels the unlabelled crops in their weak view, flipped and bent but with the
scan's intensities; voxels whose class it gives a high probability become hard labels; then it learns
these labels from a strong view of the same crops, with other contrast, blur, noise and an erased box.
Erased voxels are not learnt: a class of a whole photograph survives a box, that of a voxel does not.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.pseudo_labelling import (
    WeakToStrongMethod,
    WeakToStrongSettings,
)
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import OWN_LABELS
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.mixing import random_boxes
from napari_semiseg.engine.parts.pseudo_labels import (
    PseudoLabelLoss,
    pseudo_label_loss,
)
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, segmentation_loss
from napari_semiseg.engine.parts.strong_views import erase, strong_view
from napari_semiseg.engine.planning.plan import Preset
from napari_semiseg.engine.sampling.batches import Batch


class FixMatchSettings(WeakToStrongSettings):
    """Hyper-parameters of FixMatch."""

    unlabelled_weight: float = Field(
        1.0, ge=0, le=100, title="Unlabelled weight (λ)",
        description="Weight of the unlabelled crops.",
    )  # fmt: skip
    unlabelled_loss: PseudoLabelLoss = Field(
        "cross-entropy", title="Unlabelled loss",
        description="Cross-entropy over all voxels (the paper), the overlap of the labelled ones, or "
        "half of each.",
    )  # fmt: skip
    erased_edge: float = Field(
        0.5, ge=0, lt=1, title="Erased box",
        description="Largest edge of the box that the strong view hides, as a share of the crop's; "
        "0 hides nothing.",
    )  # fmt: skip


class FixMatch(WeakToStrongMethod):
    """Confident labels of weak views, learnt from strong views."""

    key = "fixmatch"
    idea = OWN_LABELS
    good_to_start_with = True
    title = "FixMatch"
    paper = Paper(
        "Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang, Raffel",
        "FixMatch: Simplifying semi-supervised learning with consistency and confidence",
        "NeurIPS",
        2020,
    )
    summary = (
        "What the network is sure of in an unlabelled scan, it learns again from a harder picture of "
        "the same scan."
    )
    cost = StepCost(forward=3, backward=2)
    Settings = FixMatchSettings
    settings: FixMatchSettings

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Let averaged weights answer, as in the paper."""
        return {"recipe.average_decay": 0.999} if preset == "paper" else {}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and what the strong views make of the weak views' labels."""
        split = batch.labelled
        weak = self.label(batch.plain_images[split:])
        hidden = self.boxes(batch.images[split:])
        strong = erase(self.strong(batch.images[split:]), hidden)
        logits = self.student(torch.cat([batch.images[:split], strong])).logits
        labels = weak.labels.masked_fill(hidden, IGNORED)
        loss = pseudo_label_loss(logits[split:], labels, self.settings.unlabelled_loss)
        terms = {
            "supervised": segmentation_loss(logits[:split], batch.labels),
            "pseudo-labels": self.settings.unlabelled_weight * loss,
        }
        return terms, {"kept share": weak.kept_share}

    def strong(self, images: Tensor) -> Tensor:
        """Return a strong view of crops (B, channels, *spatial), nothing erased."""
        return strong_view(images, self.settings.strength)

    def boxes(self, images: Tensor) -> Tensor:
        """Draw what each crop hides, (B, *spatial) bool."""
        largest = self.settings.erased_edge ** (images.dim() - 2)
        chance = 1.0 if largest else 0.0
        return random_boxes(images, (0.0, largest), aspect=1.0, chance=chance)

    def second_answer(self, answers: Answers) -> Tensor:
        """Return what the answering network says to a strong view."""
        strong = self.strong(answers.windows)
        return torch.softmax(self.answering(strong).logits.float(), dim=1)
