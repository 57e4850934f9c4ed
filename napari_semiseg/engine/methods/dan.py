"""DAN, the deep adversarial network (spec §7.9).

A discriminator sees the segmenter's probabilities together with the image and tells whether the scan
was labelled; the segmenter makes its answers on unlabelled scans pass for answers on labelled ones,
which are better. One step: the segmenter learns from labelled crops and from deceiving the
discriminator on unlabelled ones; then the discriminator learns from all crops.
"""

from __future__ import annotations

import torch

from napari_semiseg.engine.methods.adversarial import (
    AdversarialMethod,
    RampedAdversarialSettings,
)
from napari_semiseg.engine.methods.contract import Clock, Paper, StepCost, StepReport
from napari_semiseg.engine.methods.student import Losses
from napari_semiseg.engine.networks.discriminator import Discriminator
from napari_semiseg.engine.parts.adversarial import deception_loss, real_then_made
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch


class DeepAdversarialNetwork(AdversarialMethod):
    """Segmentations of unlabelled crops that a discriminator takes for those of labelled ones."""

    key = "dan"
    title = "Deep adversarial network (DAN)"
    paper = Paper(
        "Zhang, Yang, Chen, Fredericksen, Hughes, Chen",
        "Deep adversarial networks for biomedical image segmentation utilizing unannotated images",
        "MICCAI",
        2017,
    )
    summary = (
        "A second network tries to tell answers on unlabelled scans from answers on labelled ones, "
        "until it no longer can."
    )
    cost = StepCost(forward=4, backward=2)
    Settings = RampedAdversarialSettings
    settings: RampedAdversarialSettings

    def build_discriminator(self) -> Discriminator:
        """Build a discriminator of C probabilities and the image."""
        network = self.plan.network
        filters = self.discriminator_filters(share=4, most=64)
        return Discriminator(network.dimensions, network.classes, network.channels, filters)

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised and the adversarial term."""
        logits = self.student(batch.images).logits
        unlabelled = torch.softmax(logits[batch.labelled :].float(), dim=1)
        weight = self.settings.weight(clock)
        deception = deception_loss(self.adversary.judge(unlabelled, batch.images[batch.labelled :]))
        terms = {
            "supervised": segmentation_loss(logits[: batch.labelled], batch.labels),
            "adversarial": weight * deception,
        }
        return terms, {"weight": weight, "adversarial loss": deception.item()}

    def train_discriminator(self, batch: Batch) -> StepReport:
        """Show it what the segmenter would now answer on all crops."""
        answers = torch.softmax(self.output_now(batch.images).logits.float(), dim=1)
        truth = real_then_made(batch.labelled, batch.unlabelled, answers.device)
        return self.adversary.learn(answers, batch.images, truth)
