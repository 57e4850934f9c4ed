"""DTC, dual-task consistency (spec §7.5).

One network with two heads, segmentation and signed distance. On labelled crops each learns its
target; on all crops the distance, turned into a mask, has to agree with the segmentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.contract import (
    Clock,
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
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.distance_task import (
    distance_loss,
    near_zero_share,
)
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import dice_loss, segmentation_loss
from napari_semiseg.engine.parts.signed_distance import mask_probability
from napari_semiseg.engine.sampling.batches import Batch


class DualTaskConsistencySettings(SignedDistanceSettings):
    """Hyper-parameters of DTC."""

    consistency_weight: float = Field(
        1.0, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement between mask and signed distance.",
    )  # fmt: skip
    ramp_share: float = Field(
        1.0, gt=0, le=1, title="Ramp length",
        description="Share of semi-supervised training over which the weight rises.",
    )  # fmt: skip
    distance_weight: float = Field(
        0.3, ge=0, le=10, title="Distance weight",
        description="Weight of the signed distance regression on labelled crops.",
    )  # fmt: skip
    supervised: Literal["dice", "dice+cross-entropy"] = Field(
        "dice", title="Supervised loss",
        description="The authors' code minimises Dice alone; the paper of its successors both.",
    )  # fmt: skip


class DualTaskConsistency(StudentMethod):
    """Consistency between a segmentation head and a signed distance head of one network."""

    key = "dtc"
    title = "Dual-task consistency (DTC)"
    paper = Paper(
        "Luo, Chen, Song, Wang",
        "Semi-supervised medical image segmentation through dual-task consistency",
        "AAAI",
        2021,
    )
    summary = "The network also learns how far each voxel is from the border; both must agree."
    cost = StepCost(forward=2, backward=2)
    Settings = DualTaskConsistencySettings
    settings: DualTaskConsistencySettings
    native_maps = (DISTANCE_MASKS, OWN_DISTANCE)
    needs_signed_distance = True
    # A sigmoid of slope 1500 amplifies the rounding of bfloat16 features: the consistency gradient
    # then has a cosine of 0.3 (U-Net) and 0.01 (V-Net) to the float32 one at the start of training,
    # even with the head and the last decoder block in float32.
    needs_full_precision = True

    @property
    def signed_distance_reach(self) -> float | None:
        """The clipping reach in mm; the papers' normalisation has no unit."""
        return self.settings.distance_options.millimetres

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms and the dual-task consistency on all crops."""
        target = begin_target(batch, self.plan.classes, self.settings)
        output = self.student(batch.images)
        probabilities = torch.softmax(output.logits.float(), dim=1)
        masks = mask_probability(output.signed_distance, self.settings.steepness)
        weight = self.settings.consistency_weight * stepped_ramp(
            min(clock.semi_supervised_share / self.settings.ramp_share, 1.0)
        )
        terms = self._supervised(batch, output.logits, output.signed_distance, target)
        terms["consistency"] = weight * F.mse_loss(masks, probabilities[:, 1:])
        return terms, {
            "weight": weight,
            "near zero level": near_zero_share(output.signed_distance),
        }

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the two supervised terms for the warm start."""
        target = begin_target(batch, self.plan.classes, self.settings)
        output = self.student(batch.images[: batch.labelled])
        return self._supervised(batch, output.logits, output.signed_distance, target)

    def _supervised(
        self, batch: Batch, logits: Tensor, distance: Tensor, target: Future[Tensor]
    ) -> Losses:
        logits, distance = logits[: batch.labelled], distance[: batch.labelled]
        if self.settings.supervised == "dice":
            overlap = dice_loss(torch.softmax(logits.float(), dim=1), batch.labels)
        else:
            overlap = segmentation_loss(logits, batch.labels)
        regression = distance_loss(distance, target.result(), batch.labels)
        return {"supervised": overlap, "distance": self.settings.distance_weight * regression}

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the two heads, the distance turned into masks."""
        masks = masks_of(answers, self.answering, self.settings)
        return total_variation(answers.probabilities_of(self.answering), masks)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the signed distance as it is learnt, and its masks as a prediction of its own."""
        return {
            DISTANCE_MASKS.key: masks_of(answers, self.answering, self.settings),
            OWN_DISTANCE.key: distance_of(answers, self.answering),
        }
