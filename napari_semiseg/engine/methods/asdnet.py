"""ASDNet, the attention-based semi-supervised deep network (spec §7.13).

A confidence network tells at every voxel whether a label map was drawn by a human or made by the
segmenter. The segmenter deceives it on all crops, counts labelled crops that look wrong to it more,
and on unlabelled crops learns from its own most probable classes where the confidence is high. Then
the confidence network learns from labelled crops: from their labels and from the segmenter's answers.

The published code differs: its attention averages both channels of the confidence, which is always
one half; it applies softmax twice in the adversarial terms; gradients of the segmenter's losses reach
the confidence network; and statistics come from the first crop only. None of that is kept, but the
constant attention can be chosen. It also updates the confidence network first, which is the same
alternation begun half a step later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.adversarial import AdversarialMethod, AdversarialSettings
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import CRITIC
from napari_semiseg.engine.networks.confidence import ConfidenceNetwork
from napari_semiseg.engine.parts.adversarial import (
    MADE,
    REAL,
    deception_loss,
    real_probability,
)
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.gradients import averaged
from napari_semiseg.engine.parts.pseudo_labels import hard_labels
from napari_semiseg.engine.parts.segmentation_loss import (
    IGNORED,
    cross_entropy,
    dice_loss,
    segmentation_loss,
)
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch

DICE_DECAY = 0.99


class AttentionBasedSettings(AdversarialSettings):
    """Hyper-parameters of ASDNet, with the values of the authors' code."""

    adversarial_weight: float = Field(
        0.05, ge=0, le=100, title="Adversarial weight",
        description="Weight of the wish to deceive the confidence network.",
    )  # fmt: skip
    self_training_weight: float = Field(
        0.5, ge=0, le=100, title="Self-training weight",
        description="Weight of the segmenter's own labels where the confidence is high.",
    )  # fmt: skip
    self_training_from: float = Field(
        0.2, ge=0, lt=1, title="Self-training from",
        description="Share of semi-supervised training after which the segmenter's own labels count.",
    )  # fmt: skip
    threshold: float = Field(
        0.5, ge=0, le=1, title="Confidence threshold (γ)",
        description="Confidence above which a voxel of an unlabelled scan counts.",
    )  # fmt: skip
    threshold_rule: Literal["fixed", "one_minus_dice"] = Field(
        "fixed", title="Threshold rule",
        description="The threshold as given, or one minus the running Dice on labelled crops (the "
        "authors' code takes the Dice on validation scans).",
    )  # fmt: skip
    attention: Literal["confidence", "constant", "none"] = Field(
        "confidence", title="Attention to labelled crops",
        description="Weigh each labelled crop by how clear-cut its confidence is, all by one half (the "
        "authors' code in effect), or not at all.",
    )  # fmt: skip
    with_image: bool = Field(
        False, title="Confidence sees the image",
        description="Show the confidence network the image beside the label map.",
    )  # fmt: skip


