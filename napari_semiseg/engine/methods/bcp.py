"""BCP, bidirectional copy-paste: labelled and unlabelled crops are pasted into each other.

First the student learns from labelled crops, each with a box of another pasted in. Then, in each step,
the averaged teacher labels the unlabelled crops and all but the largest piece of each class is cleared;
one mix shows a labelled crop with a box of an unlabelled one, the other the reverse; and the student
learns both, from the real labels where a mix is labelled and, with weight α, from the teacher's where
it is not.

Clearing runs on the CPU: about 50 ms for each class that a crop of 80 × 112 × 112 voxels contains.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.averaged_teacher import TeacherMethod, TeacherSettings
from napari_semiseg.engine.methods.bodies.pseudo_labelling import (
    CONFIDENCE,
    PSEUDO_LABEL,
    PseudoLabelMethod,
)
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import OWN_LABELS
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.mixing import boxes_with_edge, paste
from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.pseudo_labels import largest_components
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch

CLEARED = NativeMap("cleared", "Islands cleared from the pseudo-label", look="share")


class BidirectionalCopyPasteSettings(TeacherSettings):
    """Hyper-parameters of BCP."""

    box_edge: float = Field(
        2 / 3, gt=0, lt=1, title="Box (β)",
        description="Edge of the pasted box as a share of the crop's.",
    )  # fmt: skip
    unlabelled_weight: float = Field(
        0.5, ge=0, le=100, title="Unlabelled weight (α)",
        description="Weight of voxels with the teacher's labels; those with real ones have 1.",
    )  # fmt: skip
    largest_component: bool = Field(
        True, title="Clear islands",
        description="Keep only the largest connected piece of each class in the teacher's labels.",
    )  # fmt: skip
    pretraining_share: float = Field(
        0.12, ge=0, lt=1, title="Pre-training",
        description="Share of the budget in which the student learns from labelled scans alone (2000 "
        "of 17 000 steps in the paper); used by presets without a warm start, which is that phase "
        "otherwise.",
    )  # fmt: skip
    mixed_pretraining: bool = Field(
        True, title="Mixed pre-training",
        description="Paste labelled crops into each other while only they are learnt.",
    )  # fmt: skip


class BidirectionalCopyPaste(PseudoLabelMethod, TeacherMethod):
    """A student of mixed crops whose unlabelled parts its averaged teacher labels."""

    key = "bcp"
    idea = OWN_LABELS
    title = "Bidirectional copy-paste (BCP)"
    paper = Paper(
        "Bai, Chen, Li, Shen, Wang",
        "Bidirectional copy-paste for semi-supervised medical image segmentation",
        "CVPR",
        2023,
    )
    summary = (
        "Boxes of labelled scans are pasted into unlabelled ones and back, so that both are learnt "
        "in the same picture."
    )
    cost = StepCost(forward=3, backward=2)
    Settings = BidirectionalCopyPasteSettings
    settings: BidirectionalCopyPasteSettings
    native_maps = (PSEUDO_LABEL, CONFIDENCE, CLEARED)

    @property
    def pretraining_share(self) -> float:
        """The student's own start on mixed labelled crops."""
        return self.settings.pretraining_share

    @property
    def labelling(self) -> nn.Module:
        """The averaged teacher."""
        return self.averaged.network

    def choose(self, probabilities: Tensor) -> Tensor:
        """Take the most probable classes, without their islands if so set."""
        labels = most_probable_class(probabilities)
        if self.settings.largest_component:
            return largest_components(labels, self.plan.classes)
        return labels

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised term of pre-training, on labelled crops mixed with each other."""
        images, labels = batch.images[: batch.labelled], batch.labels
        if self.settings.mixed_pretraining:
            boxes = self.boxes(images)
            images = paste(images, images.roll(1, dims=0), boxes)
            labels = paste(labels, labels.roll(1, dims=0), boxes)
        return {"supervised": segmentation_loss(self.student(images).logits, labels)}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the terms of the real and of the teacher's labels in both kinds of mixes."""
        split = batch.labelled
        taught = self.label(batch.plain_images[split:])
        pairs = torch.arange(max(split, batch.unlabelled), device=batch.images.device)
        theirs = pairs % batch.unlabelled
        # As in the paper a crop meets one partner in one direction and another in the other.
        inward, outward = pairs % split, (pairs + 1) % split
        unlabelled = batch.images[split:][theirs]
        boxes = self.boxes(unlabelled)
        mixes = [
            paste(batch.images[:split][inward], unlabelled, boxes),
            paste(unlabelled, batch.images[:split][outward], boxes),
        ]
        first, second = self.student(torch.cat(mixes)).logits.chunk(2)
        pseudo = taught.labels[theirs]
        real = _loss_where(first, batch.labels[inward], ~boxes)
        real = real + _loss_where(second, batch.labels[outward], boxes)
        learnt = _loss_where(first, pseudo, boxes) + _loss_where(second, pseudo, ~boxes)
        terms = {
            "supervised": real,
            "pseudo-labels": self.settings.unlabelled_weight * learnt,
        }
        return terms, {"cleared share": taught.corrected.float().mean().item()}

    def boxes(self, images: Tensor) -> Tensor:
        """Draw the box of each crop, (B, *spatial) bool."""
        return boxes_with_edge(images, self.settings.box_edge)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the teacher's label, how sure it is, and what was cleared."""
        labels = self.labels_of(answers)
        return {**super().native_of(answers), CLEARED.key: labels.corrected.unsqueeze(1).float()}


def _loss_where(logits: Tensor, labels: Tensor, there: Tensor) -> Tensor:
    """Half cross-entropy, half Dice of the voxels (B, *spatial) that are ``there``."""
    return segmentation_loss(logits, labels.masked_fill(~there, IGNORED))
