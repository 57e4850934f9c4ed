"""URPC, uncertainty-rectified pyramid consistency (spec §7.8).

One network that answers at several resolutions. On labelled crops every scale learns; on unlabelled
ones every scale agrees with the mean of all, and a voxel where a scale lies far from that mean (a
large Kullback-Leibler divergence D) counts less for it. D itself is kept small too. One pass, no
teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.bodies.branched import BranchedMethod
from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import SAME_ANSWER
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.pyramid_consistency import (
    Divergence,
    pyramid_of,
    rectified_consistency,
)
from napari_semiseg.engine.parts.ramps import gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.planning.plan import Plan, Preset
from napari_semiseg.engine.planning.presets import PAPER_UNET
from napari_semiseg.engine.sampling.batches import Batch

SCALE_MAPS = ("scale_2", "scale_3", "scale_4")
"""Keys of the answers below full resolution, finest first."""


class PyramidConsistencySettings(RampedConsistencySettings):
    """Hyper-parameters of URPC."""

    divergence: Divergence = Field(
        "of_mean", title="Divergence",
        description="Of the mean from each scale (the authors' code), or of each scale from the mean "
        "(the paper's equation).",
    )  # fmt: skip


class PyramidConsistency(BranchedMethod):
    """Consistency between the answers of one network at several scales."""

    key = "urpc"
    idea = SAME_ANSWER
    title = "Uncertainty-rectified pyramid consistency (URPC)"
    paper = Paper(
        "Luo, Liao, Chen, Song, Chen, Zhang, Chen, Wang, Zhang",
        "Efficient semi-supervised gross target volume of nasopharyngeal carcinoma segmentation via "
        "uncertainty rectified pyramid consistency",
        "MICCAI",
        2021,
    )
    summary = "The network answers at coarse and fine resolution, and all its answers must agree."
    cost = StepCost(forward=2, backward=2)
    Settings = PyramidConsistencySettings
    settings: PyramidConsistencySettings
    native_maps = (
        *(
            NativeMap(key, f"Prediction at scale {place} of 4", look="classes", channels="classes")
            for place, key in enumerate(SCALE_MAPS, start=2)
        ),
        NativeMap(
            "scale_mean", "Mean prediction of all scales", look="classes", channels="classes"
        ),
        NativeMap("scale_discrepancy", "Discrepancy between scales", look="share"),
    )
    branched_networks: ClassVar[Mapping[str, str]] = {
        "unet": "pyramid-unet",
        "pyramid-unet": "pyramid-unet",
        "paper-unet": "paper-pyramid-unet",
        "paper-pyramid-unet": "paper-pyramid-unet",
        "vnet": "paper-pyramid-unet",  # there is no pyramid V-Net
    }

    def __init__(self, plan: Plan, settings: PyramidConsistencySettings, fabric: Fabric) -> None:
        if len(plan.network.strides) < 2:
            raise SettingsError(
                f"{self.title} compares answers at several resolutions, but patches of {plan.patch} "
                "voxels leave the network only one; enlarge the patch or choose another method."
            )
        super().__init__(plan, settings, fabric)
        scales = self.student.scales
        assert isinstance(scales, int)
        self.scales = scales

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Take the U-Net that the paper's network extends, and its schedule, in the paper preset."""
        return dict(PAPER_UNET) if preset == "paper" else {}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and the consistency on unlabelled crops."""
        branches = self.student(batch.images).branches
        pyramid = pyramid_of(
            [logits[batch.labelled :] for logits in branches], self.settings.divergence
        )
        weight = self.settings.weight(clock, gaussian_ramp)
        labelled = [logits[: batch.labelled] for logits in branches]
        terms = {
            "supervised": self.supervise(labelled, batch.labels),
            "consistency": weight * rectified_consistency(pyramid),
        }
        return terms, {"weight": weight, "discrepancy": pyramid.discrepancy.mean().item()}

    def supervise(self, branches: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Average cross-entropy and Dice over the scales."""
        return torch.stack([segmentation_loss(logits, labels) for logits in branches]).mean()

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the coarser answers, as many as there are, the mean, and the distrust of a voxel.

        The distrust is 1 − exp(−D) of the mean divergence D: 0 where all scales say the same.
        """
        pyramid = pyramid_of(self.logits_of_branches(answers), self.settings.divergence)
        distrust = 1.0 - torch.exp(-pyramid.discrepancy.mean(dim=0)).unsqueeze(1)
        coarser = dict(zip(SCALE_MAPS, pyramid.probabilities[1:], strict=False))
        return coarser | {"scale_mean": pyramid.mean, "scale_discrepancy": distrust}

    @property
    def uncertainty_source(self) -> str:
        """The scales of one pass."""
        return f"mean of {self.scales} scales"
