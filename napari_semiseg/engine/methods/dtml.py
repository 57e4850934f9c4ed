"""DTML, dual-task mutual learning (spec §6.2).

Two networks of the same shape: one segments, the other regresses the signed distance to each
class's border. On labelled crops each learns its own task; on all crops the distance, turned into a
mask, and the segmentation have to agree, and each network takes the other's answer as given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.distance_head import distance_of, masks_of
from napari_semiseg.engine.methods.bodies.several_networks import TwoNetworkMethod
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.bodies.two_tasks import AgreeingTaskMethod, AgreeingTaskSettings
from napari_semiseg.engine.methods.contract import NativeMap, Paper, PatchMaps, StepCost
from napari_semiseg.engine.methods.ideas import BORDERS
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.distance_task import distance_loss, mask_dice_loss
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss


class DualTaskMutualLearningSettings(AgreeingTaskSettings):
    """Hyper-parameters of DTML."""

    consistency_weight: float = Field(
        2.0, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement between the two networks; the paper's 1 acts as 2 "
        "in the authors' code, where both networks receive both losses.",
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


class DualTaskMutualLearning(AgreeingTaskMethod, TwoNetworkMethod):
    """Mutual consistency between a segmentation network and a signed distance network.

    The student of the base class is the segmentation network; `partner` is the other.
    """

    key = "dtml"
    idea = BORDERS
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
        *AgreeingTaskMethod.native_maps,
    )
    needs_signed_distance = False  # of the student; the partner has that head
    needs_full_precision = True  # for the reason measured in DTC: gradients through a steep sigmoid

    def build_partner(self) -> nn.Module:
        """Build the distance network; its segmentation head stays unused."""
        return self.build(signed_distance_head=True)

    @property
    def regresses(self) -> bool:
        """Whether the distance network learns distances, not only their masks."""
        return self.settings.regression != "mask"

    def both_answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Ask each network for its own task."""
        return self.student(images).logits, self.partner(images).signed_distance

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

    def task_losses(
        self, logits: Tensor, distance: Tensor, labels: Tensor, target: Tensor | None
    ) -> Losses:
        """Return what labels teach each network."""
        terms = {"supervised": segmentation_loss(logits, labels)}
        if self.settings.regression != "distance":
            terms["mask"] = mask_dice_loss(distance, labels, self.settings.steepness)
        if target is not None:
            terms["distance"] = distance_loss(distance, target, labels)
        return terms

    @property
    def answering_distance(self) -> nn.Module:
        """The distance network."""
        return self.answering_partner

    def maps_of(self, answers: Answers, uncertainty: bool, native: bool) -> PatchMaps:
        """Take the distance network's map, and its masks into the answer where so set."""
        maps = super().maps_of(answers, uncertainty, native)
        partner, probabilities = self.answering_partner, maps.probabilities
        if self.settings.answer == "mean":
            probabilities = (probabilities + masks_of(answers, partner, self.settings)) / 2
        distance = distance_of(answers, partner)
        return replace(maps, probabilities=probabilities, signed_distance=distance)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Add what the segmentation network predicts by itself."""
        mine = answers.probabilities_of(self.answering)
        return {"segmentation_prediction": mine, **super().native_of(answers)}
