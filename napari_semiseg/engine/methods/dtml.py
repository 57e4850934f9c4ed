"""DTML, dual-task mutual learning (spec §6.2).

Two networks of the same shape: one segments, the other regresses the signed distance to each
class's border. On labelled crops each learns its own task; on all crops the distance, turned into a
mask, and the segmentation have to agree, and each network takes the other's answer as given.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    PatchMaps,
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
from napari_semiseg.engine.methods.student import Losses
from napari_semiseg.engine.methods.two_networks import TwoNetworkMethod
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.distance_task import (
    distance_loss,
    mask_dice_loss,
    near_zero_share,
)
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.signed_distance import mask_probability
from napari_semiseg.engine.sampling.batches import Batch


class DualTaskMutualLearningSettings(SignedDistanceSettings):
    """Hyper-parameters of DTML."""

    consistency_weight: float = Field(
        2.0, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement between the two networks; the paper's 1 acts as 2 "
        "in the authors' code, where both networks receive both losses.",
    )  # fmt: skip
    ramp_share: float = Field(
        1.0, gt=0, le=1, title="Ramp length",
        description="Share of semi-supervised training over which the weight rises.",
    )  # fmt: skip
    peers: Literal["detached", "undetached"] = Field(
        "detached", title="Peer's gradient",
        description="Each network takes the other's answer as given; or, as in the authors' code, the "
        "losses of both pass through both, which doubles the weight.",
    )  # fmt: skip
    regression: Literal["mask", "distance", "both"] = Field(
        "mask", title="Loss of the distance network",
        description="Dice of its mask (best Dice in the paper), squared error of its distances, or "
        "the sum (best HD95 in the paper).",
    )  # fmt: skip
    answer: Literal["segmentation", "mean"] = Field(
        "segmentation", title="Answer",
        description="The segmentation network alone (the paper), or the mean of both networks.",
    )  # fmt: skip


class DualTaskMutualLearning(TwoNetworkMethod):
    """Mutual consistency between a segmentation network and a signed distance network.

    The student of the base class is the segmentation network; `partner` is the other.
    """

    key = "dtml"
    title = "Dual-task mutual learning (DTML)"
    paper = Paper(
        "Zhang, Zhang",
        "Dual-task mutual learning for semi-supervised medical image segmentation",
        "PRCV",
        2021,
    )
    summary = "Two networks, one for masks and one for distances to the border, teach each other."
    cost = StepCost(forward=4, backward=4)
    Settings = DualTaskMutualLearningSettings
    settings: DualTaskMutualLearningSettings
    native_maps = (
        NativeMap(
            "segmentation_prediction", "Segmentation network's prediction", "classes", "classes"
        ),
        DISTANCE_MASKS,
        OWN_DISTANCE,
    )
    needs_full_precision = True  # for the reason measured in DTC: gradients through a steep sigmoid

    def build_partner(self) -> nn.Module:
        """Build the distance network; its segmentation head stays unused."""
        return self.build(signed_distance_head=True)

    @property
    def signed_distance_reach(self) -> float | None:
        """The clipping reach in mm where distances are regressed; a mask loss gives no unit."""
        return self.settings.distance_options.millimetres if self.regresses else None

    @property
    def regresses(self) -> bool:
        """Whether the distance network learns distances, not only their masks."""
        return self.settings.regression != "mask"

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms of both networks and their agreement on all crops."""
        target = self.begin_target(batch)
        logits = self.student(batch.images).logits
        distance = self.partner(batch.images).signed_distance
        segmentation = torch.softmax(logits.float(), dim=1)[:, 1:]
        masks = mask_probability(distance, self.settings.steepness)
        weight = self.settings.consistency_weight * stepped_ramp(
            min(clock.semi_supervised_share / self.settings.ramp_share, 1.0)
        )
        terms = self._supervised(batch, logits, distance, target)
        terms["consistency"] = weight * self.consistency(segmentation, masks)
        return terms, {"weight": weight, "near zero level": near_zero_share(distance)}

    def consistency(self, segmentation: Tensor, masks: Tensor) -> Tensor:
        """Sum the consistency losses of the two networks.

        Parameters
        ----------
        segmentation, masks : Tensor
            (B, C − 1, *spatial) foreground probabilities of the one and of the other network.
        """
        if self.settings.peers == "undetached":
            return 2 * F.mse_loss(segmentation, masks)
        return F.mse_loss(segmentation, masks.detach()) + F.mse_loss(masks, segmentation.detach())

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised terms of both networks for the warm start."""
        target = self.begin_target(batch)
        images = batch.images[: batch.labelled]
        logits, distance = self.student(images).logits, self.partner(images).signed_distance
        return self._supervised(batch, logits, distance, target)

    def begin_target(self, batch: Batch) -> Future[Tensor] | None:
        """Start to make the distances to learn, if they are learnt."""
        return begin_target(batch, self.plan.classes, self.settings) if self.regresses else None

    def _supervised(
        self, batch: Batch, logits: Tensor, distance: Tensor, target: Future[Tensor] | None
    ) -> Losses:
        logits, distance = logits[: batch.labelled], distance[: batch.labelled]
        terms = {"supervised": segmentation_loss(logits, batch.labels)}
        if self.settings.regression != "distance":
            terms["mask"] = mask_dice_loss(distance, batch.labels, self.settings.steepness)
        if target is not None:
            terms["distance"] = distance_loss(distance, target.result(), batch.labels)
        return terms

    def maps_of(self, answers: Answers, uncertainty: bool, native: bool) -> PatchMaps:
        """Take the distance network's map, and its masks into the answer where so set."""
        maps = super().maps_of(answers, uncertainty, native)
        partner, probabilities = self.answering_partner, maps.probabilities
        if self.settings.answer == "mean":
            probabilities = (probabilities + masks_of(answers, partner, self.settings)) / 2
        distance = distance_of(answers, partner)
        return replace(maps, probabilities=probabilities, signed_distance=distance)

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the two networks, the distance turned into masks."""
        masks = masks_of(answers, self.answering_partner, self.settings)
        return total_variation(answers.probabilities_of(self.answering), masks)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show what each network predicts, and the signed distance as it is learnt."""
        partner = self.answering_partner
        return {
            "segmentation_prediction": answers.probabilities_of(self.answering),
            DISTANCE_MASKS.key: masks_of(answers, partner, self.settings),
            OWN_DISTANCE.key: distance_of(answers, partner),
        }
