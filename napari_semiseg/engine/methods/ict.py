"""ICT, interpolation consistency training (spec §7.10).

Mean teacher, with mixed images instead of noise. One step: two unlabelled crops are mixed in a random
proportion; the student sees the mixture, the teacher each crop by itself; the student's answer is to
be the teacher's answers mixed in the same proportion.
"""

from __future__ import annotations

import torch
from pydantic import Field

from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import SAME_ANSWER
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from napari_semiseg.engine.parts.consistency import mean_squared_difference
from napari_semiseg.engine.parts.mixing import PairMixture
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch


class InterpolationConsistencySettings(MeanTeacherSettings):
    """Hyper-parameters of ICT."""

    noise: float = Field(
        0.0, ge=0, le=1, title="Input noise",
        description="Deviation of the noise on the teacher's input; the paper adds none.",
    )  # fmt: skip
    concentration: float = Field(
        0.2, gt=0, le=10, title="Concentration",
        description="Parameter of the Beta distribution of the proportions: the smaller, the nearer "
        "to one crop alone.",
    )  # fmt: skip


class InterpolationConsistency(MeanTeacher):
    """The answer to a mixture of crops is the mixture of the answers."""

    key = "ict"
    idea = SAME_ANSWER
    title = "Interpolation consistency (ICT)"
    paper = Paper(
        "Verma, Lamb, Kannala, Bengio, Lopez-Paz",
        "Interpolation consistency training for semi-supervised learning",
        "IJCAI",
        2019,
    )
    summary = "Shown two unlabelled scans blended into one, the network must blend its answers too."
    cost = StepCost(forward=2.5, backward=1.5)
    Settings = InterpolationConsistencySettings
    settings: InterpolationConsistencySettings
    least_unlabelled = 2  # one alone cannot be mixed

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and the consistency on mixed crops."""
        mixture = PairMixture.draw(
            batch.unlabelled, self.settings.concentration, self.fabric.device
        )
        return self.mixed_losses(batch, clock, mixture)

    def mixed_losses(
        self, batch: Batch, clock: Clock, mixture: PairMixture
    ) -> tuple[Losses, StepReport]:
        """Return both terms for a given mixture of the unlabelled crops."""
        split = batch.labelled
        logits = self.student(
            torch.cat([batch.images[:split], mixture(batch.images[split:])])
        ).logits
        target = mixture(self.teach(mixture.crops_of(batch.plain_images[split:])))
        answer = torch.softmax(logits[split:].float(), dim=1)
        weight = self.weight(clock)
        terms = {
            "supervised": segmentation_loss(logits[:split], batch.labels),
            "consistency": weight * mean_squared_difference(answer, target),
        }
        return terms, {"weight": weight, "mixed share": mixture.shares.mean().item()}
