"""CPCL, cyclic prototype consistency learning (spec §6.4).

Prototypes are the mean encoder features of the classes. Forward, from labelled to unlabelled: the
student's prototypes under the real labels segment the teacher's features of unlabelled crops, and
should say what the teacher says. Backward: the teacher's prototypes under its own answer segment the
student's features of labelled crops, and should say what the real labels say. No perturbation.

The teacher is constant throughout, so gradients flow through the labelled prototypes (forward) and
the labelled features (backward) alone. The authors' code detaches both, which leaves neither loss
any gradient; here both have theirs, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.averaged_teacher import TeacherMethod, TeacherSettings
from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import APPEARANCE
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.prototype_bank import PrototypeBank, likeness_and_answer
from napari_semiseg.engine.parts.prototype_segmentation import (
    ClassPrototypes,
    backward_consistency,
    forward_consistency,
    prototypes_of,
)
from napari_semiseg.engine.parts.ramps import gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.uncertainty import DROPOUT
from napari_semiseg.engine.planning.plan import Plan, Preset
from napari_semiseg.engine.planning.presets import PAPER_UNET
from napari_semiseg.engine.sampling.batches import Batch

BANK_DECAY = 0.99  # of the running prototypes: about the last hundred steps


class CyclicPrototypeSettings(TeacherSettings, RampedConsistencySettings):
    """Hyper-parameters of CPCL."""

    backward_weight: float = Field(
        10.0, ge=0, le=100, title="Backward weight (β)",
        description="How much more the backward consistency counts than the forward one.",
    )  # fmt: skip
    scale: float = Field(
        20.0, gt=0, le=200, title="Scale of the cosine",
        description="How sharply likeness to a prototype turns into a probability.",
    )  # fmt: skip
    feature: Literal["bottleneck", "decoder"] = Field(
        "bottleneck", title="Feature",
        description="The last features of the encoder (the paper), or those of the decoder.",
    )  # fmt: skip
    prototype_weighting: Literal["mask", "confidence"] = Field(
        "mask", title="Weighting of voxels",
        description="In a prototype each voxel of a class counts the same (the paper), or by the "
        "network's probability of that class (the authors' code).",
    )  # fmt: skip
    pairing: Literal["batch_mean", "paired"] = Field(
        "batch_mean", title="Pairing",
        description="Prototypes are averaged over the crops of a step (the paper), or each crop meets "
        "those of one crop of the other kind (the authors' code).",
    )  # fmt: skip
    forward_target: Literal["teacher", "student"] = Field(
        "teacher", title="Forward target",
        description="Whose answer the forward consistency compares with: the teacher's (the paper), "
        "or the student's, so that unlabelled crops reach its decoder too (an extension).",
    )  # fmt: skip


class CyclicPrototypeConsistency(TeacherMethod):
    """Labelled prototypes segment unlabelled crops, and unlabelled prototypes labelled ones."""

    key = "cpcl"
    idea = APPEARANCE
    title = "Cyclic prototype consistency (CPCL)"
    paper = Paper(
        "Xu, Wang, Lu, Yu, Yan, Luo, Ma, Zheng, Tong",
        "All-around real label supervision: cyclic prototype consistency learning for "
        "semi-supervised medical image segmentation",
        "IEEE Journal of Biomedical and Health Informatics",
        2022,
    )
    summary = (
        "What a class looks like in labelled scans must recognise it in unlabelled ones, and back."
    )
    cost = StepCost(forward=2, backward=1)
    Settings = CyclicPrototypeSettings
    settings: CyclicPrototypeSettings
    unsupervised_terms = ("forward", "backward")
    native_maps = (
        NativeMap(
            "teacher_prediction", "Teacher's prediction (pseudo-label)", "classes", "classes"
        ),
        NativeMap("labelled_likeness", "Likeness to labelled scans", "similarity", "classes"),
        NativeMap("labelled_answer", "Answer by likeness to labelled scans", "share", "classes"),
        NativeMap("unlabelled_likeness", "Likeness to unlabelled scans", "similarity", "classes"),
        NativeMap(
            "unlabelled_answer", "Answer by likeness to unlabelled scans", "share", "classes"
        ),
    )

    def __init__(self, plan: Plan, settings: CyclicPrototypeSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        self.banks = {
            kind: PrototypeBank(plan.classes, BANK_DECAY) for kind in ("labelled", "unlabelled")
        }
        """Running means of the prototypes of training, for the maps alone."""

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Take the paper's 3D U-Net and schedule in the paper preset."""
        return PAPER_UNET | {"network.dropout": 0.3} if preset == "paper" else {}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and both prototype consistencies."""
        split = batch.labelled
        from_student = self.settings.forward_target == "student"
        output = self.student(batch.images if from_student else batch.images[:split])
        student = torch.softmax(output.logits.float(), dim=1)
        labelled_features = self.features(output)[:split]
        taught = self.teach(batch.plain_images[split:])
        teacher = torch.softmax(taught.logits.float(), dim=1)
        unlabelled_features = self.features(taught)

        labelled = self.prototypes_under(labelled_features, batch.labels, student[:split])
        unlabelled = self.prototypes_under(
            unlabelled_features, most_probable_class(teacher), teacher
        )
        self.banks["labelled"].update(labelled)
        self.banks["unlabelled"].update(unlabelled)
        target = student[split:] if from_student else teacher
        forward = forward_consistency(
            unlabelled_features,
            self._facing(labelled, batch.unlabelled),
            target,
            self.settings.scale,
        )
        backward = backward_consistency(
            labelled_features, self._facing(unlabelled, split), batch.labels, self.settings.scale
        )
        weight = self.settings.weight(clock, gaussian_ramp)
        terms = {
            "supervised": segmentation_loss(output.logits[:split], batch.labels),
            "forward": weight * forward,
            "backward": weight * self.settings.backward_weight * backward,
        }
        distance = labelled.mean_over_images().separation()
        return terms, {"weight": weight, "prototype distance": distance}

    def teach(self, images: Tensor) -> NetworkOutput:
        """One pass of the teacher: batch statistics like the student's, but nothing is dropped."""
        self.averaged.network.train()
        for layer in self.averaged.network.modules():
            if isinstance(layer, DROPOUT):
                layer.eval()
        output: NetworkOutput = self.averaged(images)
        return output

    def features(self, output: NetworkOutput) -> Tensor:
        """Choose the features (B, F, *small) that prototypes are made of, before any dropout."""
        return output.bottleneck if self.settings.feature == "bottleneck" else output.features

    def prototypes_under(
        self, features: Tensor, labels: Tensor, probabilities: Tensor
    ) -> ClassPrototypes:
        """Average features (B, F, *small) under labels (B, *spatial), by confidence if so set."""
        confidence = probabilities if self.settings.prototype_weighting == "confidence" else None
        return prototypes_of(features, labels, self.plan.classes, confidence)

    def _facing(self, prototypes: ClassPrototypes, images: int) -> ClassPrototypes:
        """Choose what each of ``images`` crops of the other kind is compared with."""
        if self.settings.pairing == "batch_mean":
            return prototypes.mean_over_images()
        return prototypes.paired_with(images)

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the teacher's answer and both segmentations by prototypes.

        As in training, labelled prototypes meet the teacher's features and unlabelled ones the
        student's. What has not been learnt yet is left out.
        """
        maps = {"teacher_prediction": answers.probabilities_of(self.averaged.network)}
        facing = {"labelled": self.averaged.network, "unlabelled": self.student}
        for kind, network in facing.items():
            prototypes = self.banks[kind].prototypes
            if prototypes is not None:
                maps[f"{kind}_likeness"], maps[f"{kind}_answer"] = likeness_and_answer(
                    self.features(answers.of(network)),
                    prototypes,
                    self.settings.scale,
                    answers.windows.shape[2:],
                )
        return maps

    def move(self, device: torch.device) -> None:
        """Move the running prototypes too."""
        super().move(device)
        for bank in self.banks.values():
            bank.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Add the running prototypes."""
        banks = {kind: bank.state_dict() for kind, bank in self.banks.items()}
        return super().state_dict() | {"banks": banks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the running prototypes too.

        A checkpoint from before they were kept has class prototypes of the decoder's features, which
        are measured anew where the bottleneck's are wanted.
        """
        super().load_state_dict(state)
        if "banks" in state:
            for kind, bank in self.banks.items():
                bank.load_state_dict(state["banks"][kind])
        elif self.settings.feature == "bottleneck":
            self.prototypes = None
