"""Entropy minimisation (spec §7.7): the network makes up its mind on scans without labels too.

The direct part of ADVENT: the entropy of the probabilities of all crops is minimised beside the
supervised loss, with a slowly rising weight, because an early mistake is confirmed as well.
"""

from __future__ import annotations

import torch
from pydantic import Field

from napari_semiseg.engine.methods.bodies.ramped import RampedSettings
from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import OWN_LABELS
from napari_semiseg.engine.parts.ramps import stepped_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.uncertainty import normalised_entropy
from napari_semiseg.engine.sampling.batches import Batch


class EntropyMinimisationSettings(RampedSettings):
    """Hyper-parameters of entropy minimisation, with the values of the 3D experiments."""

    entropy_weight: float = Field(
        0.1, ge=0, le=100, title="Entropy weight",
        description="Final weight of the wish to be sure.",
    )  # fmt: skip


class EntropyMinimisation(StudentMethod):
    """Low entropy of the probabilities on all crops."""

    key = "entropy-minimisation"
    idea = OWN_LABELS
    title = "Entropy minimisation"
    paper = Paper(
        "Vu, Jain, Bucher, Cord, Pérez",
        "ADVENT: adversarial entropy minimization for domain adaptation in semantic segmentation",
        "CVPR",
        2019,
    )
    summary = "Unlabelled scans teach the network to make up its mind at every voxel."
    cost = StepCost(forward=2, backward=2)
    unsupervised_terms = ("entropy",)
    Settings = EntropyMinimisationSettings
    settings: EntropyMinimisationSettings

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and the entropy of labelled and unlabelled crops."""
        logits = self.student(batch.images).logits
        entropies = normalised_entropy(torch.softmax(logits.float(), dim=1))
        weight = self.settings.entropy_weight * stepped_ramp(self.settings.ramp_position(clock))
        terms = {
            "supervised": segmentation_loss(logits[: batch.labelled], batch.labels),
            "entropy": weight * entropies.mean(),
        }
        unlabelled = entropies[batch.labelled :].detach().mean().item()
        return terms, {"weight": weight, "entropy of unlabelled": unlabelled}
