"""SASSNet, shape-aware semi-supervised segmentation (spec §7.4).

One network with two heads, segmentation and signed distance. A discriminator sees the signed
distances together with the image and tells whether the scan was labelled; the network makes the
shapes that it finds in unlabelled scans pass for those of labelled ones. One step: the network learns
both tasks from labelled crops, and from deceiving the discriminator on unlabelled ones; then the
discriminator learns from all crops.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.adversarial import (
    CropDiscriminatorMethod,
    RampedAdversarialSettings,
)
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.bodies.two_tasks import TwoHeadMethod, TwoHeadSettings
from napari_semiseg.engine.methods.contract import Clock, Paper, StepCost, StepReport
from napari_semiseg.engine.methods.ideas import BORDERS
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.sampling.batches import Batch


class ShapeAwareSettings(TwoHeadSettings, RampedAdversarialSettings):
    """Hyper-parameters of SASSNet."""

    adversarial_weight: float = Field(
        0.01, ge=0, le=100, title="Adversarial weight",
        description="Final weight of the wish to deceive the discriminator; the authors take 0.015 "
        "with half as many labelled scans.",
    )  # fmt: skip


class ShapeAwareSegmentation(TwoHeadMethod, CropDiscriminatorMethod):
    """Signed distances of unlabelled crops that a discriminator takes for those of labelled ones."""

    key = "sassnet"
    idea = BORDERS
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
    Settings = ShapeAwareSettings
    settings: ShapeAwareSettings

    @property
    def judged_channels(self) -> int:
        """C − 1 signed distances."""
        return self.plan.classes - 1

    def judged(self, output: NetworkOutput) -> Tensor:
        """Return the signed distances."""
        assert output.signed_distance is not None
        return output.signed_distance

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms of both tasks and the adversarial term."""
        target = self.begin_target(batch)
        output = self.student(batch.images)
        deception, scalars = self.deceive(output, batch, clock)
        terms = self.labelled_losses(batch, output.logits, self.judged(output), target)
        return terms | {"adversarial": deception}, scalars
