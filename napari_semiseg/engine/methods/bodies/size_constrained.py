"""The common body of methods that hold predicted sizes inside a band (spec §6.5 stage B, §7.15).

One step: cross-entropy on labelled crops; on unlabelled ones, the sum of each class's probabilities
has to lie within γ of a wanted size, or its distance from that band is penalised by its square. Where
the wanted sizes come from is all that a method of this kind adds.

The paper counts pixels V in a slice of N = W·H and minimises λ·(distance)²/N. In shares of the crop
v = V/N the same number is λ·N·(distance)², which is what is minimised here, for voxels too: the pull
on one voxel's probability is 2·λ·(distance in shares), whatever N is. Cross-entropy pulls on it by
1/N, so that in the large crops of 3D training the constraint overrules the labels until it is met,
also where the wanted size is wrong. Relative to the structure's size the balance is the same at every
resolution.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import Clock, MethodSettings, StepReport
from napari_semiseg.engine.parts.segmentation_loss import loss_on_labels
from napari_semiseg.engine.parts.size_bounds import (
    bound_penalty,
    mean_over_known,
    relative_bound_penalty,
    size_bounds,
    soft_sizes,
)
from napari_semiseg.engine.planning.plan import Plan, Preset
from napari_semiseg.engine.sampling.batches import Batch

PAPER_BETAS = (0.9, 0.99)


class SizeConstraintSettings(MethodSettings):
    """Hyper-parameters of the size constraint, with the paper's values."""

    tolerance: float = Field(
        0.1, ge=0, le=1, title="Tolerance",
        description="How far a size may lie from the wanted one, as a share of it (γ).",
    )  # fmt: skip
    penalty: Literal["preset", "voxels", "relative"] = Field(
        "preset", title="Penalty",
        description="Square of the voxels outside the band (the paper), or of their share of the "
        "structure, which suits structures of very different sizes; “preset” takes the first in the "
        "paper preset and the second in the modern one.",
    )  # fmt: skip
    weight: float = Field(
        0.01, ge=0, le=1000, title="Weight (voxels)",
        description="Weight of the penalty in voxels, divided by the voxels of the crop (λ).",
    )  # fmt: skip
    relative_weight: float = Field(
        0.1, ge=0, le=1000, title="Weight (relative)",
        description="Weight of the relative penalty; 0.1 equals the paper's weight for a structure "
        "of 1.2 % of its 256 × 256 slices.",
    )  # fmt: skip
    temperature: float = Field(
        1.0, gt=0, le=100, title="Temperature",
        description="Divides the scores before probabilities are summed to sizes; below 1 they sum "
        "to what is chosen in the end.",
    )  # fmt: skip
    supervised: Literal["preset", "cross-entropy", "dice+cross-entropy"] = Field(
        "preset", title="Supervised loss",
        description="Cross-entropy (the paper), or Dice too; “preset” takes the first in the paper "
        "preset and the second in the modern one.",
    )  # fmt: skip
    steps: Literal["joint", "alternate"] = Field(
        "joint", title="Steps",
        description="One step on labelled and unlabelled crops together (the paper's objective), or "
        "one on each, as the authors' code takes them.",
    )  # fmt: skip


class WantedSizes(NamedTuple):
    """Sizes that unlabelled crops are held to.

    Attributes
    ----------
    sizes : Tensor
        (Bu, C − 1) shares of the crop; negative ones want an absent structure.
    known : Tensor
        (Bu,) bool; the others give no penalty.
    counted : Tensor or None
        (Bu, *spatial) bool, the voxels that were measured; None for all.
    """

    sizes: Tensor
    known: Tensor
    counted: Tensor | None = None


class SizeConstrainedMethod(StudentMethod):
    """A segmenter whose sizes on unlabelled crops are held near wanted ones."""

    unsupervised_terms = ("size",)
    expects_sizes = True
    settings: SizeConstraintSettings

    def __init__(self, plan: Plan, settings: SizeConstraintSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        if plan.preset == "paper" and plan.recipe.optimiser == "adamw":
            for group in self.optimiser.param_groups:
                group["betas"] = PAPER_BETAS

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Return the paper's ENet on slices with Adam; the modern preset keeps its 3D patches.

        AdamW without weight decay is Adam. The paper halves the rate when a validation score stalls;
        a polynomial decline stands in, because no score steers training here.
        """
        if preset != "paper":
            return {}
        return {
            "network.dimensions": 2,
            "network.name": "enet",
            "network.filters": 16,
            "network.normalisation": "batch",
            "network.dropout": 0.1,
            "recipe.optimiser": "adamw",
            "recipe.learning_rate": 5e-4,
            "recipe.weight_decay": 0.0,
            "recipe.schedule": "poly",
            "recipe.labelled": 1,
            "recipe.unlabelled": 1,
            "recipe.labelled_alone": 2,
        }

    @property
    def penalty(self) -> str:
        """Which penalty is minimised, ``"voxels"`` or ``"relative"``."""
        return self.by_preset(self.settings.penalty, paper="voxels", modern="relative")

    @abstractmethod
    def wanted_sizes(self, batch: Batch) -> WantedSizes:
        """Say how large each class should be in the unlabelled crops of ``batch``."""

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise once on all crops, or on labelled and unlabelled ones in turn."""
        if self.settings.steps == "joint" or not batch.unlabelled or not self.begun(clock):
            return super().training_step(batch, clock)
        self.student.train()
        report = self.minimise(self.supervised_losses(batch), clock)
        logits = self.student(batch.images[batch.labelled :]).logits
        size, scalars = self.size_penalty(logits, self.wanted_sizes(batch))
        second = self.minimise({"size": size}, clock)
        loss = report["loss"] + second["loss"]
        return report | second | scalars | {"loss": loss}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and the penalty on the sizes of unlabelled crops."""
        logits = self.student(batch.images).logits
        size, scalars = self.size_penalty(logits[batch.labelled :], self.wanted_sizes(batch))
        supervised = self._supervised(logits[: batch.labelled], batch.labels)
        return {"supervised": supervised, "size": size}, scalars

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised term."""
        logits = self.student(batch.images[: batch.labelled]).logits
        return {"supervised": self._supervised(logits, batch.labels)}

    def _supervised(self, logits: Tensor, labels: Tensor) -> Tensor:
        kind = self.by_preset(
            self.settings.supervised, paper="cross-entropy", modern="dice+cross-entropy"
        )
        return loss_on_labels(logits, labels, kind)

    def size_penalty(self, logits: Tensor, wanted: WantedSizes) -> tuple[Tensor, StepReport]:
        """Return the weighted penalty of the sizes in ``logits`` (Bu, C, *spatial).

        The scalars beside it are the shares of known sizes that lie below and above their bands.
        """
        probabilities = torch.softmax(logits.float() / self.settings.temperature, dim=1)
        sizes = soft_sizes(probabilities, wanted.counted)
        lower, upper = size_bounds(wanted.sizes, self.settings.tolerance)
        if self.penalty == "relative":
            weight = self.settings.relative_weight
            penalties = relative_bound_penalty(sizes, lower, upper)
        else:
            weight = self.settings.weight * logits.shape[2:].numel()
            penalties = bound_penalty(sizes, lower, upper)
        known = wanted.known.unsqueeze(1)
        total = (known.sum() * sizes.shape[1]).clamp_min(1)
        scalars = {
            "too small": ((sizes < lower) & known).sum().div(total).item(),
            "too large": ((sizes > upper) & known).sum().div(total).item(),
        }
        return weight * mean_over_known(penalties, wanted.known), scalars
