"""DTML, dual-task mutual learning (spec §6.2).

Two networks of the same shape: one segments, the other regresses the signed distance to each
class's border. On labelled crops each learns its own task; on all crops the distance, turned into a
mask, and the segmentation have to agree, and each network takes the other's answer as given.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    Paper,
    PatchMaps,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.optimisation import descend, make_optimiser
from napari_semiseg.engine.methods.student import Losses, StudentMethod
from napari_semiseg.engine.parts.disagreement import class_probabilities, total_variation
from napari_semiseg.engine.parts.ramps import stepped_ramp
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


class DualTaskMutualLearningSettings(MethodSettings):
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
    steepness: float = Field(
        1500.0, gt=0, le=10_000, title="Steepness",
        description="How sharply a signed distance turns into a mask.",
    )  # fmt: skip
    normalisation: Literal["per_side_max", "clip"] = Field(
        "per_side_max", title="Distance normalisation",
        description="Of the squared error's target: by the largest distance in the crop (the authors' "
        "code), or clipped at a reach in mm, so that the map has a unit.",
    )  # fmt: skip
    reach: float = Field(
        10.0, gt=0, le=200, title="Reach (mm)",
        description="Distance that a clipped map can show.",
    )  # fmt: skip
    answer: Literal["segmentation", "mean"] = Field(
        "segmentation", title="Answer",
        description="The segmentation network alone (the paper), or the mean of both networks.",
    )  # fmt: skip


class DualTaskMutualLearning(StudentMethod):
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
    needs_full_precision = True  # for the reason measured in DTC: gradients through a steep sigmoid

    def __init__(
        self, plan: Plan, settings: DualTaskMutualLearningSettings, fabric: Fabric
    ) -> None:
        super().__init__(plan, settings, fabric)
        network = self.build(signed_distance_head=True)  # its segmentation head stays unused
        self.partner, self.partner_optimiser = fabric.setup(
            network, make_optimiser(network, plan.recipe)
        )
        self.averaged_partner: AveragedTeacher | None = None
        if self.decay is not None:
            self.averaged_partner = AveragedTeacher(self.partner, self.decay)

    @property
    def signed_distance_reach(self) -> float | None:
        """The clipping reach in mm where distances are regressed; a mask loss gives no unit."""
        regressed = self.settings.regression != "mask" and self.settings.normalisation == "clip"
        return self.settings.reach if regressed else None

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise both networks once, each with its own optimiser."""
        self.student.train()
        self.partner.train()
        if batch.unlabelled and clock.warm:
            terms, scalars = self.losses(batch, clock)
        else:
            terms, scalars = self.supervised_losses(batch), {}
        loss = torch.stack(list(terms.values())).sum()
        stepped = self._descend(loss, clock)
        report = {"loss": loss.item()} | {name: term.item() for name, term in terms.items()}
        return report | scalars | ({} if stepped else {"skipped": 1.0})

    def _descend(self, loss: Tensor, clock: Clock) -> bool:
        """One backward pass for both networks, before either of them changes."""
        self.optimiser.zero_grad()
        self.partner_optimiser.zero_grad()
        self.fabric.backward(loss)
        recipe = self.plan.recipe
        stepped = [
            descend(self.fabric, self.student, self.optimiser, recipe, clock),
            descend(self.fabric, self.partner, self.partner_optimiser, recipe, clock),
        ]
        if all(stepped) and self.averaged is not None and self.averaged_partner is not None:
            self.averaged.update(self.student)
            self.averaged_partner.update(self.partner)
        return all(stepped)

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms of both networks and their agreement on all crops."""
        logits = self.student(batch.images).logits
        distance = self.partner(batch.images).signed_distance
        segmentation = torch.softmax(logits.float(), dim=1)[:, 1:]
        masks = mask_probability(distance, self.settings.steepness)
        weight = self.settings.consistency_weight * stepped_ramp(
            min(clock.semi_supervised_share / self.settings.ramp_share, 1.0)
        )
        terms = self._supervised(batch, logits[: batch.labelled], distance[: batch.labelled])
        terms["consistency"] = weight * self.consistency(segmentation, masks)
        near_zero = (distance.detach().abs() < NEAR_ZERO).float().mean().item()
        return terms, {"weight": weight, "near zero level": near_zero}

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
        images = batch.images[: batch.labelled]
        return self._supervised(
            batch, self.student(images).logits, self.partner(images).signed_distance
        )

    def _supervised(self, batch: Batch, logits: Tensor, distance: Tensor) -> Losses:
        terms = {"supervised": segmentation_loss(logits, batch.labels)}
        if self.settings.regression != "distance":
            masks = mask_probability(distance, self.settings.steepness)
            unscored = torch.zeros_like(masks[:, :1])  # the background takes no part in the Dice
            terms["mask"] = dice_loss(torch.cat([unscored, masks], dim=1), batch.labels)
        if self.settings.regression != "mask":
            options = SignedDistanceOptions(self.settings.normalisation, reach=self.settings.reach)
            target = signed_distance_target(batch.labels, self.plan.classes, batch.spacing, options)
            terms["distance"] = F.mse_loss(distance, target)
        return terms

    @property
    def answering_partner(self) -> nn.Module:
        """The distance network that answers at inference."""
        return self.partner if self.averaged_partner is None else self.averaged_partner.network

    @torch.no_grad()
    def predict(self, patch: Tensor, uncertainty: bool = True, native: bool = False) -> PatchMaps:
        """Answer with the segmentation network or the mean of both, and show where they differ."""
        maps = super().predict(patch, uncertainty, native)
        self.answering_partner.eval()
        distance = self.answering_partner(patch).signed_distance
        other = class_probabilities(mask_probability(distance, self.settings.steepness))
        mean = self.settings.answer == "mean"
        return replace(
            maps,
            probabilities=(maps.probabilities + other) / 2 if mean else maps.probabilities,
            signed_distance=distance,
            disagreement=total_variation(maps.probabilities, other),
        )

    def networks(self) -> dict[str, nn.Module]:
        """Add the distance network and, where there is one, its averaged copy."""
        networks = super().networks() | {"partner": self.partner}
        if self.averaged_partner is not None:
            networks["averaged partner"] = self.averaged_partner.network
        return networks

    def optimisers(self) -> dict[str, Any]:
        """Return the optimiser of each network."""
        return super().optimisers() | {"partner": self.partner_optimiser}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore both networks; their averages have gone through the same number of steps."""
        super().load_state_dict(state)
        if self.averaged is not None and self.averaged_partner is not None:
            self.averaged_partner.updates = self.averaged.updates
