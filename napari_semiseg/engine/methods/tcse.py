"""TCSE, transformation-consistent self-ensembling without a teacher (spec §7.11).

The Π form of TCSM: the network looks at each unlabelled crop twice, the second time flipped and
turned by quarters at random; that answer is brought back, and both move towards each other.
"""

from __future__ import annotations

from torch import Tensor

from napari_semiseg.engine.methods.contract import Paper, StepCost
from napari_semiseg.engine.methods.ideas import SAME_ANSWER
from napari_semiseg.engine.methods.pi_model import PiModel, PiModelSettings
from napari_semiseg.engine.methods.tcsm import TransformationConsistency, TransformationSettings


class TransformationConsistentModelSettings(TransformationSettings, PiModelSettings):
    """Hyper-parameters of TCSE."""


class TransformationConsistentModel(TransformationConsistency, PiModel):
    """Π-model whose second pass sees flipped and turned crops."""

    key = "tcse"
    idea = SAME_ANSWER
    title = "Transformation-consistent self-ensembling (TCSE)"
    paper = Paper(
        "Li, Yu, Chen, Fu, Heng",
        "Semi-supervised skin lesion segmentation via transformation consistent self-ensembling model",
        "BMVC",
        2018,
    )
    summary = "The network must give the same answer when it sees an unlabelled scan turned around."
    cost = StepCost(forward=3, backward=3)
    Settings = TransformationConsistentModelSettings
    settings: TransformationConsistentModelSettings

    def answer_again(self, images: Tensor) -> Tensor:
        """Second noisy pass from random sides, brought back."""
        return self.from_random_sides(super().answer_again, images)
