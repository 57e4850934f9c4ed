"""The common bodies of methods whose student learns from the average of its own past weights.

The averaged network of `StudentMethod` is then no matter of the recipe, but the teacher. What it says
is asked for in the papers' three ways: in one pass under noise and dropout; by how far several such
passes agree; and at inference without either.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    StepReport,
)
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.ramps import certainty_threshold
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.parts.uncertainty import (
    certain_share,
    entropy,
    input_noise,
    mean_of_passes,
    teacher_entropy,
)

TEACHER_PREDICTION = NativeMap("teacher_prediction", "Teacher's prediction", "classes", "classes")
CERTAIN_SHARE = NativeMap(
    "certain_share", "Share of training in which the teacher was believed", "share"
)


class TeacherSettings(MethodSettings):
    """How an averaged teacher follows its student."""

    teacher_decay: float = Field(
        0.99, ge=0, lt=1, title="Teacher decay",
        description="How slowly the teacher follows the student.",
    )  # fmt: skip


class TeacherMethod(StudentMethod):
    """A student and its average, which teaches it."""

    settings: TeacherSettings
    averaged: AveragedTeacher

    @property
    def decay(self) -> float:
        """The teacher's decay; the teacher is the averaged network."""
        return self.settings.teacher_decay

    def disagreement_of(self, answers: Answers) -> Tensor | None:
        """Compare student and teacher, one of which answers."""
        return answers.disagreement_of(self.student, self.averaged.network)


class NoisyTeacherSettings(TeacherSettings):
    """An averaged teacher that sees noisy crops."""

    noise: float = Field(
        0.1, ge=0, le=1, title="Input noise",
        description="Deviation of the noise on the teacher's input (scans have deviation 1).",
    )  # fmt: skip


class NoisyTeacherMethod(TeacherMethod):
    """A student and an averaged teacher that answers under noise and dropout."""

    settings: NoisyTeacherSettings

    def one_pass(self, images: Tensor) -> NetworkOutput:
        """One noisy pass of the teacher with dropout on, as in the papers' code.

        No gradient goes through it, and its rounding is far below its noise.
        """
        self.averaged.network.train()
        with self.quickly():
            output: NetworkOutput = self.averaged(input_noise(images, self.settings.noise))
        return output


class CertainTeacherSettings(NoisyTeacherSettings):
    """An averaged teacher of several noisy passes."""

    passes: int = Field(
        8, ge=2, le=64, title="Dropout passes",
        description="Passes of the teacher from which its uncertainty is estimated.",
    )  # fmt: skip


class CertainTeacherMethod(NoisyTeacherMethod):
    """A student that believes its averaged teacher where the teacher's dropout passes agree."""

    settings: CertainTeacherSettings
    needs_dropout = 0.1

    @torch.no_grad()
    def uncertainty(self, images: Tensor) -> Tensor:
        """Entropy (B, *spatial) of the teacher's mean segmentation over noisy dropout passes."""
        self.averaged.network.train()
        with self.quickly():
            mean = mean_of_passes(
                lambda crops: torch.softmax(self.averaged(crops).logits.float(), dim=1),
                images,
                self.settings.passes,
                self.settings.noise,
            )
        return entropy(mean)

    def certain_voxels(self, images: Tensor, clock: Clock) -> tuple[Tensor, StepReport]:
        """Tell where the teacher is certain enough at this moment.

        Parameters
        ----------
        images : Tensor
            (B, channels, *spatial).
        clock : Clock
            The moment; the threshold rises from 3/4 of ln C to ln C.

        Returns
        -------
        certain : Tensor
            (B, *spatial) bool.
        scalars : dict
            The threshold, and the share of voxels below it.
        """
        threshold = certainty_threshold(clock.semi_supervised_share, self.plan.classes)
        certain = self.uncertainty(images) < threshold
        return certain, {
            "threshold": threshold,
            "certain share": certain.float().mean().item(),
        }

    def certain_share_of(self, answers: Answers) -> Tensor:
        """Share (B, 1, *spatial) of training in which the teacher is believed."""
        noise, passes = self.settings.noise, self.settings.passes
        uncertainty = teacher_entropy(self.averaged.network, answers.windows, passes, noise)
        return certain_share(uncertainty, self.plan.classes).unsqueeze(1)
