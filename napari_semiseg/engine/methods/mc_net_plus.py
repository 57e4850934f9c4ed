"""MC-Net+, mutual consistency of three decoders.

One encoder and three decoders that differ in how they upsample: transposed convolutions, linear
interpolation, nearest interpolation. On labelled crops each minimises its Dice loss; on all crops the
probabilities of each agree with the sharpened probabilities of the two others, which pulls the
decoders together and away from undecided answers. At inference the first decoder answers, which with
the encoder is the plain U-Net or V-Net.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from napari_semiseg.engine.methods.bodies.branched import BranchedMethod, probabilities_of
from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    NativeMap,
    Paper,
    StepCost,
    StepReport,
)
from napari_semiseg.engine.methods.ideas import TEACH_EACH_OTHER
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import mean_total_variation
from napari_semiseg.engine.parts.pseudo_labels import sharpen
from napari_semiseg.engine.parts.ramps import gaussian_ramp
from napari_semiseg.engine.parts.segmentation_loss import loss_on_labels
from napari_semiseg.engine.sampling.batches import Batch


class MutualDecodersSettings(RampedConsistencySettings):
    """Hyper-parameters of MC-Net+."""

    consistency_weight: float = Field(
        0.1, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement, summed over all pairs of decoders; 1 in the "
        "authors' code for 3D scans.",
    )  # fmt: skip
    supervised_weight: float = Field(
        0.5, gt=0, le=100, title="Supervised weight",
        description="Weight of each decoder's loss on labelled crops.",
    )  # fmt: skip
    supervised: Literal["dice", "dice+cross-entropy"] = Field(
        "dice", title="Supervised loss",
        description="Dice alone (the authors' 3D code), or the mean of Dice and cross-entropy.",
    )  # fmt: skip
    temperature: float = Field(
        0.1, gt=0, le=1, title="Temperature",
        description="How decided the targets are: 1 leaves the probabilities as they are, near 0 "
        "only the most probable class is left.",
    )  # fmt: skip
    peers: Literal["detached", "undetached"] = Field(
        "detached", title="Peer's gradient",
        description="A decoder takes the sharpened answers of the others as given; or, as in the "
        "authors' code, the loss passes through them too.",
    )  # fmt: skip
    answer: Literal["first", "mean"] = Field(
        "first", title="Answer",
        description="The first decoder alone (the paper), or the mean of the three.",
    )  # fmt: skip


class MutualDecoders(BranchedMethod):
    """Mutual consistency between three decoders of one encoder."""

    key = "mc-net-plus"
    idea = TEACH_EACH_OTHER
    good_to_start_with = True
    title = "Mutual consistency of decoders (MC-Net+)"
    paper = Paper(
        "Wu, Ge, Zhang, Xu, Zhang, Xia, Cai",
        "Mutual consistency learning for semi-supervised medical image segmentation",
        "Medical Image Analysis",
        2022,
    )
    summary = "Three ways of drawing the outline from the same image features must come to agree."
    # Counted on the U-Net and the V-Net, two further decoders make a pass 3.3 times as long.
    cost = StepCost(forward=6.6, backward=6.6)
    Settings = MutualDecodersSettings
    settings: MutualDecodersSettings
    native_maps = (
        NativeMap(
            "transposed_decoder", "Prediction of decoder 1 (transposed)", "classes", "classes"
        ),
        NativeMap("linear_decoder", "Prediction of decoder 2 (linear)", "classes", "classes"),
        NativeMap("nearest_decoder", "Prediction of decoder 3 (nearest)", "classes", "classes"),
    )
    branched_networks: ClassVar[Mapping[str, str]] = {
        "unet": "multi-decoder-unet",
        "multi-decoder-unet": "multi-decoder-unet",
        "vnet": "multi-decoder-vnet",
        "multi-decoder-vnet": "multi-decoder-vnet",
    }

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return the supervised term and the mutual consistency on all crops."""
        branches = self.student(batch.images).branches
        weight = self.settings.weight(clock, gaussian_ramp)
        labelled = [logits[: batch.labelled] for logits in branches]
        terms = {
            "supervised": self.supervise(labelled, batch.labels),
            "consistency": weight * self.mutual_consistency(branches),
        }
        answers = probabilities_of([logits.detach() for logits in branches])
        disagreement = mean_total_variation(answers).mean().item()
        return terms, {"weight": weight, "disagreement": disagreement}

    def supervise(self, branches: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Sum the weighted losses of the decoders."""
        each = [loss_on_labels(logits, labels, self.settings.supervised) for logits in branches]
        return self.settings.supervised_weight * torch.stack(each).sum()

    def mutual_consistency(self, branches: Sequence[Tensor]) -> Tensor:
        """Sum the squared differences of each decoder to the sharpened answers of the others.

        Parameters
        ----------
        branches : sequence of Tensor
            (B, C, *spatial) logits of each decoder.
        """
        answers = probabilities_of(branches)
        targets = [sharpen(logits, self.settings.temperature) for logits in branches]
        if self.settings.peers == "detached":
            targets = [target.detach() for target in targets]
        pairs = permutations(range(len(branches)), 2)
        return torch.stack([F.mse_loss(answers[one], targets[other]) for one, other in pairs]).sum()

    @property
    def answers_with_mean(self) -> bool:
        """Whether the three decoders answer together."""
        return self.settings.answer == "mean"

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the answer of each decoder."""
        each = probabilities_of(self.logits_of_branches(answers))
        return {shown.key: found for shown, found in zip(self.native_maps, each, strict=True)}

    @property
    def uncertainty_source(self) -> str:
        """The decoders of one pass."""
        return f"mean of {len(self.native_maps)} decoders"
