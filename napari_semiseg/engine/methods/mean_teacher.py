"""Mean teacher (spec §7.2): the student agrees with the average of its own past weights.

One step: the student sees all crops; the teacher sees the unlabelled ones with input noise; the
squared difference of their probabilities on unlabelled crops is added with a slowly rising weight;
then the teacher moves towards the student.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.student import Losses, StudentMethod
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.consistency import mean_squared_difference
from napari_semiseg.engine.parts.dropout_uncertainty import input_noise
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch


class MeanTeacherSettings(MethodSettings):
    """Hyper-parameters of mean teacher, with the values of the 3D experiments."""

    consistency_weight: float = Field(
        0.1, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement between student and teacher.",
    )  # fmt: skip
    ramp_share: float = Field(
        1.0, gt=0, le=1, title="Ramp length",
        description="Share of semi-supervised training over which the weight rises.",
    )  # fmt: skip
    teacher_decay: float = Field(
        0.99, ge=0, lt=1, title="Teacher decay",
        description="How slowly the teacher follows the student.",
    )  # fmt: skip
    noise: float = Field(
        0.1, ge=0, le=1, title="Input noise",
        description="Deviation of the noise on the teacher's input (scans have deviation 1).",
    )  # fmt: skip


class MeanTeacher(StudentMethod):
    """Consistency with an averaged teacher on unlabelled crops."""

    key = "mean-teacher"
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
        NativeMap("teacher_prediction", "Teacher's prediction", "classes", "classes"),
    )
    Settings: ClassVar[type[MethodSettings]] = MeanTeacherSettings
    settings: MeanTeacherSettings
    averaged: AveragedTeacher

    def __init__(self, plan: Plan, settings: MeanTeacherSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)

    @property
    def decay(self) -> float:
        """The teacher's decay; the teacher is the averaged network."""
        return self.settings.teacher_decay

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
        share = clock.semi_supervised_share / self.settings.ramp_share
        return self.settings.consistency_weight * stepped_ramp(min(share, 1.0))

    def consistency(
        self, student: Tensor, images: Tensor, clock: Clock
    ) -> tuple[Tensor, StepReport]:
        """Compare the student's probabilities with the teacher's on unlabelled crops."""
        return mean_squared_difference(student, self.teach(images)), {}

    def teach(self, images: Tensor) -> Tensor:
        """One noisy pass of the teacher with dropout on, as in the papers' code."""
        self.averaged.network.train()
        noisy = input_noise(images, self.settings.noise)
        return torch.softmax(self.averaged(noisy).logits.float(), dim=1)

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare student and teacher, one of which answers."""
        return answers.disagreement_of(self.student, self.averaged.network)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show what student and teacher say, each for itself."""
        return {
            "student_prediction": answers.probabilities_of(self.student),
            "teacher_prediction": answers.probabilities_of(self.averaged.network),
        }
