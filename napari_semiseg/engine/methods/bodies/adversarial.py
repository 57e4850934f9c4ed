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

from napari_semiseg.engine.methods.bodies.ramped import RampedSettings
from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    StepReport,
    in_fast_layout,
)
from napari_semiseg.engine.networks.discriminator import Discriminator
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.adversarial import Adversary, deception_loss, real_then_made
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


class RampedAdversarialSettings(RampedSettings, AdversarialSettings):
    """Hyper-parameters where the adversarial weight rises."""

    def weight(self, clock: Clock) -> float:
        """Weight of the adversarial term at this moment."""
        return self.adversarial_weight * stepped_ramp(self.ramp_position(clock))


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
        if batch.unlabelled and self.begun(clock):
            report |= self.train_discriminator(batch)
        return report

    @torch.no_grad()
    def output_now(self, images: Tensor) -> NetworkOutput:
        """Answer as at inference, without dropout and without a gradient."""
        self.student.eval()
        output: NetworkOutput = self.student(images)
        return output

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


class CropDiscriminatorMethod(AdversarialMethod):
    """A discriminator that tells of maps of whole crops whether the crops were labelled."""

    settings: RampedAdversarialSettings

    @property
    @abstractmethod
    def judged_channels(self) -> int:
        """Channels of the maps."""

    @abstractmethod
    def judged(self, output: NetworkOutput) -> Tensor:
        """Return the maps (B, channels, *spatial) of what the student says."""

    def build_discriminator(self) -> Discriminator:
        """Build a discriminator of the maps and the image."""
        network = self.plan.network
        filters = self.discriminator_filters(share=4, most=64)
        return Discriminator(network.dimensions, self.judged_channels, network.channels, filters)

    def deceive(
        self, output: NetworkOutput, batch: Batch, clock: Clock
    ) -> tuple[Tensor, StepReport]:
        """Return the weighted wish to pass off unlabelled crops, and what is to be plotted."""
        unlabelled = self.judged(output)[batch.labelled :]
        weight = self.settings.weight(clock)
        deception = deception_loss(self.adversary.judge(unlabelled, batch.images[batch.labelled :]))
        return weight * deception, {"weight": weight, "adversarial loss": deception.item()}

    def train_discriminator(self, batch: Batch) -> StepReport:
        """Show it what the student would now answer on all crops."""
        maps = self.judged(self.output_now(batch.images))
        truth = real_then_made(batch.labelled, batch.unlabelled, maps.device)
        return self.adversary.learn(maps, batch.images, truth)