class AttentionBasedSegmentation(AdversarialMethod):
    """A confidence network that says which voxels the segmenter may teach itself."""

    key = "asdnet"
    idea = CRITIC
    title = "Attention-based semi-supervised network (ASDNet)"
    paper = Paper(
        "Nie, Gao, Wang, Shen",
        "ASDNet: attention based semi-supervised deep networks for medical image segmentation",
        "MICCAI",
        2018,
    )
    summary = (
        "A second network marks where an answer looks hand-drawn, and only there do unlabelled scans "
        "count."
    )
    cost = StepCost(forward=7, backward=6)
    unsupervised_terms = ("adversarial", "self-training")
    discriminator_betas = (0.9, 0.999)
    native_maps = (
        NativeMap("confidence", "Looks hand-drawn", "share"),
        NativeMap("selected", "Trusted for self-training", "share"),
    )
    Settings = AttentionBasedSettings
    settings: AttentionBasedSettings

    def __init__(self, plan: Plan, settings: AttentionBasedSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        self.running_dice = 0.0

    def build_discriminator(self) -> ConfidenceNetwork:
        """Build the confidence network."""
        network = self.plan.network
        return ConfidenceNetwork(
            network.dimensions,
            network.classes,
            network.channels if self.settings.with_image else 0,
            self.discriminator_filters(share=2, most=32),
        )

    @property
    def threshold(self) -> float:
        """Confidence above which a voxel counts at this moment, γ."""
        by_dice = self.settings.threshold_rule == "one_minus_dice"
        return 1 - self.running_dice if by_dice else self.settings.threshold

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the attentive supervised, the adversarial and the self-training term."""
        logits = self.student(batch.images).logits
        judged = self.adversary.judge(torch.softmax(logits.float(), dim=1), batch.images)
        labelled, unlabelled = judged[: batch.labelled], judged[batch.labelled :]
        deception = deception_loss(labelled) + deception_loss(unlabelled)
        kept = real_probability(unlabelled) > self.threshold
        begun = clock.semi_supervised_share >= self.settings.self_training_from
        weight = self.settings.self_training_weight if begun else 0.0
        attention = self.attention(labelled)
        terms = {
            "supervised": attentive_loss(logits[: batch.labelled], batch.labels, attention),
            "adversarial": self.settings.adversarial_weight * deception,
            "self-training": weight * self_training(logits[batch.labelled :], kept),
        }
        return terms, {
            "adversarial loss": deception.item(),
            "attention": attention.mean().item(),
            "threshold": self.threshold,
            "kept share": kept.float().mean().item(),
        }

    def attention(self, judged: Tensor) -> Tensor:
        """Weight (B,) of each labelled crop in the supervised loss, ½…3⅝.

        One half where the confidence network is undecided about the crop; more, the surer it is.

        Parameters
        ----------
        judged : Tensor
            (B, 2, *spatial) logits of the confidence network.
        """
        if self.settings.attention == "none":
            return judged.new_ones(len(judged))
        real = real_probability(judged).flatten(1).mean(dim=1)
        if self.settings.attention == "constant":
            real = torch.full_like(real, 0.5)
        return 12.5 * (real - 0.5).square() + 0.5

    def train_discriminator(self, batch: Batch) -> StepReport:
        """Show it the labels, and what the segmenter makes of the same crops."""
        images, labels = batch.images[: batch.labelled], batch.labels
        made = torch.softmax(self.output_now(images).logits.float(), dim=1)
        (loss,) = averaged(self.fabric, [dice_loss(made, labels)])
        dice = 1 - loss.item()
        self.running_dice += (1 - DICE_DECAY) * (dice - self.running_dice)
        ignored = labels == IGNORED
        maps = torch.cat([one_hot(labels, made), made])
        truth = torch.cat([torch.full_like(labels, REAL), torch.full_like(labels, MADE)])
        truth = truth.masked_fill(ignored.repeat(2, *(1,) * (labels.dim() - 1)), IGNORED)
        return self.adversary.learn(maps, torch.cat([images, images]), truth)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show where the answer looks hand-drawn, and where that is enough for self-training."""
        probabilities = answers.probabilities_of(self.answering)
        judged = self.adversary.judge(probabilities, answers.windows)
        confidence = real_probability(judged).unsqueeze(1)
        selected = (confidence > self.threshold).float()
        return {"confidence": confidence, "selected": selected}

    def state_dict(self) -> dict[str, Any]:
        """Add the running Dice, from which a threshold can follow."""
        return super().state_dict() | {"running dice": self.running_dice}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore networks, optimisers and the running Dice."""
        super().load_state_dict(state)
        self.running_dice = float(state["running dice"])


def attentive_loss(logits: Tensor, labels: Tensor, attention: Tensor) -> Tensor:
    """Mean of the segmentation losses of single crops, each times its weight.

    Parameters
    ----------
    logits, labels : Tensor
        (B, C, *spatial) and (B, *spatial) int64 class indices, 255 ignored.
    attention : Tensor
        (B,) weights.
    """
    losses = [
        segmentation_loss(logits[crop : crop + 1], labels[crop : crop + 1])
        for crop in range(len(labels))
    ]
    return (attention * torch.stack(losses)).mean()


def self_training(logits: Tensor, kept: Tensor) -> Tensor:
    """Cross-entropy to the own most probable classes over the voxels that are kept; 0 with none.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    kept : Tensor
        (B, *spatial) bool.
    """
    return cross_entropy(logits, hard_labels(logits).masked_fill(~kept, IGNORED))


def one_hot(labels: Tensor, made: Tensor) -> Tensor:
    """Turn labels (B, *spatial) into a map like ``made`` (B, C, *spatial).

    Ignored voxels take what was made there, so that they do not give the human's map away.
    """
    ignored = labels == IGNORED
    drawn = F.one_hot(labels.masked_fill(ignored, 0), made.shape[1]).movedim(-1, 1).to(made.dtype)
    return torch.where(ignored.unsqueeze(1), made, drawn)
