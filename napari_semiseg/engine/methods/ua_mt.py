"""UA-MT, the uncertainty-aware mean teacher (spec §7.3).

Mean teacher, with the consistency limited to voxels where the teacher is certain: the entropy of its
mean over T dropout passes lies below a threshold that rises from 3/4 of ln C to ln C.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from napari_semiseg.engine.methods.bodies.averaged_teacher import (
    CERTAIN_SHARE,
    CertainTeacherMethod,
    CertainTeacherSettings,
)
from napari_semiseg.engine.methods.contract import (
    Clock,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import STEADIER_COPY
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.consistency import certain_squared_difference


class UncertaintyAwareMeanTeacherSettings(CertainTeacherSettings, MeanTeacherSettings):
    """Hyper-parameters of UA-MT."""


class UncertaintyAwareMeanTeacher(CertainTeacherMethod, MeanTeacher):
    """Mean teacher that believes its teacher only where the teacher is certain."""

    key = "ua-mt"
    idea = STEADIER_COPY
    good_to_start_with = True
    title = "Uncertainty-aware mean teacher (UA-MT)"
    paper = Paper(
        "Yu, Wang, Li, Fu, Heng",
        "Uncertainty-aware self-ensembling model for semi-supervised 3D left atrium segmentation",
        "MICCAI",
        2019,
    )
    summary = "As mean teacher, but unlabelled voxels count only where the steadier copy is sure."
    cost = StepCost(forward=11, backward=2)
    native_maps = (*MeanTeacher.native_maps, CERTAIN_SHARE)
    Settings = UncertaintyAwareMeanTeacherSettings
    settings: UncertaintyAwareMeanTeacherSettings

    def consistency(
        self, student: Tensor, images: Tensor, clock: Clock
    ) -> tuple[Tensor, StepReport]:
        """Compare student and teacher where the teacher's dropout passes agree."""
        target = self.teach(images)
        certain, scalars = self.certain_voxels(images, clock)
        return certain_squared_difference(student, target, certain), scalars

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Add where the teacher's dropout passes agree enough to be believed."""
        certain = self.certain_share_of(answers)
        return {**super().native_of(answers), CERTAIN_SHARE.key: certain}
