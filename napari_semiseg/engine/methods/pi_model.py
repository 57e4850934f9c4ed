"""Π-model (spec §7.14): the network agrees with itself when it looks twice.

One step: the network sees the labelled crops and, with noise and dropout, the unlabelled ones; it
sees the unlabelled ones again, with other noise and other dropout; the squared difference of its two
answers is added with a slowly rising weight. There is no teacher: both answers are taught.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings
from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import SAME_ANSWER
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.uncertainty import dropout_active, input_noise
from napari_semiseg.engine.sampling.batches import Batch


class SelfConsistencySettings(RampedConsistencySettings):
    """Hyper-parameters of a network that is its own teacher, as in the 3D experiments."""

    noise: float = Field(
        0.1, ge=0, le=1, title="Input noise",
        description="Deviation of the noise on unlabelled crops (scans have deviation 1).",
    )  # fmt: skip


class SelfConsistency(StudentMethod):
    """A network that is to give the same answer to a crop as at another time."""

    settings: SelfConsistencySettings
    needs_dropout = 0.1

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised and the consistency term."""
        split = batch.labelled
        noisy = input_noise(batch.images[split:], self.settings.noise)
        logits = self.student(torch.cat([batch.images[:split], noisy])).logits
        answer = torch.softmax(logits[split:].float(), dim=1)
        consistency, scalars = self.consistency(answer, batch)
        weight = self.settings.weight(clock, stepped_ramp)
        terms = {
            "supervised": segmentation_loss(logits[:split], batch.labels),
            "consistency": weight * consistency,
        }
        return terms, scalars | {"weight": weight}

    @abstractmethod
    def consistency(self, answer: Tensor, batch: Batch) -> tuple[Tensor, StepReport]:
        """Compare ``answer`` to the unlabelled crops, (B, C, *spatial) probabilities, with another.

        Returns
        -------
        consistency : Tensor
            Scalar.
        scalars : dict
            What else is to be plotted.
        """


class PiModelSettings(SelfConsistencySettings):
    """Hyper-parameters of the Π-model."""

    gradient: Literal["both", "first"] = Field(
        "both", title="Who learns",
        description="Both answers move towards each other (the paper), or only the first towards the "
        "second, which is quicker.",
    )  # fmt: skip


class PiModel(SelfConsistency):
    """Consistency of two passes of one network."""

    key = "pi-model"
    idea = SAME_ANSWER
    title = "Π-model"
    paper = Paper(
        "Laine, Aila", "Temporal ensembling for semi-supervised learning", "ICLR", 2017
    )  # fmt: skip
    summary = "The network must give the same answer when it sees an unlabelled scan twice."
    cost = StepCost(forward=3, backward=3)
    Settings: ClassVar[type[MethodSettings]] = PiModelSettings
    settings: PiModelSettings

    def consistency(self, answer: Tensor, batch: Batch) -> tuple[Tensor, StepReport]:
        """Compare two answers of the network; by default gradients reach both."""
        again = self.answer_again(batch.plain_images[batch.labelled :])
        return F.mse_loss(answer, again), {}

    def answer_again(self, images: Tensor) -> Tensor:
        """Second noisy pass: images (B, channels, *spatial) to probabilities (B, C, *spatial)."""
        with torch.set_grad_enabled(self.settings.gradient == "both"):
            noisy = input_noise(images, self.settings.noise)
            return torch.softmax(self.student(noisy).logits.float(), dim=1)

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the answer with one under the noise and the dropout of training."""
        network = self.answering
        answer = answers.probabilities_of(network)
        with dropout_active(network):
            logits = network(input_noise(answers.windows, self.settings.noise)).logits
        return total_variation(answer, torch.softmax(logits.float(), dim=1))
