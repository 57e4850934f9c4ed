"""UG-MCL, uncertainty-guided mutual consistency learning (spec §6.3).

A student and its averaged teacher, each with a segmentation and a signed distance head. Within each
task the student agrees with the teacher where the teacher's dropout passes are certain; across the
tasks the student's distance, turned into a mask, agrees with its own segmentation. The heads are
separate as in the paper: the authors' code takes the distance from the segmentation logits, and then
both consistencies pull the same numbers in opposite directions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    Paper,
    PatchMaps,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.student import Losses, StudentMethod
from napari_semiseg.engine.parts.consistency import certain_squared_difference
from napari_semiseg.engine.parts.disagreement import class_probabilities, total_variation
from napari_semiseg.engine.parts.dropout_uncertainty import entropy, input_noise, mean_of_passes
from napari_semiseg.engine.parts.ramps import certainty_threshold, gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import dice_loss, segmentation_loss
from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    mask_probability,
    signed_distance_target,
)
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch

NEAR_ZERO = 0.01


class MutualConsistencySettings(MethodSettings):
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
    steepness: float = Field(
        1500.0, gt=0, le=10_000, title="Steepness",
        description="How sharply a signed distance turns into a mask.",
    )  # fmt: skip
    normalisation: Literal["per_side_max", "clip"] = Field(
        "per_side_max", title="Distance normalisation",
        description="By the largest distance in the crop (the authors' code), or clipped at a reach "
        "in mm, so that the head's map has a unit.",
    )  # fmt: skip
    reach: float = Field(
        10.0, gt=0, le=200, title="Reach (mm)",
        description="Distance that a clipped map can show.",
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
        regressed = self.settings.distance_loss != "dice_of_mask"
        clipped = self.settings.normalisation == "clip"
        return self.settings.reach if regressed and clipped else None

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms and both consistencies on all crops."""
        output = self.student(batch.images)
        logits, distance = output.logits, output.signed_distance
        segmentation = torch.softmax(logits.float(), dim=1)
        threshold = certainty_threshold(clock.semi_supervised_share, self.plan.classes)
        certain = self.uncertainty(batch.plain_images) < threshold
        ramp = gaussian_ramp(clock.semi_supervised_share / self.settings.ramp_share)
        terms = self._supervised(batch, logits[: batch.labelled], distance[: batch.labelled])
        intra = self.intra_task(segmentation, distance, batch.plain_images, certain)
        terms["intra-task"] = self.settings.intra_task_weight * ramp * intra
        cross = self.cross_task(segmentation, distance, certain)
        terms["cross-task"] = self.settings.cross_task_weight * ramp * cross
        return terms, {
            "weight": self.settings.intra_task_weight * ramp,
            "threshold": threshold,
            "certain share": certain.float().mean().item(),
            "near zero level": (distance.detach().abs() < NEAR_ZERO).float().mean().item(),
        }

    @torch.no_grad()
    def uncertainty(self, images: Tensor) -> Tensor:
        """Entropy (B, *spatial) of the teacher's mean segmentation over noisy dropout passes."""
        self.averaged.network.train()
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
        output = self.student(batch.images[: batch.labelled])
        return self._supervised(batch, output.logits, output.signed_distance)

    def _supervised(self, batch: Batch, logits: Tensor, distance: Tensor) -> Losses:
        regression = torch.zeros((), device=distance.device)
        if self.settings.distance_loss != "dice_of_mask":
            options = SignedDistanceOptions(self.settings.normalisation, reach=self.settings.reach)
            target = signed_distance_target(batch.labels, self.plan.classes, batch.spacing, options)
            regression = regression + F.mse_loss(distance, target)
        if self.settings.distance_loss != "l2":
            masks = mask_probability(distance, self.settings.steepness)
            unscored = torch.zeros_like(masks[:, :1])  # the background takes no part in the Dice
            regression = regression + dice_loss(torch.cat([unscored, masks], dim=1), batch.labels)
        return {
            "supervised": segmentation_loss(logits, batch.labels),
            "distance": self.settings.distance_weight * regression,
        }

    @torch.no_grad()
    def predict(self, patch: Tensor, uncertainty: bool = True, native: bool = False) -> PatchMaps:
        """Answer with the segmentation head, and show where the distance head differs."""
        maps = super().predict(patch, uncertainty, native)
        assert maps.signed_distance is not None
        other = class_probabilities(mask_probability(maps.signed_distance, self.settings.steepness))
        return replace(maps, disagreement=total_variation(maps.probabilities, other))
