"""DTC, dual-task consistency (spec §7.5).

One network with two heads, segmentation and signed distance. On labelled crops each learns its
target; on all crops the distance, turned into a mask, has to agree with the segmentation.
"""

from __future__ import annotations

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.two_tasks import (
    AgreeingTaskMethod,
    AgreeingTaskSettings,
    TwoHeadMethod,
    TwoHeadSettings,
)
from napari_semiseg.engine.methods.contract import Paper, StepCost
from napari_semiseg.engine.methods.ideas import BORDERS


class DualTaskConsistencySettings(TwoHeadSettings, AgreeingTaskSettings):
    """Hyper-parameters of DTC."""

    consistency_weight: float = Field(
        1.0, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement between mask and signed distance.",
    )  # fmt: skip


class DualTaskConsistency(TwoHeadMethod, AgreeingTaskMethod):
    """Consistency between a segmentation head and a signed distance head of one network."""

    key = "dtc"
    idea = BORDERS
    title = "Dual-task consistency (DTC)"
    paper = Paper(
        "Luo, Chen, Song, Wang",
        "Semi-supervised medical image segmentation through dual-task consistency",
        "AAAI",
        2021,
    )
    summary = "The network also learns how far each voxel is from the border; both must agree."
    cost = StepCost(forward=2, backward=2)
    Settings = DualTaskConsistencySettings
    settings: DualTaskConsistencySettings
    # A sigmoid of slope 1500 amplifies the rounding of bfloat16 features: the consistency gradient
    # then has a cosine of 0.3 (U-Net) and 0.01 (V-Net) to the float32 one at the start of training,
    # even with the head and the last decoder block in float32.
    needs_full_precision = True

    def consistency(self, segmentation: Tensor, masks: Tensor) -> Tensor:
        """Mean squared difference; gradients reach both heads."""
        return F.mse_loss(masks, segmentation)
