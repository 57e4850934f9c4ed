"""UG-MCL, uncertainty-guided mutual consistency learning (spec §6.3).

A student and its averaged teacher, each with a segmentation and a signed distance head. Within each
task the student agrees with the teacher where the teacher's dropout passes are certain; across the
tasks the student's distance, turned into a mask, agrees with its own segmentation. The heads are
separate as in the paper: the authors' code takes the distance from the segmentation logits, and then
both consistencies pull the same numbers in opposite directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.averaged_teacher import (
    CERTAIN_SHARE,
    TEACHER_PREDICTION,
    CertainTeacherMethod,
    CertainTeacherSettings,
)
from napari_semiseg.engine.methods.bodies.distance_head import (
    OWN_DISTANCE,
    SignedDistanceSettings,
    distance_of,
)
from napari_semiseg.engine.methods.bodies.ramped import RampedSettings
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.bodies.two_tasks import TwoTaskMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import BORDERS
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.consistency import certain_squared_difference
from napari_semiseg.engine.parts.distance_task import (
    distance_loss,
    mask_dice_loss,
    near_zero_share,
)
from napari_semiseg.engine.parts.ramps import gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.signed_distance import mask_probability
from napari_semiseg.engine.sampling.batches import Batch


class MutualConsistencySettings(RampedSettings, CertainTeacherSettings, SignedDistanceSettings):
    """Hyper-parameters of UG-MCL."""

    intra_task_weight: float = Field(
        0.1, ge=0, le=100, title="Intra-task weight",
        description="Final weight of the agreement between student and teacher.",
    )  # fmt: skip
    cross_task_weight: float = Field(
        0.1, ge=0, le=100, title="Cross-task weight",
        description="Final weight of the agreement between mask and signed distance.",
    )  # fmt: skip
    segmentation_share: float = Field(
        0.75, ge=0, le=1, title="Share of the segmentation (β)",
        description="Share of the segmentation in the agreement with the teacher; the rest is the "
        "signed distance's, which the authors' code leaves out (1).",
    )  # fmt: skip
    distance_loss: Literal["l2", "dice_of_mask", "both"] = Field(
        "l2", title="Loss of the distance head",
        description="On labelled crops: squared error of its distances (the paper), Dice of its mask "
        "(the authors' code), or the sum.",
    )  # fmt: skip
    distance_weight: float = Field(
        1.0, ge=0, le=10, title="Distance weight",
        description="Weight of the distance head's loss on labelled crops.",
    )  # fmt: skip
    masked_cross_task: bool = Field(
        False, title="Cross-task at certain voxels only",
        description="Limit the agreement between mask and signed distance to certain voxels too.",
    )  # fmt: skip


class MutualConsistency(TwoTaskMethod, CertainTeacherMethod):
    """Consistency with a certain teacher within each of two tasks, and between the tasks."""

    key = "ug-mcl"
    idea = BORDERS
    title = "Uncertainty-guided mutual consistency (UG-MCL)"
    paper = Paper(
        "Zhang, Jiao, Liao, Li, Zhang",
        "Uncertainty-guided mutual consistency learning for semi-supervised medical image "
        "segmentation",
        "Artificial Intelligence in Medicine",
        2023,
    )
    summary = (
        "Masks and distances to the border must agree with each other and, where it is sure, with a "
        "steadier copy of the network."
    )
    cost = StepCost(forward=20, backward=2)
    Settings = MutualConsistencySettings
    settings: MutualConsistencySettings
    native_maps = (
        TEACHER_PREDICTION,
        CERTAIN_SHARE,
        *TwoTaskMethod.native_maps,
        NativeMap(
            "teacher_distance", "Distance as the teacher learns it", "distance", "foreground"
        ),
    )
    needs_full_precision = True  # for the reason measured in DTC: gradients through a steep sigmoid
    unsupervised_terms = ("intra-task", "cross-task")

    @property
    def regresses(self) -> bool:
        """Whether the distance head learns distances, not only their masks."""
        return self.settings.distance_loss != "dice_of_mask"

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms and both consistencies on all crops."""
        target = self.begin_target(batch)
        logits, distance = self.both_answers(batch.images)
        segmentation = torch.softmax(logits.float(), dim=1)
        certain, scalars = self.certain_voxels(batch.plain_images, clock)
        ramp = gaussian_ramp(self.settings.ramp_position(clock))
        terms = self.labelled_losses(batch, logits, distance, target)
        intra = self.intra_task(segmentation, distance, batch.plain_images, certain)
        terms["intra-task"] = self.settings.intra_task_weight * ramp * intra
        cross = self.cross_task(segmentation, distance, certain)
        terms["cross-task"] = self.settings.cross_task_weight * ramp * cross
        return terms, scalars | {
            "weight": self.settings.intra_task_weight * ramp,
            "near zero level": near_zero_share(distance),
        }

    def intra_task(
        self, segmentation: Tensor, distance: Tensor, images: Tensor, certain: Tensor
    ) -> Tensor:
        """Compare both answers of the student with one noisy pass of the teacher.

        Parameters
        ----------
        segmentation, distance : Tensor
            (B, C, *spatial) probabilities and (B, C − 1, *spatial) signed distance of the student.
        images : Tensor
            (B, channels, *spatial) for the teacher.
        certain : Tensor
            (B, *spatial) bool.
        """
        teacher = self.one_pass(images)
        assert teacher.signed_distance is not None
        theirs = torch.softmax(teacher.logits.float(), dim=1)
        share = self.settings.segmentation_share
        return share * certain_squared_difference(segmentation, theirs, certain) + (
            1 - share
        ) * certain_squared_difference(distance, teacher.signed_distance, certain)

    def cross_task(self, segmentation: Tensor, distance: Tensor, certain: Tensor) -> Tensor:
        """Compare the student's two tasks with each other; gradients reach both heads.

        Of foreground classes only: the background has no signed distance of its own.
        """
        masks = mask_probability(distance, self.settings.steepness)
        difference = (segmentation[:, 1:] - masks).square()
        if not self.settings.masked_cross_task:
            return difference.mean()
        counted = certain.unsqueeze(1).expand_as(difference)
        return (difference * counted).sum() / counted.sum().clamp_min(1)

    def task_losses(
        self, logits: Tensor, distance: Tensor, labels: Tensor, target: Tensor | None
    ) -> Losses:
        """Return what labels teach each head."""
        regression = torch.zeros((), device=distance.device)
        if target is not None:
            regression = regression + distance_loss(distance, target, labels)
        if self.settings.distance_loss != "l2":
            regression = regression + mask_dice_loss(distance, labels, self.settings.steepness)
        return {
            "supervised": segmentation_loss(logits, labels),
            "distance": self.settings.distance_weight * regression,
        }

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show both tasks of student and teacher, and where the teacher is certain."""
        teacher = self.averaged.network
        return {
            **super().native_of(answers),
            TEACHER_PREDICTION.key: answers.probabilities_of(teacher),
            CERTAIN_SHARE.key: self.certain_share_of(answers),
            OWN_DISTANCE.key: distance_of(answers, self.student),
            "teacher_distance": distance_of(answers, teacher),
        }
