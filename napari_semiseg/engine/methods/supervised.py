"""Supervised training on the labelled crops alone: the twin of every other method (spec §7.1)."""

from __future__ import annotations

from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import LABELLED_ONLY
from napari_semiseg.engine.sampling.batches import Batch


class Supervised(StudentMethod):
    """Cross-entropy and Dice on labelled crops; unlabelled scans are not used."""

    key = "supervised"
    idea = LABELLED_ONLY
    good_to_start_with = True
    title = "Supervised only"
    paper = Paper(
        "Milletari, Navab, Ahmadi",
        "V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image Segmentation",
        "3DV",
        2016,
    )
    summary = "Learns from the labelled scans alone; the yardstick for all other methods."
    cost = StepCost(forward=2, backward=2)
    uses_unlabelled = False

    class Settings(MethodSettings):
        """Supervised training has no settings of its own."""

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term."""
        return self.supervised_losses(batch), {}
