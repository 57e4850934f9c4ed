"""UG-MCL, uncertainty-guided mutual consistency learning (spec §6.3).

A student and its averaged teacher, each with a segmentation and a signed distance head. Within each
task the student agrees with the teacher where the teacher's dropout passes are certain; across the
tasks the student's distance, turned into a mask, agrees with its own segmentation. The heads are
separate as in the paper: the authors' code takes the distance from the segmentation logits, and then
both consistencies pull the same numbers in opposite directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.distance_head import (
    DISTANCE_MASKS,
    OWN_DISTANCE,
    SignedDistanceSettings,
    begin_target,
    distance_of,
    masks_of,
)
from napari_semiseg.engine.methods.student import Losses, StudentMethod
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.certainty import certain_share, teacher_entropy
from napari_semiseg.engine.parts.consistency import certain_squared_difference
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.distance_task import (
    distance_loss,
    mask_dice_loss,
    near_zero_share,
)
from napari_semiseg.engine.parts.dropout_uncertainty import entropy, input_noise, mean_of_passes
from napari_semiseg.engine.parts.ramps import certainty_threshold, gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.signed_distance import mask_probability
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch


class MutualConsistencySettings(SignedDistanceSettings):
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
    ramp_share: float = Field(
        1.0, gt=0, le=1, title="Ramp length",
        description="Share of semi-supervised training over which both weights rise.",
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
    passes: int = Field(
        8, ge=2, le=64, title="Dropout passes",
        description="Passes of the teacher from which its uncertainty is estimated.",
    )  # fmt: skip
    noise: float = Field(
        0.1, ge=0, le=1, title="Input noise",
        description="Deviation of the noise on the teacher's input (scans have deviation 1).",
    )  # fmt: skip
    teacher_decay: float = Field(
        0.99, ge=0, lt=1, title="Teacher decay",
        description="How slowly the teacher follows the student.",
    )  # fmt: skip


class MutualConsistency(StudentMethod):
    """Consistency with a certain teacher within each of two tasks, and between the tasks."""

    key = "ug-mcl"
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
    averaged: AveragedTeacher
    native_maps = (
        NativeMap("teacher_prediction", "Teacher's prediction", "classes", "classes"),
        NativeMap("certain_share", "Share of training in which the teacher was believed", "share"),
        DISTANCE_MASKS,
        OWN_DISTANCE,
        NativeMap(
            "teacher_distance", "Distance as the teacher learns it", "distance", "foreground"
        ),
    )
    needs_dropout = 0.1
    needs_signed_distance = True
    needs_full_precision = True  # for the reason measured in DTC: gradients through a steep sigmoid
    unsupervised_terms = ("intra-task", "cross-task")

    def __init__(self, plan: Plan, settings: MutualConsistencySettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)

    @property
    def decay(self) -> float:
        """The teacher's decay; the teacher is the averaged network."""
        return self.settings.teacher_decay

    @property
    def signed_distance_reach(self) -> float | None:
        """The clipping reach in mm where distances are regressed; a mask loss gives no unit."""
        return self.settings.distance_options.millimetres if self.regresses else None

    @property
    def regresses(self) -> bool:
        """Whether the distance head learns distances, not only their masks."""
        return self.settings.distance_loss != "dice_of_mask"

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms and both consistencies on all crops."""
        target = self.begin_target(batch)
        output = self.student(batch.images)
        logits, distance = output.logits, output.signed_distance
        segmentation = torch.softmax(logits.float(), dim=1)
        threshold = certainty_threshold(clock.semi_supervised_share, self.plan.classes)
        certain = self.uncertainty(batch.plain_images) < threshold
        ramp = gaussian_ramp(clock.semi_supervised_share / self.settings.ramp_share)
        terms = self._supervised(batch, logits, distance, target)
        intra = self.intra_task(segmentation, distance, batch.plain_images, certain)
        terms["intra-task"] = self.settings.intra_task_weight * ramp * intra
        cross = self.cross_task(segmentation, distance, certain)
        terms["cross-task"] = self.settings.cross_task_weight * ramp * cross
        return terms, {
            "weight": self.settings.intra_task_weight * ramp,
            "threshold": threshold,
            "certain share": certain.float().mean().item(),
            "near zero level": near_zero_share(distance),
        }

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
        self.averaged.network.train()
        teacher = self.averaged(input_noise(images, self.settings.noise))
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

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised terms of both tasks for the warm start."""
        target = self.begin_target(batch)
        output = self.student(batch.images[: batch.labelled])
        return self._supervised(batch, output.logits, output.signed_distance, target)

    def begin_target(self, batch: Batch) -> Future[Tensor] | None:
        """Start to make the distances to learn, if they are learnt."""
        return begin_target(batch, self.plan.classes, self.settings) if self.regresses else None

    def _supervised(
        self, batch: Batch, logits: Tensor, distance: Tensor, target: Future[Tensor] | None
    ) -> Losses:
        logits, distance = logits[: batch.labelled], distance[: batch.labelled]
        regression = torch.zeros((), device=distance.device)
        if target is not None:
            regression = regression + distance_loss(distance, target.result(), batch.labels)
        if self.settings.distance_loss != "l2":
            steepness = self.settings.steepness
            regression = regression + mask_dice_loss(distance, batch.labels, steepness)
        return {
            "supervised": segmentation_loss(logits, batch.labels),
            "distance": self.settings.distance_weight * regression,
        }

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the two heads, the distance turned into masks."""
        masks = masks_of(answers, self.answering, self.settings)
        return total_variation(answers.probabilities_of(self.answering), masks)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show both tasks of student and teacher, and where the teacher is certain."""
        teacher = self.averaged.network
        noise, passes = self.settings.noise, self.settings.passes
        uncertainty = teacher_entropy(teacher, answers.windows, passes, noise)
        return {
            "teacher_prediction": answers.probabilities_of(teacher),
            "certain_share": certain_share(uncertainty, self.plan.classes).unsqueeze(1),
            DISTANCE_MASKS.key: masks_of(answers, self.answering, self.settings),
            OWN_DISTANCE.key: distance_of(answers, self.student),
            "teacher_distance": distance_of(answers, teacher),
        }
