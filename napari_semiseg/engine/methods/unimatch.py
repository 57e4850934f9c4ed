"""UniMatch: two strong views and one with perturbed features learn what a weak view is sure of.

FixMatch with three streams. One step: the network labels the unlabelled crops in their weak view and
believes confident voxels. It learns these labels from two strong views, each with intensity changes
and, now and then, a box of another unlabelled crop pasted in together with that crop's labels (CutMix);
and from the weak view once more, with half of the encoder's feature channels dropped. The weights
are λ for the features and μ/2 for each strong view.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.pseudo_labelling import (
    WeakToStrongMethod,
    WeakToStrongSettings,
)
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import OWN_LABELS
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.feature_perturbation import channels_dropped
from napari_semiseg.engine.parts.mixing import paste, random_boxes
from napari_semiseg.engine.parts.pseudo_labels import (
    PseudoLabelLoss,
    pseudo_label_loss,
)
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.parts.strong_views import strong_view
from napari_semiseg.engine.planning.plan import Preset
from napari_semiseg.engine.sampling.batches import Batch

BOX_VOLUME = (0.02, 0.4)  # of the crop, as in the authors' code
BOX_ASPECT = 1 / 0.3


class UniMatchSettings(WeakToStrongSettings):
    """Hyper-parameters of UniMatch."""

    feature_weight: float = Field(
        0.5, ge=0, le=100, title="Feature weight (λ)",
        description="Weight of the stream with dropped features; 0 leaves it out.",
    )  # fmt: skip
    strong_weight: float = Field(
        0.5, ge=0, le=100, title="Strong weight (μ)",
        description="Weight of the two strong views together.",
    )  # fmt: skip
    feature_dropout: float = Field(
        0.5, ge=0, lt=1, title="Feature dropout",
        description="Probability that a channel of the encoder's features is dropped.",
    )  # fmt: skip
    mixing_chance: float = Field(
        0.5, ge=0, le=1, title="Chance of a pasted box",
        description="Probability that a strong view has a box of another unlabelled crop.",
    )  # fmt: skip
    unlabelled_loss: PseudoLabelLoss = Field(
        "dice", title="Unlabelled loss",
        description="The overlap (the authors' code for medical images), cross-entropy (the paper, on "
        "photographs), or half of each.",
    )  # fmt: skip


class UniMatch(WeakToStrongMethod):
    """Confident labels of weak views, learnt from strong images and from perturbed features."""

    key = "unimatch"
    idea = OWN_LABELS
    title = "UniMatch"
    paper = Paper(
        "Yang, Qi, Feng, Zhang, Shi",
        "Revisiting weak-to-strong consistency in semi-supervised semantic segmentation",
        "CVPR",
        2023,
    )
    summary = (
        "What the network is sure of in an unlabelled scan, it learns again from two mixed pictures "
        "of scans and from half of its own features."
    )
    cost = StepCost(forward=5, backward=4)
    unsupervised_terms = ("strong views", "features")
    Settings = UniMatchSettings
    settings: UniMatchSettings
    least_unlabelled = 2  # a box is pasted from one into another

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Take the authors' schedule of the learning rate."""
        return {"recipe.schedule": "poly"} if preset == "paper" else {}

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and those of the three streams."""
        split = batch.labelled
        weak = self.label(batch.plain_images[split:])
        supervised, features = self.weak_pass(batch)
        first_view, first_labels = self.strong(batch.images[split:], weak.labels)
        second_view, second_labels = self.strong(batch.images[split:], weak.labels)
        first, second = self.student(torch.cat([first_view, second_view])).logits.chunk(2)

        kind, settings = self.settings.unlabelled_loss, self.settings
        views = pseudo_label_loss(first, first_labels, kind)
        views = views + pseudo_label_loss(second, second_labels, kind)
        terms = {
            "supervised": segmentation_loss(supervised, batch.labels),
            "strong views": 0.5 * settings.strong_weight * views,
        }
        if features is not None:
            learnt = pseudo_label_loss(features, weak.labels, kind)
            terms["features"] = settings.feature_weight * learnt
        return terms, {"kept share": weak.kept_share}

    def weak_pass(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return the logits of the labelled crops, and of the weak views with features dropped."""
        split = batch.labelled
        if not self.settings.feature_weight:
            return self.student(batch.images[:split]).logits, None
        images = torch.cat([batch.images[:split], batch.plain_images[split:]])
        with channels_dropped(self.student, self.settings.feature_dropout, slice(split, None)):
            logits = self.student(images).logits
        return logits[:split], logits[split:]

    def strong(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Make a strong view of each crop, and the labels that belong to it.

        Parameters
        ----------
        images : Tensor
            (B, channels, *spatial); each crop gets its box from the one before it.
        labels : Tensor
            (B, *spatial) of the weak views.
        """
        changed = strong_view(images, self.settings.strength)
        boxes = random_boxes(images, BOX_VOLUME, BOX_ASPECT, self.settings.mixing_chance)
        mixed = paste(changed, changed.roll(1, dims=0), boxes)
        return mixed, paste(labels, labels.roll(1, dims=0), boxes)

    def second_answer(self, answers: Answers) -> Tensor:
        """Return what the answering network says with part of its features dropped."""
        with channels_dropped(self.answering, self.settings.feature_dropout):
            return torch.softmax(self.answering(answers.windows).logits.float(), dim=1)
