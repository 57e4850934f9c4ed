"""The common body of methods that train one student network.

A method of this kind only writes its losses; the optimiser step, the averaged weights that answer at
inference, and the maps are here: a method says in `disagreement_of` and `native_of` what it shows
beside the maps that every method has. With an averaged network in the recipe that network answers, as
everything measured for the modern preset; without one the student does, as in the papers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.optimisation import make_optimiser, optimise
from napari_semiseg.engine.methods.contract import (
    Clock,
    Method,
    MethodSettings,
    PatchMaps,
    StepReport,
)
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.parts.uncertainty import has_dropout, normalised_entropy
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch

Losses = dict[str, Tensor]
MAP_PASSES = 4
"""Dropout passes behind the uncertainty map of a window."""


class StudentMethod(Method):
    """A method with one student network, one optimiser and an optional averaged copy."""

    needs_dropout: ClassVar[float] = 0.0
    """Dropout probability that the network gets where the plan's has none."""
    needs_signed_distance: ClassVar[bool] = False
    teacher_decay: ClassVar[float | None] = None
    """Set where the method has an averaged teacher whatever the recipe says."""
    student: nn.Module

    def __init__(self, plan: Plan, settings: MethodSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        network = self.build_student()
        decay = self.decay
        self.student, self.optimiser = fabric.setup(
            network, make_optimiser(network, plan.recipe, fabric)
        )
        self.averaged: AveragedTeacher | None = None
        if decay is not None:
            self.averaged = AveragedTeacher(self.student, decay)

    def build_student(self) -> nn.Module:
        """Build the plan's network with what the method needs of it."""
        return self.build(
            dropout=self.plan.network.dropout or self.needs_dropout,
            signed_distance_head=self.needs_signed_distance,
        )

    @property
    def decay(self) -> float | None:
        """Decay of the averaged weights, if there are any."""
        return self.plan.recipe.average_decay

    @abstractmethod
    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the weighted terms whose sum is minimised, and further scalars to plot."""

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise what learns once, then move the averaged weights."""
        for network in self.learning:
            network.train()
        if batch.unlabelled and self.begun(clock):
            terms, scalars = self.losses(batch, clock)
        else:
            terms, scalars = self.supervised_losses(batch), {}
        return self.minimise(terms, clock) | scalars

    def minimise(self, terms: Losses, clock: Clock) -> StepReport:
        """Take one step down the sum of ``terms``; report each, and whether the step was left out."""
        loss = torch.stack(list(terms.values())).sum()
        stepped = self.step_down(loss, self.phase(clock))
        report = {"loss": loss.item()} | {name: term.item() for name, term in terms.items()}
        return report | ({} if stepped else {"skipped": 1.0})

    def step_down(self, loss: Tensor, clock: Clock) -> bool:
        """Optimise the student and its average; return False where the step was left out."""
        stepped = optimise(self.fabric, self.student, self.optimiser, loss, self.plan.recipe, clock)
        if stepped and self.averaged is not None:
            self.averaged.update(self.student)
        return stepped

    def phase(self, clock: Clock) -> Clock:
        """Return the clock that learning rates follow: another one where phases are trainings."""
        return clock

    @property
    def learning(self) -> list[nn.Module]:
        """The networks that learn by a gradient."""
        return [self.student]

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the terms on labelled crops alone: the warm start, and all of supervised training."""
        output = self.student(batch.images[: batch.labelled])
        return {"supervised": segmentation_loss(output.logits, batch.labels)}

    @property
    def answering(self) -> nn.Module:
        """The network that answers at inference."""
        if self.plan.recipe.average_decay is not None and self.averaged is not None:
            return self.averaged.network
        return self.student

    @torch.no_grad()
    def predict(self, patch: Tensor, uncertainty: bool = True, native: bool = False) -> PatchMaps:
        """Answer with the averaged weights (or the student); entropy over dropout or weights."""
        return self.maps_of(Answers(patch), uncertainty, native)

    def maps_of(self, answers: Answers, uncertainty: bool, native: bool) -> PatchMaps:
        """Gather the maps of `predict` from the networks' answers."""
        output = answers.of(self.answering)
        own = self.native_of(answers) if native else {}
        return PatchMaps(
            probabilities=answers.probabilities_of(self.answering),
            uncertainty=self.uncertainty_of(answers) if uncertainty else None,
            features=self.features(output),
            signed_distance=output.signed_distance,
            disagreement=self.disagreement_of(answers) if uncertainty else None,
            native={item.key: own[item.key] for item in self.native_maps if item.key in own},
        )

    def features(self, output: NetworkOutput) -> Tensor:
        """Choose the features (B, F, *spatial or coarser) that prototypes are compared with."""
        return output.features

    def disagreement_of(self, answers: Answers) -> Tensor | None:
        """Return how far the method's two answers lie apart, (B, *spatial) 0…1, if it has two."""
        return None

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Return the maps of the method's own, (B, channels, *spatial), by key."""
        return {}

    def uncertainty_of(self, answers: Answers) -> Tensor:
        """Return the normalised entropy (B, *spatial) over dropout passes or weights."""
        network = self.answering
        if has_dropout(network):
            return normalised_entropy(answers.dropout_mean_of(network, MAP_PASSES))
        if self.averaged is None:
            return normalised_entropy(answers.probabilities_of(network))
        return normalised_entropy(answers.mean_of(self.student, self.averaged.network))

    @property
    def uncertainty_source(self) -> str:
        """Dropout passes where the network has dropout, else the averaged and current weights."""
        if has_dropout(self.answering):
            return f"{MAP_PASSES} dropout passes"
        return "one pass" if self.averaged is None else "averaged and current weights"

    def networks(self) -> dict[str, nn.Module]:
        """Return the student and, where there is one, its averaged copy."""
        networks: dict[str, nn.Module] = {"student": self.student}
        if self.averaged is not None:
            networks["averaged"] = self.averaged.network
        return networks

    def optimisers(self) -> dict[str, Any]:
        """Return the student's optimiser."""
        return {"student": self.optimiser}

    def state_dict(self) -> dict[str, Any]:
        """Add the number of averaging steps, on which the decay depends."""
        updates = self.averaged.updates if self.averaged is not None else 0
        return super().state_dict() | {"updates": updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore networks, optimiser and the number of averaging steps."""
        super().load_state_dict(state)
        if self.averaged is not None:
            self.averaged.updates = int(state["updates"])
