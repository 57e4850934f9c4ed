"""DAN, the deep adversarial network (spec §7.9).

A discriminator sees the segmenter's probabilities together with the image and tells whether the scan
was labelled; the segmenter makes its answers on unlabelled scans pass for answers on labelled ones,
which are better. One step: the segmenter learns from labelled crops and from deceiving the
discriminator on unlabelled ones; then the discriminator learns from all crops.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semiseg.engine.methods.bodies.adversarial import (
    CropDiscriminatorMethod,
    RampedAdversarialSettings,
)
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import Clock, Paper, StepCost, StepReport
from napari_semiseg.engine.methods.ideas import CRITIC
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch


class DeepAdversarialNetwork(CropDiscriminatorMethod):
    """Segmentations of unlabelled crops that a discriminator takes for those of labelled ones."""

    key = "dan"
    idea = CRITIC
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

    @property
    def judged_channels(self) -> int:
        """C probabilities."""
        return self.plan.classes

    def judged(self, output: NetworkOutput) -> Tensor:
        """Return the probabilities."""
        return torch.softmax(output.logits.float(), dim=1)

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised and the adversarial term."""
        output = self.student(batch.images)
        deception, scalars = self.deceive(output, batch, clock)
        terms = {
            "supervised": segmentation_loss(output.logits[: batch.labelled], batch.labels),
            "adversarial": deception,
        }
        return terms, scalars
