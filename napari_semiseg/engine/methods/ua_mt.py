"""UA-MT, the uncertainty-aware mean teacher (spec §7.3).

Mean teacher, with the consistency limited to voxels where the teacher is certain: the entropy of its
mean over T dropout passes lies below a threshold that rises from 3/4 of ln C to ln C.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.certainty import certain_share, teacher_entropy
from napari_semiseg.engine.parts.consistency import certain_squared_difference
from napari_semiseg.engine.parts.dropout_uncertainty import entropy, mean_of_passes
from napari_semiseg.engine.parts.ramps import certainty_threshold


class UncertaintyAwareMeanTeacherSettings(MeanTeacherSettings):
    """Hyper-parameters of UA-MT."""

    passes: int = Field(
        8, ge=2, le=64, title="Dropout passes",
        description="Passes of the teacher from which its uncertainty is estimated.",
    )  # fmt: skip


class UncertaintyAwareMeanTeacher(MeanTeacher):
    """Mean teacher that believes its teacher only where the teacher is certain."""

    key = "ua-mt"
    title = "Uncertainty-aware mean teacher (UA-MT)"
    paper = Paper(
        "Yu, Wang, Li, Fu, Heng",
        "Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation",
        "MICCAI",
        2019,
    )
    summary = "As mean teacher, but unlabelled voxels count only where the steadier copy is sure."
    cost = StepCost(forward=11, backward=2)
    native_maps = (
        *MeanTeacher.native_maps,
        NativeMap("certain_share", "Share of training in which the teacher was believed", "share"),
    )
    Settings = UncertaintyAwareMeanTeacherSettings
    settings: UncertaintyAwareMeanTeacherSettings
    needs_dropout = 0.1

    def consistency(
        self, student: Tensor, images: Tensor, clock: Clock
    ) -> tuple[Tensor, StepReport]:
        """Compare student and teacher where the teacher's dropout passes agree."""
        target = self.teach(images)
        mean = mean_of_passes(
            lambda crops: torch.softmax(self.averaged(crops).logits.float(), dim=1),
            images,
            self.settings.passes,
            self.settings.noise,
        )
        uncertainty = entropy(mean)
        threshold = certainty_threshold(clock.semi_supervised_share, self.plan.classes)
        certain = uncertainty < threshold
        scalars = {"threshold": threshold, "certain share": certain.float().mean().item()}
        return certain_squared_difference(student, target, certain), scalars

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Add where the teacher's dropout passes agree enough to be believed."""
        noise, passes = self.settings.noise, self.settings.passes
        uncertainty = teacher_entropy(self.averaged.network, answers.windows, passes, noise)
        certain = certain_share(uncertainty, self.plan.classes).unsqueeze(1)
        return {**super().native_of(answers), "certain_share": certain}
