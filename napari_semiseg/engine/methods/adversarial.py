"""The common body of methods that train a student against a discriminator.

A method of this kind says what its discriminator is and what it learns from; the alternation is here.
One step: the student descends its losses, one of which wants the discriminator to take its maps for
real; then the discriminator descends its own, with the student as it now is.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    StepReport,
    in_fast_layout,
)
from napari_semiseg.engine.methods.student import StudentMethod
from napari_semiseg.engine.networks.heads import NetworkOutput
from napari_semiseg.engine.parts.adversarial import Adversary
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch


class AdversarialSettings(MethodSettings):
    """Hyper-parameters of the game between student and discriminator."""

    adversarial_weight: float = Field(
        0.1, ge=0, le=100, title="Adversarial weight",
        description="Final weight of the wish to deceive the discriminator.",
    )  # fmt: skip
    discriminator_rate: float = Field(
        1e-4, gt=0, le=0.1, title="Discriminator's learning rate",
        description="Step size of the discriminator, constant over training.",
    )  # fmt: skip


class RampedAdversarialSettings(AdversarialSettings):
    """Hyper-parameters where the adversarial weight rises."""

    ramp_share: float = Field(
        1.0, gt=0, le=1, title="Ramp length",
        description="Share of semi-supervised training over which the weight rises.",
    )  # fmt: skip

    def weight(self, clock: Clock) -> float:
        """Weight of the adversarial term at this moment."""
        share = min(clock.semi_supervised_share / self.ramp_share, 1.0)
        return self.adversarial_weight * stepped_ramp(share)


class AdversarialMethod(StudentMethod):
    """A student, and a discriminator that learns in turn with it."""

    unsupervised_terms: ClassVar[tuple[str, ...]] = ("adversarial",)
    discriminator_betas: ClassVar[tuple[float, float]] = (0.9, 0.99)
    settings: AdversarialSettings

    def __init__(self, plan: Plan, settings: AdversarialSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        network = in_fast_layout(self.build_discriminator(), plan.network)
        self.adversary = Adversary(
            network, fabric, settings.discriminator_rate, self.discriminator_betas
        )

    @abstractmethod
    def build_discriminator(self) -> nn.Module:
        """Build the discriminator, which takes maps and images and gives two logits."""

    @abstractmethod
    def train_discriminator(self, batch: Batch) -> StepReport:
        """Let the discriminator learn once from maps of ``batch``; the student stays as it is."""

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise the student once and then the discriminator; warm starts have no discriminator."""
        report = super().training_step(batch, clock)
        if batch.unlabelled and clock.warm:
            report |= self.train_discriminator(batch)
        return report

    @torch.no_grad()
    def output_now(self, images: Tensor) -> NetworkOutput:
        """Answer as at inference, without dropout and without a gradient."""
        self.student.eval()
        return self.student(images)

    def discriminator_filters(self, share: int, most: int) -> int:
        """Feature channels in the papers' proportion to the segmenter's, but never more than theirs.

        A discriminator of the papers' width beside the narrow networks that fit a small machine would
        take most of the time, and of the checkpoint.
        """
        return min(most, share * self.plan.network.filters)

    def networks(self) -> dict[str, nn.Module]:
        """Add the discriminator."""
        return super().networks() | {"discriminator": self.adversary.network}

    def optimisers(self) -> dict[str, Any]:
        """Return the optimisers of the student and of the discriminator."""
        return super().optimisers() | {"discriminator": self.adversary.optimiser}
