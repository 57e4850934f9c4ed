"""SASSNet, shape-aware semi-supervised segmentation (spec §7.4).

One network with two heads, segmentation and signed distance. A discriminator sees the signed
distances together with the image and tells whether the scan was labelled; the network makes the
shapes that it finds in unlabelled scans pass for those of labelled ones. One step: the network learns
both tasks from labelled crops, and from deceiving the discriminator on unlabelled ones; then the
discriminator learns from all crops.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.adversarial import (
    AdversarialMethod,
    RampedAdversarialSettings,
)
from napari_semiseg.engine.methods.contract import Clock, Paper, StepCost, StepReport
from napari_semiseg.engine.methods.distance_head import (
    DISTANCE_MASKS,
    OWN_DISTANCE,
    SignedDistanceSettings,
    begin_target,
    distance_of,
    masks_of,
)
from napari_semiseg.engine.methods.student import Losses
from napari_semiseg.engine.networks.discriminator import Discriminator
from napari_semiseg.engine.networks.heads import NetworkOutput
from napari_semiseg.engine.parts.adversarial import deception_loss, real_then_made
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.distance_task import distance_loss
from napari_semiseg.engine.parts.segmentation_loss import dice_loss, segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch


class ShapeAwareSettings(SignedDistanceSettings, RampedAdversarialSettings):
    """Hyper-parameters of SASSNet."""

    adversarial_weight: float = Field(
        0.01, ge=0, le=100, title="Adversarial weight",
        description="Final weight of the wish to deceive the discriminator; the authors take 0.015 "
        "with half as many labelled scans.",
    )  # fmt: skip
    distance_weight: float = Field(
        0.3, ge=0, le=10, title="Distance weight",
        description="Weight of the signed distance regression on labelled crops.",
    )  # fmt: skip
    supervised: Literal["dice", "dice+cross-entropy"] = Field(
        "dice", title="Supervised loss",
        description="Dice alone, as the authors' code, or half Dice and half cross-entropy.",
    )  # fmt: skip


class ShapeAwareSegmentation(AdversarialMethod):
    """Signed distances of unlabelled crops that a discriminator takes for those of labelled ones."""

    key = "sassnet"
    title = "Shape-aware segmentation (SASSNet)"
    paper = Paper(
        "Li, Zhang, He",
        "Shape-aware semi-supervised 3D semantic segmentation for medical images",
        "MICCAI",
        2020,
    )
    summary = (
        "The network also learns the shape of each structure, and a second network checks that the "
        "shapes in unlabelled scans are as plausible as those in labelled ones."
    )
    cost = StepCost(forward=4, backward=2)
    native_maps = (DISTANCE_MASKS, OWN_DISTANCE)
    Settings = ShapeAwareSettings
    settings: ShapeAwareSettings
    needs_signed_distance = True

    @property
    def signed_distance_reach(self) -> float | None:
        """The clipping reach in mm; the papers' normalisation has no unit."""
        return self.settings.distance_options.millimetres

    def build_discriminator(self) -> Discriminator:
        """Build a discriminator of C − 1 signed distances and the image."""
        network = self.plan.network
        filters = self.discriminator_filters(share=4, most=64)
        return Discriminator(network.dimensions, network.classes - 1, network.channels, filters)

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms of both tasks and the adversarial term."""
        target = begin_target(batch, self.plan.classes, self.settings)
        output = self.student(batch.images)
        unlabelled = output.signed_distance[batch.labelled :]
        weight = self.settings.weight(clock)
        deception = deception_loss(self.adversary.judge(unlabelled, batch.images[batch.labelled :]))
        terms = self._supervised(batch, output, target)
        terms["adversarial"] = weight * deception
        return terms, {"weight": weight, "adversarial loss": deception.item()}

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised terms of both tasks for the warm start."""
        target = begin_target(batch, self.plan.classes, self.settings)
        return self._supervised(batch, self.student(batch.images[: batch.labelled]), target)

    def _supervised(self, batch: Batch, output: NetworkOutput, target: Future[Tensor]) -> Losses:
        assert output.signed_distance is not None
        logits, distance = output.logits[: batch.labelled], output.signed_distance[: batch.labelled]
        if self.settings.supervised == "dice":
            overlap = dice_loss(torch.softmax(logits.float(), dim=1), batch.labels)
        else:
            overlap = segmentation_loss(logits, batch.labels)
        regression = distance_loss(distance, target.result(), batch.labels)
        return {"supervised": overlap, "distance": self.settings.distance_weight * regression}

    def train_discriminator(self, batch: Batch) -> StepReport:
        """Show it the signed distances that the network would now give for all crops."""
        distance = self.output_now(batch.images).signed_distance
        assert distance is not None
        truth = real_then_made(batch.labelled, batch.unlabelled, distance.device)
        return self.adversary.learn(distance, batch.images, truth)

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the two heads, the distance turned into masks."""
        masks = masks_of(answers, self.answering, self.settings)
        return total_variation(answers.probabilities_of(self.answering), masks)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the signed distance as it is learnt, and its masks as a prediction of its own."""
        return {
            DISTANCE_MASKS.key: masks_of(answers, self.answering, self.settings),
            OWN_DISTANCE.key: distance_of(answers, self.answering),
        }
