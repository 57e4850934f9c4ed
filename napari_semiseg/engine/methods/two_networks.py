"""The common body of methods in which two networks learn side by side.

The student of the base class is the first network, whose answer the papers evaluate; the partner has
weights, an optimiser and, where there are averaged weights, an average of its own. Both take their
step after one backward pass through the sum of all losses, before either of them changes.
"""

from __future__ import annotations

from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_semiseg.engine.methods.contract import Clock, MethodSettings, StepReport
from napari_semiseg.engine.methods.optimisation import descend, make_optimiser
from napari_semiseg.engine.methods.student import Losses, StudentMethod
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.teacher import AveragedTeacher
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch


class TwoNetworkMethod(StudentMethod):
    """A method with a student, a partner, an optimiser for each and optional averaged copies."""

    def __init__(self, plan: Plan, settings: MethodSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        network = self.build_partner()
        self.partner, self.partner_optimiser = fabric.setup(
            network, make_optimiser(network, plan.recipe)
        )
        self.averaged_partner: AveragedTeacher | None = None
        if self.decay is not None:
            self.averaged_partner = AveragedTeacher(self.partner, self.decay)

    def build_partner(self) -> nn.Module:
        """Build the partner: by default the student's shape with random weights of its own."""
        return self.build(
            dropout=self.plan.network.dropout or self.needs_dropout,
            signed_distance_head=self.needs_signed_distance,
        )

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
        batch : Batch
            Its labels.
        """
        return {
            "supervised": segmentation_loss(logits, batch.labels),
            "partner supervised": segmentation_loss(partner_logits, batch.labels),
        }

    @property
    def answering_partner(self) -> nn.Module:
        """The partner that answers at inference: its average where the student's answers."""
        if self.plan.recipe.average_decay is not None and self.averaged_partner is not None:
            return self.averaged_partner.network
        return self.partner

    def networks(self) -> dict[str, nn.Module]:
        """Add the partner and, where there is one, its averaged copy."""
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
