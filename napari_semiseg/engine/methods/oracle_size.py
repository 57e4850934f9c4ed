"""The oracle of the curriculum paper: true sizes of unlabelled scans (spec §7.15).

As the second stage of the curriculum method, with sizes counted in labels that are otherwise hidden.
It shows how far perfect sizes would lead, and is no way to save annotations.
"""

from __future__ import annotations

from typing import ClassVar

from napari_semiseg.engine.methods.bodies.size_constrained import (
    SizeConstrainedMethod,
    SizeConstraintSettings,
    WantedSizes,
)
from napari_semiseg.engine.methods.contract import MethodSettings, Paper, StepCost
from napari_semiseg.engine.methods.ideas import FOR_COMPARISONS
from napari_semiseg.engine.parts.segmentation_loss import IGNORED
from napari_semiseg.engine.parts.size_bounds import labelled_sizes
from napari_semiseg.engine.sampling.batches import Batch


class OracleSize(SizeConstrainedMethod):
    """Size constraint with the true sizes; crops of scans without a label give no penalty."""

    key = "oracle-size"
    idea = FOR_COMPARISONS
    title = "True sizes (oracle)"
    paper = Paper(
        "Kervadec, Dolz, Tang, Granger, Boykov, Ben Ayed",
        "Constrained-CNN losses for weakly supervised segmentation",
        "Medical Image Analysis",
        2019,
    )
    summary = (
        "An upper bound for comparisons, not for use: it is told the true size of each structure in "
        "scans whose labels it must not see."
    )
    cost = StepCost(forward=2, backward=2)
    needs_hidden_labels = True
    Settings: ClassVar[type[MethodSettings]] = SizeConstraintSettings
    settings: SizeConstraintSettings

    def wanted_sizes(self, batch: Batch) -> WantedSizes:
        """Count the hidden labels; where a voxel is not labelled, it is not predicted either."""
        labels = batch.hidden_labels
        assert labels is not None
        counted = labels != IGNORED
        known = counted.flatten(1).any(dim=1)
        return WantedSizes(labelled_sizes(labels, self.plan.classes), known, counted)
