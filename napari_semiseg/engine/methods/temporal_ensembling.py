"""Temporal ensembling (spec §7.14): the network agrees with what it has said before.

As the Π-model, but the second answer is remembered instead of made: for each unlabelled case a
running mean of the predictions lies on the case's model grid. One step: read the mean where each
voxel of the crops was cut; pull the network's answer towards it, where the mean has ever been
written; then write the answer into the mean.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.contract import (
    MethodSettings,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import SAME_ANSWER
from napari_semiseg.engine.methods.pi_model import SelfConsistency, SelfConsistencySettings
from napari_semiseg.engine.parts.consistency import certain_squared_difference
from napari_semiseg.engine.parts.prediction_memory import PredictionMemory
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch


class TemporalEnsemblingSettings(SelfConsistencySettings):
    """Hyper-parameters of temporal ensembling."""

    momentum: float = Field(
        0.6, ge=0, le=0.9, title="Momentum (a)",
        description="How much of the remembered mean stays at each visit of a voxel.",
    )  # fmt: skip


class TemporalEnsembling(SelfConsistency):
    """Consistency with the running mean of the network's own earlier predictions."""

    key = "temporal-ensembling"
    idea = SAME_ANSWER
    title = "Temporal ensembling"
    paper = Paper(
        "Laine, Aila", "Temporal ensembling for semi-supervised learning", "ICLR", 2017
    )  # fmt: skip
    summary = "The network must keep to the average of what it said about each scan before."
    cost = StepCost(forward=2, backward=2)
    needs_positions = True
    Settings: ClassVar[type[MethodSettings]] = TemporalEnsemblingSettings
    settings: TemporalEnsemblingSettings

    def __init__(self, plan: Plan, settings: TemporalEnsemblingSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        self.memory = PredictionMemory(plan.classes, settings.momentum)

    def consistency(self, answer: Tensor, batch: Batch) -> tuple[Tensor, StepReport]:
        """Compare the answer with the remembered mean, then remember the answer."""
        if batch.positions is None:
            raise ValueError("temporal ensembling needs the positions of the crops")
        cases = batch.cases[batch.labelled :]
        positions = batch.positions[batch.labelled :]
        recalled = [
            self.memory.recall(case, crop) for case, crop in zip(cases, positions, strict=True)
        ]
        target = torch.stack([probabilities for probabilities, _ in recalled])
        known = torch.stack([visited for _, visited in recalled])
        for case, crop, probabilities in zip(cases, positions, answer, strict=True):
            self.memory.remember(case, crop, probabilities)
        consistency = certain_squared_difference(answer, target, known)
        return consistency, {"remembered share": known.float().mean().item()}

    def state_dict(self) -> dict[str, Any]:
        """Add the remembered means, packed without loss; see `PredictionMemory`."""
        return super().state_dict() | {"memory": self.memory.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the network and what it remembers, if that was kept."""
        super().load_state_dict(state)
        self.memory.load_state_dict(state.get("memory", {}))
