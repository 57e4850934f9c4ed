"""Mean teacher (spec §7.2): the student agrees with the average of its own past weights.

One step: the student sees all crops; the teacher sees the unlabelled ones with input noise; the
squared difference of their probabilities on unlabelled crops is added with a slowly rising weight;
then the teacher moves towards the student.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from napari_semiseg.engine.methods.bodies.averaged_teacher import (
    TEACHER_PREDICTION,
    NoisyTeacherMethod,
    NoisyTeacherSettings,
)
from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import STEADIER_COPY
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.consistency import mean_squared_difference
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch


class MeanTeacherSettings(NoisyTeacherSettings, RampedConsistencySettings):
    """Hyper-parameters of mean teacher, with the values of the 3D experiments."""


class MeanTeacher(NoisyTeacherMethod):
    """Consistency with an averaged teacher on unlabelled crops."""

    key = "mean-teacher"
    idea = STEADIER_COPY
    title = "Mean teacher"
    paper = Paper(
        "Tarvainen, Valpola",
        "Mean teachers are better role models: weight-averaged consistency targets improve "
        "semi-supervised deep learning results",
        "NeurIPS",
        2017,
    )
    summary = "Unlabelled scans teach the network to agree with a steadier copy of itself."
    cost = StepCost(forward=3, backward=2)
    native_maps: ClassVar[tuple[NativeMap, ...]] = (
        NativeMap("student_prediction", "Student's prediction", "classes", "classes"),
        TEACHER_PREDICTION,
    )
    Settings: ClassVar[type[MethodSettings]] = MeanTeacherSettings
    settings: MeanTeacherSettings

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised and the consistency term."""
        logits = self.student(batch.images).logits
        unlabelled = torch.softmax(logits[batch.labelled :].float(), dim=1)
        weight = self.weight(clock)
        consistency, scalars = self.consistency(
            unlabelled, batch.plain_images[batch.labelled :], clock
        )
        terms = {
            "supervised": segmentation_loss(logits[: batch.labelled], batch.labels),
            "consistency": weight * consistency,
        }
        return terms, scalars | {"weight": weight}

    def weight(self, clock: Clock) -> float:
        """Weight of the consistency term at this moment."""
        return self.settings.weight(clock, stepped_ramp)

    def consistency(
        self, student: Tensor, images: Tensor, clock: Clock
    ) -> tuple[Tensor, StepReport]:
        """Compare the student's probabilities with the teacher's on unlabelled crops."""
        return mean_squared_difference(student, self.teach(images)), {}

    def teach(self, images: Tensor) -> Tensor:
        """One noisy pass of the teacher with dropout on, as in the papers' code."""
        return torch.softmax(self.one_pass(images).logits.float(), dim=1)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show what student and teacher say, each for itself."""
        return {
            "student_prediction": answers.probabilities_of(self.student),
            TEACHER_PREDICTION.key: answers.probabilities_of(self.averaged.network),
        }
