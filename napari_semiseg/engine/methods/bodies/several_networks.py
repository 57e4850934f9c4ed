"""The common body of methods in which several networks learn side by side.

The student of the base class is the first network; its partners have weights, an optimiser and, where
there are averaged weights, an average of their own. All take their step after one backward pass
through the sum of all losses, before any of them changes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.optimisation import descend, make_optimiser
from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import Clock, MethodSettings
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch


class SeveralNetworkMethod(StudentMethod):
    """A method with a student, partners by name, an optimiser for each and optional averages."""

    def __init__(self, plan: Plan, settings: MethodSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        self.partners: dict[str, nn.Module] = {}
        self.partner_optimisers: dict[str, Any] = {}
        self.averaged_partners: dict[str, AveragedTeacher] = {}
        for name, network in self.build_partners().items():
            self.partners[name], self.partner_optimisers[name] = fabric.setup(
                network, make_optimiser(network, plan.recipe, fabric)
            )
            if self.decay is not None:
                self.averaged_partners[name] = AveragedTeacher(self.partners[name], self.decay)

    @abstractmethod
    def build_partners(self) -> Mapping[str, nn.Module]:
        """Build the networks beside the student; a checkpoint knows them by these names."""

    @property
    def learning(self) -> list[nn.Module]:
        """The student and its partners."""
        return [self.student, *self.partners.values()]

    @property
    def answering_networks(self) -> list[nn.Module]:
        """The networks that answer at inference: all averages where the student's answers."""
        averages = [average.network for average in self.averaged_partners.values()]
        averaged = averages and self.plan.recipe.average_decay is not None
        return [self.answering, *(averages if averaged else self.partners.values())]

    def step_down(self, loss: Tensor, clock: Clock) -> bool:
        """One backward pass for all networks, before any of them changes."""
        optimisers = [self.optimiser, *self.partner_optimisers.values()]
        for optimiser in optimisers:
            optimiser.zero_grad()
        self.fabric.backward(loss)
        stepped = [
            descend(self.fabric, network, optimiser, self.plan.recipe, clock)
            for network, optimiser in zip(self.learning, optimisers, strict=True)
        ]
        if all(stepped) and self.averaged is not None:
            self.averaged.update(self.student)
            for name, average in self.averaged_partners.items():
                average.update(self.partners[name])
        return all(stepped)

    def networks(self) -> dict[str, nn.Module]:
        """Add the partners and, where there are some, their averaged copies."""
        averages = {
            f"averaged {name}": average.network for name, average in self.averaged_partners.items()
        }
        return super().networks() | self.partners | averages

    def optimisers(self) -> dict[str, Any]:
        """Return the optimiser of each network."""
        return super().optimisers() | self.partner_optimisers

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore all networks; their averages have gone through the same number of steps."""
        super().load_state_dict(state)
        for average in self.averaged_partners.values():
            average.updates = int(state["updates"])


class TwoNetworkMethod(SeveralNetworkMethod):
    """A method with a student and a partner."""

    def build_partners(self) -> Mapping[str, nn.Module]:
        """Build the partner."""
        return {"partner": self.build_partner()}

    def build_partner(self) -> nn.Module:
        """Build the partner: by default the student's shape with random weights of its own."""
        return self.build_student()

    @property
    def partner(self) -> nn.Module:
        """The other network."""
        return self.partners["partner"]

    @property
    def answering_partner(self) -> nn.Module:
        """The partner that answers at inference: its average where the student's answers."""
        return self.answering_networks[1]

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised terms of both networks for the warm start."""
        images = batch.images[: batch.labelled]
        return self.supervise(self.student(images).logits, self.partner(images).logits, batch)

    def supervise(self, logits: Tensor, partner_logits: Tensor, batch: Batch) -> Losses:
        """Return the segmentation loss of each network.

        Parameters
        ----------
        logits, partner_logits : Tensor
            (labelled, C, *spatial) of the student and of the partner.
        """
        return {
            "supervised": segmentation_loss(logits, batch.labels),
            "partner supervised": segmentation_loss(partner_logits, batch.labels),
        }
