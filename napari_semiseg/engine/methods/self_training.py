"""Self-training in rounds (spec §7.16): learn, label the unlabelled scans, learn from both, repeat.

First the network learns from labelled crops alone. Then come rounds of equal length. At the start of
each, what has been learnt so far is frozen as the teacher; during the round the student learns from
labelled crops and from the teacher's hard labels of unlabelled ones. The student goes on from where it
is, or starts again from random weights.

The teacher labels each crop when it is drawn, which is the same as labelling all scans between the
rounds, but stores nothing. The baseline “Proposals” of the curriculum paper is one round from scratch
in which only labels of foreground count; nothing then holds back a student that finds too much.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.pseudo_labelling import PseudoLabelMethod
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import OWN_LABELS
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.gradients import make_alike
from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.pseudo_labels import confident_labels, largest_components
from napari_semiseg.engine.parts.segmentation_loss import (
    IGNORED,
    loss_on_labels,
    segmentation_loss,
)
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch

CHANGED = NativeMap("changed", "Changed since the pseudo-label was made", look="share")


class SelfTrainingSettings(MethodSettings):
    """Hyper-parameters of self-training."""

    rounds: int = Field(
        2, ge=1, le=20, title="Rounds",
        description="How often the unlabelled scans are labelled anew; the rounds share what the "
        "supervised start leaves of the budget, and without a warm start all are as long as it.",
    )  # fmt: skip
    start: Literal["preset", "scratch", "continue"] = Field(
        "preset", title="Start of a round",
        description="From random weights or from those learnt so far; “preset” takes the first in the "
        "paper preset and the second in the modern one, whose budgets are short.",
    )  # fmt: skip
    classes_counted: Literal["all", "foreground"] = Field(
        "all", title="Classes that count",
        description="Learn all labels, or those of foreground only (the curriculum paper's baseline).",
    )  # fmt: skip
    confidence_threshold: float = Field(
        0.0, ge=0, le=1, title="Confidence threshold",
        description="Probability from which a label is learnt; 0 learns all, as the papers.",
    )  # fmt: skip
    largest_component: bool = Field(
        False, title="Clear islands",
        description="Keep only the largest connected piece of each class in a crop's labels.",
    )  # fmt: skip
    pseudo_label_weight: float = Field(
        1.0, ge=0, le=100, title="Pseudo-label weight",
        description="Weight of the labels that the network gave.",
    )  # fmt: skip
    pseudo_label_loss: Literal["cross-entropy", "dice+cross-entropy"] = Field(
        "cross-entropy", title="Pseudo-label loss",
        description="What is minimised on the labels that the network gave; the papers have "
        "cross-entropy alone.",
    )  # fmt: skip


class SelfTraining(PseudoLabelMethod):
    """A student that learns in rounds from what it, frozen, says about unlabelled scans."""

    key = "self-training"
    idea = OWN_LABELS
    title = "Self-training (Proposals)"
    paper = Paper(
        "Bai, Oktay, Sinclair, Suzuki, Rajchl, Tarroni, Glocker, King, Matthews, Rueckert",
        "Semi-supervised learning for network-based cardiac MR image segmentation",
        "MICCAI",
        2017,
    )
    summary = (
        "The network labels the unlabelled scans, learns from its labels, and labels them again."
    )
    cost = StepCost(forward=3, backward=2)
    Settings = SelfTrainingSettings
    settings: SelfTrainingSettings
    native_maps = (*PseudoLabelMethod.native_maps, CHANGED)

    def __init__(self, plan: Plan, settings: SelfTrainingSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.round = 0
        """The round that is under way, 1…rounds; 0 in the supervised start."""

    @property
    def from_scratch(self) -> bool:
        """Whether each round starts from random weights."""
        return self.by_preset(self.settings.start, paper="scratch", modern="continue") == "scratch"

    @property
    def pretraining_share(self) -> float:
        """A start as long as every round."""
        return 1 / (self.settings.rounds + 1)

    def bounds(self, round_: int, clock: Clock) -> tuple[float, float]:
        """Return the shares of the budget at which a round begins and ends; 0 is the start."""
        rounds = self.settings.rounds
        first = self.pretraining_end(clock)
        if round_ == 0:
            return 0.0, first
        length = (1.0 - first) / rounds
        return first + (round_ - 1) * length, first + round_ * length

    def round_at(self, clock: Clock) -> int:
        """Return the round of this moment, a pure function of the share of the budget used."""
        begun = [self.bounds(number, clock)[0] for number in range(1, self.settings.rounds + 1)]
        return sum(clock.share >= share for share in begun)

    def phase(self, clock: Clock) -> Clock:
        """Return the clock that learning rates follow.

        A round from scratch is a training of its own with a whole course of learning rates; rounds
        that continue share one course with the start.
        """
        if not self.from_scratch:
            return clock
        return clock.within(*self.bounds(self.round_at(clock), clock))

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Begin a round when it is time, then learn from the labels at hand."""
        current = self.round_at(clock)
        if current > self.round:
            self.begin(current)
        report = super().training_step(batch, clock)
        return report | {"round": float(self.round)}

    def begin(self, round_: int) -> None:
        """Freeze what answers now as the teacher, and start the student again if so set."""
        self.teacher.load_state_dict(self.answering.state_dict())
        self.round = round_
        if not self.from_scratch:
            return
        self.student.load_state_dict(self.build().state_dict())
        make_alike(self.fabric, self.student)
        self.optimiser.state.clear()
        if self.averaged is not None:
            self.averaged.updates = 0

    @property
    def labelling(self) -> nn.Module:
        """The teacher; before the first round what will be the teacher."""
        return self.teacher if self.round else self.answering

    def choose(self, probabilities: Tensor) -> Tensor:
        """Believe what the settings let pass."""
        labels = confident_labels(probabilities, self.settings.confidence_threshold)
        if self.settings.largest_component:
            labels = largest_components(labels, self.plan.classes)
        if self.settings.classes_counted == "foreground":
            labels = labels.masked_fill(labels == 0, IGNORED)
        return labels

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and that of the teacher's labels."""
        split = batch.labelled
        taught = self.label(batch.plain_images[split:])
        logits = self.student(batch.images).logits
        followed = loss_on_labels(logits[split:], taught.labels, self.settings.pseudo_label_loss)
        terms = {
            "supervised": segmentation_loss(logits[:split], batch.labels),
            "pseudo-labels": self.settings.pseudo_label_weight * followed,
        }
        return terms, {"kept share": taught.kept_share}

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Add where the answer is no longer what the teacher said."""
        now = most_probable_class(answers.probabilities_of(self.answering))
        then = most_probable_class(answers.probabilities_of(self.labelling))
        return {**super().native_of(answers), CHANGED.key: (now != then).unsqueeze(1).float()}

    def networks(self) -> dict[str, nn.Module]:
        """Add the teacher."""
        return super().networks() | {"teacher": self.teacher}

    def state_dict(self) -> dict[str, Any]:
        """Add the round, so that a resumed run keeps its teacher."""
        return super().state_dict() | {"round": self.round}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore networks, optimiser and the round."""
        super().load_state_dict(state)
        self.round = int(state["round"])
