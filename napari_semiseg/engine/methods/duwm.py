"""DUWM, the double-uncertainty weighted method: a re-interpretation (spec §7.6).

The authors published no code, and this follows the idea of their paper rather than its equations. A
mean teacher whose dropout passes tell two uncertainties: of its answer (the entropy of its mean
prediction) and of its features (their variance). The student agrees with the teacher's answer and
with its last decoder features, each voxel by exp(−uncertainty) and each loss by the teacher's mean
certainty in the crop batch. The student's own entropy is minimised a little, for the teacher has no
gradient by which it could become more certain itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.student import MAP_PASSES, Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import STEADIER_COPY
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.uncertainty import (
    dropout_active,
    normalised_entropy,
    repeat_passes,
    trusted_squared_difference,
)
from napari_semiseg.engine.sampling.batches import Batch


class DoubleUncertaintySettings(MeanTeacherSettings):
    """Hyper-parameters of the re-interpreted DUWM."""

    passes: int = Field(
        8, ge=2, le=64, title="Dropout passes",
        description="Passes of the teacher from which both uncertainties are estimated.",
    )  # fmt: skip
    entropy_weight: float = Field(
        0.01, ge=0, le=10, title="Entropy weight (γ)",
        description="Weight of the student's own uncertainty within the agreement of the answers.",
    )  # fmt: skip
    feature_weight: float = Field(
        1.0, ge=0, le=100, title="Feature weight",
        description="Weight of the agreement of the features relative to that of the answers.",
    )  # fmt: skip


class DoubleUncertainty(MeanTeacher):
    """Mean teacher weighted by the uncertainty of the teacher's answer and of its features."""

    key = "duwm"
    idea = STEADIER_COPY
    title = "Double-uncertainty weighted (DUWM, re-interpretation)"
    paper = Paper(
        "Wang, Zhang, Tian, Zhong, Shi, Zhang, He",
        "Double-uncertainty weighted method for semi-supervised learning",
        "MICCAI",
        2020,
    )
    summary = (
        "As mean teacher, but what the steadier copy sees and says counts by how sure it is of each "
        "(a re-interpretation; the authors published no code)."
    )
    cost = StepCost(forward=20, backward=2)
    unsupervised_terms = ("answer consistency", "feature consistency")
    Settings = DoubleUncertaintySettings
    settings: DoubleUncertaintySettings
    needs_dropout = 0.1
    native_maps = (
        *MeanTeacher.native_maps,
        NativeMap("segmentation_uncertainty", "Uncertainty of the segmentation", look="share"),
        NativeMap("feature_uncertainty", "Uncertainty of the features", look="share"),
    )

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and both weighted consistencies on all crops."""
        output = self.student(batch.images)
        student = torch.softmax(output.logits.float(), dim=1)
        of_answer, of_features = self.uncertainties(batch.plain_images)
        teacher = self.one_pass(batch.plain_images)
        target = torch.softmax(teacher.logits.float(), dim=1)

        answers = trusted_squared_difference(student, target, of_answer)
        answers = answers + self.settings.entropy_weight * normalised_entropy(student).mean()
        features = trusted_squared_difference(
            output.features.float(), teacher.features.float(), of_features
        )
        weight = self.weight(clock)
        certain = 1 - of_answer.mean(), 1 - of_features.mean()
        terms = {
            "supervised": segmentation_loss(output.logits[: batch.labelled], batch.labels),
            "answer consistency": weight * certain[0] * answers,
            "feature consistency": weight * self.settings.feature_weight * certain[1] * features,
        }
        return terms, {
            "weight": weight,
            "answer uncertainty": of_answer.mean().item(),
            "feature uncertainty": of_features.mean().item(),
        }

    def uncertainties(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the teacher's uncertainty of its answer and of its features.

        Parameters
        ----------
        images : Tensor
            (B, channels, *spatial).

        Returns
        -------
        of_answer, of_features : Tensor
            (B, *spatial) in 0…1: entropy over ln C, and variance scaled over each crop.
        """
        self.averaged.network.train()
        passes = repeat_passes(self.averaged, images, self.settings.passes, self.settings.noise)
        return normalised_entropy(passes.probabilities), passes.scaled_variance()

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Add both uncertainties, from dropout passes of the network that answers."""
        network = self.answering.eval()
        with dropout_active(network):
            passes = repeat_passes(network, answers.windows, MAP_PASSES, noise=0.0)
        return {
            **super().native_of(answers),
            "segmentation_uncertainty": normalised_entropy(passes.probabilities).unsqueeze(1),
            # Not scaled over the crop: windows side by side must show the same values.
            "feature_uncertainty": passes.random_share().unsqueeze(1),
        }
