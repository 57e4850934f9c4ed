"""CPS, cross pseudo supervision.

Two networks of the same shape that start from different weights. On labelled crops both learn from
the labels; on all crops each learns from the hard labels that the other gives them. Errors that only
one of the two makes are so corrected by the other, and both move away from undecided answers.

The paper's weight is 1.5 for photographs, where both networks start from a pre-trained trunk. Here
they start from random weights and a handful of scans, and their first labels are mostly wrong: the
default is the 0.1 with a Gaussian ramp of the medical implementations (such as SSL4MIS).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.ramped import RampedSettings
from napari_semiseg.engine.methods.bodies.several_networks import TwoNetworkMethod
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    PatchMaps,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import TEACH_EACH_OTHER
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.pseudo_labels import hard_labels
from napari_semiseg.engine.parts.ramps import gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import cross_entropy
from napari_semiseg.engine.parts.uncertainty import normalised_entropy
from napari_semiseg.engine.planning.plan import Preset
from napari_semiseg.engine.sampling.batches import Batch


class CrossPseudoSupervisionSettings(RampedSettings):
    """Hyper-parameters of CPS."""

    pseudo_weight: float = Field(
        0.1, ge=0, le=100, title="Pseudo-label weight",
        description="Final weight of learning from the other network's labels; 1.5 in the paper, for "
        "photographs and pre-trained networks.",
    )  # fmt: skip
    ramp: Literal["gaussian", "none"] = Field(
        "gaussian", title="Ramp",
        description="Let the weight rise slowly (the medical implementations), or have it from the "
        "start (the paper).",
    )  # fmt: skip
    crops: Literal["all", "unlabelled"] = Field(
        "all", title="Crops with pseudo-labels",
        description="Labelled and unlabelled crops (the paper), or unlabelled ones alone (the "
        "medical implementations).",
    )  # fmt: skip
    answer: Literal["first", "mean"] = Field(
        "first", title="Answer",
        description="The first network alone (the paper), or the mean of both.",
    )  # fmt: skip


class CrossPseudoSupervision(TwoNetworkMethod):
    """Two networks, each supervised by the hard labels of the other."""

    key = "cps"
    idea = TEACH_EACH_OTHER
    title = "Cross pseudo supervision (CPS)"
    paper = Paper(
        "Chen, Yuan, Zeng, Wang",
        "Semi-supervised semantic segmentation with cross pseudo supervision",
        "CVPR",
        2021,
    )
    summary = "Two networks label the unlabelled scans for each other and learn from those labels."
    cost = StepCost(forward=4, backward=4)
    unsupervised_terms = ("pseudo-labels",)
    Settings = CrossPseudoSupervisionSettings
    settings: CrossPseudoSupervisionSettings
    native_maps = (
        NativeMap("other_network", "Prediction of the other network", "classes", "classes"),
    )

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Take the schedule that the paper and the medical implementations share."""
        return {"recipe.schedule": "poly"} if preset == "paper" else {}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised terms of both networks and what they teach each other."""
        split = batch.labelled
        logits, theirs = self.student(batch.images).logits, self.partner(batch.images).logits
        first = 0 if self.settings.crops == "all" else split
        taught = self.cross_supervision(logits[first:], theirs[first:])
        weight = self.weight(clock)
        terms = self.supervise(logits[:split], theirs[:split], batch)
        terms["pseudo-labels"] = weight * taught
        same = hard_labels(logits[split:]) == hard_labels(theirs[split:])
        return terms, {"weight": weight, "agreement": same.float().mean().item()}

    def weight(self, clock: Clock) -> float:
        """Weight of the pseudo-labels at this moment."""
        if self.settings.ramp == "none":
            return self.settings.pseudo_weight
        return self.settings.pseudo_weight * gaussian_ramp(self.settings.ramp_position(clock))

    def cross_supervision(self, logits: Tensor, theirs: Tensor) -> Tensor:
        """Sum the cross-entropies of each network to the labels of the other.

        Parameters
        ----------
        logits, theirs : Tensor
            (B, C, *spatial) of the student and of the partner; labels have no gradient, so that each
            sum reaches one network.
        """
        return cross_entropy(logits, hard_labels(theirs)) + cross_entropy(
            theirs, hard_labels(logits)
        )

    def maps_of(self, answers: Answers, uncertainty: bool, native: bool) -> PatchMaps:
        """Answer with the first network or the mean of both."""
        maps = super().maps_of(answers, uncertainty, native)
        if self.settings.answer == "first":
            return maps
        return replace(maps, probabilities=self.mean_of_networks(answers))

    def mean_of_networks(self, answers: Answers) -> Tensor:
        """Return the mean probabilities (B, C, *spatial) of both networks."""
        return answers.mean_of(*self.answering_networks)

    def uncertainty_of(self, answers: Answers) -> Tensor:
        """Return the normalised entropy (B, *spatial) of the mean of both networks."""
        return normalised_entropy(self.mean_of_networks(answers))

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the two networks."""
        return answers.disagreement_of(*self.answering_networks)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show what the other network says."""
        return {"other_network": answers.probabilities_of(self.answering_partner)}

    @property
    def uncertainty_source(self) -> str:
        """The two networks."""
        return "two networks"
