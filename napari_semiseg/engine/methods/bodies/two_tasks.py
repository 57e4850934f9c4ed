"""The common bodies of methods that segment, and learn signed distances to the borders beside it.

The two answers come from two heads of one network or from two networks. On labelled crops each task
has its target; what a method makes of the other crops is its own, or the agreement of the tasks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.distance_head import (
    DISTANCE_MASKS,
    OWN_DISTANCE,
    SignedDistanceSettings,
    begin_target,
    distance_of,
    masks_of,
)
from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings
from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import Clock, NativeMap, StepReport
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.distance_task import distance_loss, near_zero_share
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import loss_on_labels
from napari_semiseg.engine.parts.signed_distance import mask_probability
from napari_semiseg.engine.sampling.batches import Batch


class TwoTaskMethod(StudentMethod):
    """Segmentation and signed distance, by default by two heads of the student."""

    settings: SignedDistanceSettings
    needs_signed_distance = True
    native_maps: ClassVar[tuple[NativeMap, ...]] = (DISTANCE_MASKS, OWN_DISTANCE)

    @property
    def regresses(self) -> bool:
        """Whether distances are learnt, not only their masks."""
        return True

    @property
    def signed_distance_reach(self) -> float | None:
        """The clipping reach in mm where distances are regressed.

        The papers' normalisation gives no unit, and a loss of the masks neither.
        """
        return self.settings.distance_options.millimetres if self.regresses else None

    def both_answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C, *spatial) and signed distances (B, C − 1, *spatial) of crops."""
        output = self.student(images)
        return output.logits, output.signed_distance

    def begin_target(self, batch: Batch) -> Future[Tensor] | None:
        """Start to make the distances to learn, if they are learnt."""
        return begin_target(batch, self.plan.classes, self.settings) if self.regresses else None

    @abstractmethod
    def task_losses(
        self, logits: Tensor, distance: Tensor, labels: Tensor, target: Tensor | None
    ) -> Losses:
        """Return what labels teach each task.

        Parameters
        ----------
        logits, distance : Tensor
            (labelled, C, *spatial) and (labelled, C − 1, *spatial).
        labels : Tensor
            (labelled, *spatial) int64 class indices, 255 ignored.
        target : Tensor or None
            Distances to learn, like ``distance``; None where they are not learnt.
        """

    def labelled_losses(
        self, batch: Batch, logits: Tensor, distance: Tensor, target: Future[Tensor] | None
    ) -> Losses:
        """Return what labels teach each task, of answers to all crops or to the labelled ones."""
        split = batch.labelled
        ready = None if target is None else target.result()
        return self.task_losses(logits[:split], distance[:split], batch.labels, ready)

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised terms of both tasks for the warm start."""
        target = self.begin_target(batch)
        logits, distance = self.both_answers(batch.images[: batch.labelled])
        return self.labelled_losses(batch, logits, distance, target)

    @property
    def answering_distance(self) -> nn.Module:
        """The network whose signed distance is shown."""
        return self.answering

    def disagreement_of(self, answers: Answers) -> Tensor | None:
        """Compare the two tasks, the distance turned into masks."""
        masks = masks_of(answers, self.answering_distance, self.settings)
        return total_variation(answers.probabilities_of(self.answering), masks)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the signed distance as it is learnt, and its masks as a prediction of its own."""
        return {
            DISTANCE_MASKS.key: masks_of(answers, self.answering_distance, self.settings),
            OWN_DISTANCE.key: distance_of(answers, self.answering_distance),
        }


class TwoHeadSettings(SignedDistanceSettings):
    """What labels teach the two heads of a network."""

    distance_weight: float = Field(
        0.3, ge=0, le=10, title="Distance weight",
        description="Weight of the signed distance regression on labelled crops.",
    )  # fmt: skip
    supervised: Literal["dice", "dice+cross-entropy"] = Field(
        "dice", title="Supervised loss",
        description="Dice alone, as the authors' code, or half Dice and half cross-entropy.",
    )  # fmt: skip


class TwoHeadMethod(TwoTaskMethod):
    """Two heads of one network, the distance with a fixed weight."""

    settings: TwoHeadSettings

    def task_losses(
        self, logits: Tensor, distance: Tensor, labels: Tensor, target: Tensor | None
    ) -> Losses:
        """Return the overlap and the regression on labelled crops."""
        assert target is not None
        regression = distance_loss(distance, target, labels)
        return {
            "supervised": loss_on_labels(logits, labels, self.settings.supervised),
            "distance": self.settings.distance_weight * regression,
        }


class AgreeingTaskSettings(RampedConsistencySettings, SignedDistanceSettings):
    """How much the agreement of the tasks counts."""


class AgreeingTaskMethod(TwoTaskMethod):
    """Two tasks that have to agree on all crops, the distance turned into masks."""

    settings: AgreeingTaskSettings

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms of both tasks and their agreement on all crops."""
        target = self.begin_target(batch)
        logits, distance = self.both_answers(batch.images)
        segmentation = torch.softmax(logits.float(), dim=1)[:, 1:]
        masks = mask_probability(distance, self.settings.steepness)
        weight = self.settings.weight(clock, stepped_ramp)
        terms = self.labelled_losses(batch, logits, distance, target)
        terms["consistency"] = weight * self.consistency(segmentation, masks)
        return terms, {"weight": weight, "near zero level": near_zero_share(distance)}

    @abstractmethod
    def consistency(self, segmentation: Tensor, masks: Tensor) -> Tensor:
        """Compare the two tasks.

        Parameters
        ----------
        segmentation, masks : Tensor
            (B, C − 1, *spatial) foreground probabilities of the one and of the other task.
        """
