"""TCSM, the transformation-consistent self-ensembling model (spec §7.11).

Mean teacher, with the teacher looking from another side. One step: each unlabelled crop is flipped,
turned by quarters and enlarged at random; the teacher's answer to that is brought back and compared
with the student's answer to the crop as it lies. The authors' code makes the student's answer without
a gradient, so that the consistency teaches nothing; here it has one, as in the paper.

Labelled crops are turned as well, as the paper's augmentation does: a network that has never learnt
from a turned crop would have nothing to say about one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import STEADIER_COPY
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.consistency import certain_squared_difference
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.view_transforms import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    View,
    Zoom,
    apply_each,
    quarter_turns,
    random_view,
    undo_each,
)
from napari_semiseg.engine.sampling.batches import Batch

TURNED = NativeMap(
    "turned_prediction", "Prediction of the scan turned by half", "classes", "classes"
)


class TransformationSettings(MethodSettings):
    """Which transformations a network's answer must not depend on."""

    planes: Literal["axial", "all"] = Field(
        "axial", title="Planes of turns",
        description="Turn crops within axial slices as the papers do, or in all three planes, for "
        "scans with voxels about as thick as wide.",
    )  # fmt: skip
    flips: bool = Field(
        True, title="Mirror images",
        description="Flip crops too; switch it off where classes differ by their side of the body.",
    )  # fmt: skip
    turn_labelled: bool = Field(
        False, title="Turn labelled crops",
        description="Show labelled crops and their labels from a random side too, so that the teacher "
        "has seen such crops; that suits structures that look alike from every side.",
    )  # fmt: skip


class TransformationConsistency(StudentMethod):
    """What methods share that compare an answer with the answer from another side."""

    settings: TransformationSettings
    native_maps: ClassVar[tuple[NativeMap, ...]] = (TURNED,)

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Turn the labelled crops, then optimise as ever."""
        return super().training_step(self.turned(batch), clock)

    def turned(self, batch: Batch) -> Batch:
        """Return the batch with each labelled crop seen from a random side."""
        if not self.settings.turn_labelled or not batch.labelled:
            return batch
        split = batch.labelled
        views = self.views(split)

        def turn(images: Tensor) -> Tensor:
            return torch.cat([apply_each(views, images[:split]), images[split:]])

        return replace(
            batch,
            images=turn(batch.images),
            plain_images=turn(batch.plain_images),
            labels=apply_each(views, batch.labels),
        )

    def views(self, crops: int) -> list[View]:
        """Draw a view for each crop."""
        every = self.settings.planes == "all" and len(self.plan.spatial) == 3
        planes = (AXIAL, CORONAL, SAGITTAL) if every else (AXIAL,)
        flips = self.settings.flips
        return [random_view(self.plan.spatial, planes, flips) for _ in range(crops)]

    def from_random_sides(self, answer: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Ask for an answer to crops seen from random sides, and bring it back.

        Parameters
        ----------
        answer : callable
            Images (B, channels, *spatial) to probabilities (B, C, *spatial).
        images : Tensor
            (B, channels, *spatial).
        """
        views = self.views(len(images))
        return undo_each(views, answer(apply_each(views, images)))

    def from_half_turn(self, answers: Answers) -> Tensor:
        """Ask what the windows are when they are turned by half within their slices."""
        view = quarter_turns(len(self.plan.spatial), AXIAL, 2)
        turned = Answers(view.apply(answers.windows))
        return view.undo(turned.probabilities_of(self.answering))

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Compare the answer with that to the windows turned by half."""
        return total_variation(
            answers.probabilities_of(self.answering), self.from_half_turn(answers)
        )

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Add the answer to the windows turned by half."""
        return {**super().native_of(answers), TURNED.key: self.from_half_turn(answers)}


class TransformationConsistentTeacherSettings(TransformationSettings, MeanTeacherSettings):
    """Hyper-parameters of TCSM; the paper's on 2D photographs are weight 1, noise 0.5, decay 0.999."""

    scaling: float = Field(
        0.1, ge=0, le=0.5, title="Scaling",
        description="Crops become larger or smaller by up to this share; 0 for none.",
    )  # fmt: skip


class TransformationConsistentTeacher(TransformationConsistency, MeanTeacher):
    """Mean teacher whose teacher sees flipped, turned and scaled crops."""

    key = "tcsm"
    idea = STEADIER_COPY
    title = "Transformation-consistent teacher (TCSM)"
    paper = Paper(
        "Li, Yu, Chen, Fu, Xing, Heng",
        "Transformation-consistent self-ensembling model for semisupervised medical image "
        "segmentation",
        "IEEE Transactions on Neural Networks and Learning Systems",
        2021,
    )
    summary = (
        "The network must agree with a steadier copy of itself that sees the scan turned, mirrored "
        "or enlarged."
    )
    cost = StepCost(forward=3, backward=2)
    native_maps: ClassVar[tuple[NativeMap, ...]] = (*MeanTeacher.native_maps, TURNED)
    Settings = TransformationConsistentTeacherSettings
    settings: TransformationConsistentTeacherSettings

    def teach(self, images: Tensor) -> Tensor:
        """One noisy pass of the teacher from random sides, brought back."""
        return self.from_random_sides(super().teach, images)

    def consistency(
        self, student: Tensor, images: Tensor, clock: Clock
    ) -> tuple[Tensor, StepReport]:
        """Compare student and teacher where the teacher's scaled crop still shows the student's."""
        if not self.settings.scaling:
            return super().consistency(student, images, clock)
        zoom = Zoom.draw(len(images), self.settings.scaling, images.device)
        target = zoom.undo(self.teach(zoom.apply(images)))
        seen = zoom.seen(images.shape[2:])
        scalars = {"seen share": seen.float().mean().item()}
        return certain_squared_difference(student, target, seen), scalars
