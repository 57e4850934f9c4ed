"""Reciprocal learning of a teacher and a student (spec §6.1).

The teacher first learns from labelled crops alone. Then, in each step, the student learns from the
teacher's hard labels of unlabelled crops; how much better it has thereby become on labelled crops is
the feedback; and the teacher moves towards its labels where they helped and away where they did harm,
while it goes on learning from labelled crops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.optimisation import (
    learning_rate,
    make_optimiser,
    optimise,
)
from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import TEACH_EACH_OTHER
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.gradients import averaged, dot_and_cosine
from napari_semiseg.engine.parts.pseudo_labels import hard_labels
from napari_semiseg.engine.parts.segmentation_loss import cross_entropy, loss_on_labels
from napari_semiseg.engine.parts.teacher import statistics_kept
from napari_semiseg.engine.parts.uncertainty import normalised_entropy
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch

BASELINE_DECAY = 0.99
GRADIENT_SCALE = 2.0**12  # a power of two: exact, and keeps float16 gradients from rounding to zero


class ReciprocalLearningSettings(MethodSettings):
    """Hyper-parameters of reciprocal learning."""

    pretraining_share: float = Field(
        0.5, ge=0, lt=1, title="Pre-training",
        description="Share of the budget in which the teacher learns from labelled scans alone; used "
        "by presets without a warm start, which is that phase otherwise.",
    )  # fmt: skip
    pretraining_loss: Literal["dice+cross-entropy", "cross-entropy"] = Field(
        "dice+cross-entropy", title="Pre-training loss",
        description="What the authors' pre-trained teacher minimised, or what their paper says.",
    )  # fmt: skip
    student_start: Literal["preset", "random", "teacher"] = Field(
        "preset", title="Student starts from",
        description="Random weights (the paper) or the pre-trained teacher's; “preset” takes the "
        "first in the paper preset and the second in the modern one, whose budgets are short.",
    )  # fmt: skip
    teacher: Literal["reciprocal", "frozen"] = Field(
        "reciprocal", title="Teacher",
        description="Whether it learns from the student's feedback, or stays as pre-trained (the "
        "paper's ablation).",
    )  # fmt: skip
    pseudo_labels: Literal["argmax", "sample"] = Field(
        "argmax", title="Labels for the student",
        description="The teacher's most probable classes (the authors' code), or classes drawn with "
        "its probabilities (the paper).",
    )  # fmt: skip
    labelling_pass: Literal["training", "inference"] = Field(
        "training", title="Labelling pass",
        description="Whether the teacher labels with dropout and batch statistics, as the authors' "
        "code, or as it would answer.",
    )  # fmt: skip
    feedback: Literal["gradients", "difference"] = Field(
        "gradients", title="Feedback",
        description="Learning rate times the dot product of the student's two gradients (the paper), "
        "or its loss on labelled crops before minus after the step.",
    )  # fmt: skip
    feedback_scale: float = Field(
        1.0, ge=0, le=1e6, title="Feedback scale",
        description="Factor of the feedback, which shrinks with the square of the learning rate.",
    )  # fmt: skip
    feedback_baseline: bool = Field(
        False, title="Feedback baseline",
        description="Subtract the running mean of the feedback, so that only a label better than "
        "usual is reinforced.",
    )  # fmt: skip
    supervised_weight: float = Field(
        1.0, ge=0, le=100, title="Teacher's supervised weight",
        description="Weight of the labelled crops in the teacher's step.",
    )  # fmt: skip
    student_supervised_weight: float = Field(
        0.0, ge=0, le=100, title="Student's supervised weight",
        description="Weight of a further step of the student on labelled crops; 0 in the paper, where "
        "it never learns from them directly.",
    )  # fmt: skip


class ReciprocalLearning(StudentMethod):
    """A student that learns from a teacher's labels, and a teacher that learns from its success."""

    key = "reciprocal"
    idea = TEACH_EACH_OTHER
    title = "Reciprocal learning"
    paper = Paper(
        "Zeng, Huang, Zhong, Sun, Han, Lin, Ni, Wang",
        "Reciprocal learning for semi-supervised segmentation",
        "MICCAI",
        2021,
    )
    summary = "One network labels unlabelled scans for another and learns from how well that helps."
    cost = StepCost(forward=4, backward=4)
    native_maps = (NativeMap("teacher_prediction", "Teacher's prediction", "classes", "classes"),)
    unsupervised_terms = ("pseudo-labels",)
    Settings = ReciprocalLearningSettings
    settings: ReciprocalLearningSettings
    teacher: nn.Module

    def __init__(self, plan: Plan, settings: ReciprocalLearningSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        network = self.build()
        self.teacher, self.teacher_optimiser = fabric.setup(
            network, make_optimiser(network, plan.recipe, fabric)
        )
        self.started = False
        """Whether the student has begun; before that the teacher answers."""
        self.baseline = 0.0

    @property
    def pretraining_share(self) -> float:
        """The teacher's own start."""
        return self.settings.pretraining_share

    def phase(self, clock: Clock) -> Clock:
        """Return the clock that learning rates follow.

        The paper's two phases are two trainings, each with the whole course of learning rates. With a
        warm start they are one: to anneal the teacher twice costs more than short budgets have.
        """
        if clock.warm_start_share:
            return clock
        end = self.pretraining_share
        return clock.within(end, 1.0) if self.begun(clock) else clock.within(0.0, end)

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Pre-train the teacher, or take one reciprocal step of student and teacher."""
        if not batch.unlabelled or not self.begun(clock):
            return self._pretrain(batch, self.phase(clock))
        if not self.started:
            self._start_student()
        self.student.train()
        if self.settings.teacher == "frozen":
            return self._follow_frozen_teacher(batch, clock)
        return self._reciprocal_step(batch, self.phase(clock))

    def _pretrain(self, batch: Batch, clock: Clock) -> StepReport:
        self.teacher.train()
        logits = self.teacher(batch.images[: batch.labelled]).logits
        loss = loss_on_labels(logits, batch.labels, self.settings.pretraining_loss)
        stepped = self._optimise_teacher(loss, clock)
        if stepped and self.averaged is not None and not self.started:
            self.averaged.update(self.teacher)
        return _report({"supervised": loss}, {}, stepped)

    def _start_student(self) -> None:
        """Hand over: from here on the student is what answers and what is averaged."""
        if (
            self.by_preset(self.settings.student_start, paper="random", modern="teacher")
            == "teacher"
        ):
            # Not from its average, which after few steps lags far behind.
            self.student.load_state_dict(self.teacher.state_dict())
        if self.averaged is not None:
            self.averaged.updates = 0
        self.started = True

    def _follow_frozen_teacher(self, batch: Batch, clock: Clock) -> StepReport:
        with statistics_kept(self.teacher):
            terms, _ = self.losses(batch, clock)
        report = self.minimise(terms, clock)
        stepped = self._learn_from_labels(batch, self.phase(clock))
        return report if stepped else report | {"skipped": 1.0}

    def _learn_from_labels(self, batch: Batch, clock: Clock) -> bool:
        """Take the student's further step on labelled crops, if it is wanted."""
        weight = self.settings.student_supervised_weight
        if not weight:
            return True
        return self._optimise_student(weight * self._examine(batch, clock), clock)

    def _reciprocal_step(self, batch: Batch, clock: Clock) -> StepReport:
        # The teacher's graphs are kept until its own step; the labelled pass comes first, because
        # it changes the batch statistics that a pass in inference mode needs unchanged.
        self.teacher.train()
        taught = cross_entropy(self.teacher(batch.images[: batch.labelled]).logits, batch.labels)
        logits, pseudo_labels = self.ask_teacher(batch)

        before = self._loss_on_labels(batch, clock) if self._by_difference else math.nan
        followed = self.follow(batch, pseudo_labels)
        stepped = self._optimise_student(followed, clock)

        feedback, scalars = self._feedback(batch, clock, before) if stepped else (math.nan, {})
        persuaded = cross_entropy(logits, pseudo_labels)
        teacher_loss = self.reinforcement(feedback) * persuaded
        teacher_loss = teacher_loss + self.settings.supervised_weight * taught
        stepped = self._optimise_teacher(teacher_loss, clock) and stepped

        stepped = self._learn_from_labels(batch, clock) and stepped
        if stepped and self.averaged is not None:
            self.averaged.update(self.student)
        terms = {"pseudo-labels": followed, "teacher supervised": taught}
        measured = {"feedback": feedback} if math.isfinite(feedback) else {}
        return _report(terms, measured | scalars, stepped)

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return what the student minimises: it knows no other labels than the teacher's."""
        with torch.no_grad():
            _, pseudo_labels = self.ask_teacher(batch)
        return {"pseudo-labels": self.follow(batch, pseudo_labels)}, {}

    def ask_teacher(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the teacher's logits on unlabelled crops, with their graph, and its hard labels."""
        self.teacher.train(self.settings.labelling_pass == "training")
        logits = self.teacher(batch.plain_images[batch.labelled :]).logits
        return logits, hard_labels(logits, self.settings.pseudo_labels)

    def follow(self, batch: Batch, pseudo_labels: Tensor) -> Tensor:
        """Cross-entropy of the student to the teacher's labels."""
        return cross_entropy(self.student(batch.images[batch.labelled :]).logits, pseudo_labels)

    @property
    def _by_difference(self) -> bool:
        return self.settings.feedback == "difference"

    def _examine(self, batch: Batch, clock: Clock) -> Tensor:
        """Cross-entropy of the student on labelled crops.

        Dropout is the same whenever it is asked in one step: two losses then differ by what the
        student has learnt, not by chance.
        """
        device = self.fabric.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(clock.step)
            logits = self.student(batch.images[: batch.labelled]).logits
        return cross_entropy(logits, batch.labels)

    @torch.no_grad()
    def _loss_on_labels(self, batch: Batch, clock: Clock) -> float:
        """Return the student's loss on the labelled crops of all processes."""
        (loss,) = averaged(self.fabric, [self._examine(batch, clock)])
        return loss.item()

    def _feedback(self, batch: Batch, clock: Clock, before: float) -> tuple[float, StepReport]:
        """Measure how much the step that the student has just taken helped it on labelled crops.

        The student steps down what unlabelled crops of all processes say, so the labelled crops of
        all processes are asked about it.
        """
        if self._by_difference:
            after = self._loss_on_labels(batch, clock)
            return before - after, {"student on labels": after}
        weights = [weight for weight in self.student.parameters() if weight.grad is not None]
        examined = self._examine(batch, clock)
        # `grad` leaves in the weights what the student's step went down.
        labelled = torch.autograd.grad(examined * GRADIENT_SCALE, weights, materialize_grads=True)
        product, cosine = dot_and_cosine(
            [weight.grad for weight in weights if weight.grad is not None],
            [gradient / GRADIENT_SCALE for gradient in averaged(self.fabric, labelled)],
        )
        feedback = learning_rate(self.plan.recipe, clock) * product
        return feedback, {"student on labels": examined.item(), "gradient cosine": cosine}

    def reinforcement(self, feedback: float) -> float:
        """Turn a feedback into the weight of the teacher's own labels in its step."""
        if not math.isfinite(feedback):
            return 0.0
        advantage = feedback
        if self.settings.feedback_baseline:
            advantage -= self.baseline
            self.baseline += (1 - BASELINE_DECAY) * (feedback - self.baseline)
        return self.settings.feedback_scale * advantage

    def _optimise_student(self, loss: Tensor, clock: Clock) -> bool:
        recipe = self.plan.recipe
        return optimise(self.fabric, self.student, self.optimiser, loss, recipe, clock)

    def _optimise_teacher(self, loss: Tensor, clock: Clock) -> bool:
        recipe = self.plan.recipe
        return optimise(self.fabric, self.teacher, self.teacher_optimiser, loss, recipe, clock)

    @property
    def answering(self) -> nn.Module:
        """The student or its averaged weights; before the student has begun, the teacher's."""
        if not self.started and self.averaged is None:
            return self.teacher
        return super().answering

    def uncertainty_of(self, answers: Answers) -> Tensor:
        """Uncertain is where student and teacher are not of one mind."""
        return normalised_entropy(answers.mean_of(self.answering, self.teacher))

    def disagreement_of(self, answers: Answers) -> Tensor | None:
        """Compare student and teacher, once the student has begun."""
        return answers.disagreement_of(self.answering, self.teacher) if self.started else None

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show what the teacher says, which no longer answers."""
        return {"teacher_prediction": answers.probabilities_of(self.teacher)}

    @property
    def uncertainty_source(self) -> str:
        """The two networks, or the teacher alone while it is pre-trained."""
        return "student and teacher" if self.started else "teacher"

    def networks(self) -> dict[str, nn.Module]:
        """Add the teacher."""
        return super().networks() | {"teacher": self.teacher}

    def optimisers(self) -> dict[str, Any]:
        """Return the optimiser of each network."""
        return super().optimisers() | {"teacher": self.teacher_optimiser}

    def state_dict(self) -> dict[str, Any]:
        """Add whether the student has begun, and the running mean of the feedback."""
        return super().state_dict() | {"started": self.started, "baseline": self.baseline}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore networks, optimisers and the phase."""
        super().load_state_dict(state)
        self.started = bool(state["started"])
        self.baseline = float(state["baseline"])


def _report(terms: Losses, scalars: StepReport, stepped: bool) -> StepReport:
    """Name the losses of a step and whether it was left out."""
    losses = {name: term.item() for name, term in terms.items()}
    return {"loss": sum(losses.values())} | losses | scalars | ({} if stepped else {"skipped": 1.0})
