"""UMCT, uncertainty-aware multi-view co-training (spec §7.12).

Three networks, each of which always sees the scan from a side of its own: as axial, coronal and
sagittal slices in 3D; upright, turned by a quarter and mirrored in 2D. First each learns from labelled
crops alone. Then, on unlabelled crops, each is taught by the other two: their answers are brought
back, averaged by how certain dropout passes show them to be, and taken as given. The mean of the
three answers.

The authors' networks are flat, with kernels of n × n × 1 within the slices of their view, so that
views differ; the comparisons of later papers use one network with cubic kernels for all views, which
then differ by their starts alone. Both can be had.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.several_networks import SeveralNetworkMethod
from napari_semiseg.engine.methods.bodies.student import MAP_PASSES, Losses
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    NativeMap,
    Paper,
    PatchMaps,
    StepCost,
    StepReport,
    in_fast_layout,
)
from napari_semiseg.engine.methods.ideas import TEACH_EACH_OTHER
from napari_semiseg.engine.parts.disagreement import mean_total_variation
from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss, soft_segmentation_loss
from napari_semiseg.engine.parts.uncertainty import (
    dropout_active,
    mean_of_passes,
    normalised_entropy,
)
from napari_semiseg.engine.parts.view_fusion import (
    agreeing_share,
    fuse_the_others,
    fused_uncertainty,
    uncertainty_of_moments,
)
from napari_semiseg.engine.parts.view_transforms import (
    ANTERIOR,
    AXIAL,
    RIGHT,
    SUPERIOR,
    View,
    flip,
    quarter_turns,
    slices_first,
    upright,
)
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.batches import Batch

VIEWS: dict[int, dict[str, View]] = {
    2: {"upright": upright(2), "turned": quarter_turns(2, AXIAL, 1), "mirrored": flip(2, RIGHT)},
    3: {
        "axial": slices_first(SUPERIOR),
        "coronal": slices_first(ANTERIOR),
        "sagittal": slices_first(RIGHT),
    },
}
"""The views in 2D and 3D by their names; the first is the crop as it lies."""


class MultiViewSettings(MethodSettings):
    """Hyper-parameters of UMCT."""

    cotraining_weight: float = Field(
        0.2, ge=0, le=100, title="Co-training weight",
        description="Weight of what the other two networks teach on unlabelled crops.",
    )  # fmt: skip
    supervised_share: float = Field(
        0.8, ge=0, lt=1, title="First stage",
        description="Share of training on labelled crops alone; where the preset has a warm start, "
        "that is the first stage.",
    )  # fmt: skip
    fused_label: Literal["soft", "argmax"] = Field(
        "soft", title="Fused label",
        description="Teach the fused probabilities, or only the most probable class.",
    )  # fmt: skip
    uncertainty: Literal["variance", "entropy"] = Field(
        "variance", title="Uncertainty",
        description="Variance over the dropout passes (the paper), or entropy of their mean.",
    )  # fmt: skip
    passes: int = Field(
        8, ge=2, le=64, title="Dropout passes",
        description="Passes of each network from which its uncertainty is estimated.",
    )  # fmt: skip
    kernels: Literal["cubic", "flat"] = Field(
        "cubic", title="Kernels",
        description="In 3D, the network of the plan for every view, or flat kernels within the slices "
        "of each view (the paper).",
    )  # fmt: skip


class MultiViewCoTraining(SeveralNetworkMethod):
    """Three networks on three views that teach one another.

    The student of the base class sees crops as they lie; `partners` are the others.
    """

    key = "umct"
    idea = TEACH_EACH_OTHER
    title = "Uncertainty-aware multi-view co-training (UMCT)"
    paper = Paper(
        "Xia, Liu, Yang, Cai, Yu, Zhu, Xu, Yuille, Roth",
        "3D semi-supervised learning with uncertainty-aware multi-view co-training",
        "WACV",
        2020,
    )
    summary = "Three networks look at the scan from three sides; the surer ones teach the others."
    cost = StepCost(forward=30, backward=6)
    unsupervised_terms = ("co-training",)
    native_maps = (
        NativeMap("first_view", "Prediction of the first view", "classes", "classes"),
        NativeMap("second_view", "Prediction of the second view", "classes", "classes"),
        NativeMap("third_view", "Prediction of the third view", "classes", "classes"),
        NativeMap("fused_uncertainty", "Uncertainty of the surest view", "share"),
        NativeMap("agreement", "Share of views that agree", "share"),
    )
    Settings = MultiViewSettings
    settings: MultiViewSettings
    needs_dropout = 0.1

    def __init__(self, plan: Plan, settings: MultiViewSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        self.views = list(VIEWS[plan.network.dimensions].values())

    def build_partners(self) -> Mapping[str, nn.Module]:
        """Build the networks of the other views; strides turn with the crop.

        What the plan does not pool stays so in every view.
        """
        _, *others = VIEWS[self.plan.network.dimensions].items()
        dropout, strides = self.plan.network.dropout, self.plan.network.strides
        return {
            name: self.build(
                dropout=dropout or self.needs_dropout,
                strides=tuple(view.reorder(stride) for stride in strides),
            )
            for name, view in others
        }

    def build(self, **changes: Any) -> nn.Module:
        """Build a network of the plan, flat where the settings ask for it."""
        network = super().build(**changes)
        if self.settings.kernels == "flat" and self.plan.network.dimensions == 3:
            _flatten_kernels(network)
            network = in_fast_layout(network, self.plan.network)
        return network

    @property
    def pretraining_share(self) -> float:
        """The first stage, of each network by itself."""
        return self.settings.supervised_share

    def losses(self, batch: Batch, clock: Clock) -> tuple[Losses, StepReport]:
        """Return what labels teach each network, and what the other two teach it."""
        split = batch.labelled
        logits = list(self._answers(self.learning, batch.images))
        unlabelled = torch.stack([answer[split:].detach() for answer in logits])
        probabilities = torch.softmax(unlabelled.float(), dim=2)
        uncertainties = self.uncertainties(
            self.learning, batch.images[split:], self.settings.passes
        )
        fused = fuse_the_others(probabilities, uncertainties)
        taught = [
            self.cotraining(answer[split:], label)
            for answer, label in zip(logits, fused, strict=True)
        ]
        terms = {
            "supervised": self._supervised([answer[:split] for answer in logits], batch),
            "co-training": self.settings.cotraining_weight * torch.stack(taught).sum(),
        }
        return terms, {
            "agreeing share": agreeing_share(probabilities).mean().item(),
            "view uncertainty": uncertainties.mean().item(),
        }

    def cotraining(self, logits: Tensor, fused: Tensor) -> Tensor:
        """Half cross-entropy, half Dice of one network to what the others say.

        Parameters
        ----------
        logits, fused : Tensor
            (B, C, *spatial) of the network, and fused probabilities of the others.
        """
        if self.settings.fused_label == "argmax":
            return segmentation_loss(logits, most_probable_class(fused))
        return soft_segmentation_loss(logits, fused)

    @torch.no_grad()
    def uncertainties(self, networks: list[nn.Module], images: Tensor, passes: int) -> Tensor:
        """Tell how far dropout passes of each network differ, (N, B, *spatial) in 0…1."""
        found = []
        for network, view in zip(networks, self.views, strict=True):

            def moments(crops: Tensor, network: nn.Module = network, view: View = view) -> Tensor:
                logits = view.undo(network(view.apply(crops)).logits)
                probabilities = torch.softmax(logits.float(), dim=1)
                return torch.cat([probabilities, probabilities.square()], dim=1)

            with dropout_active(network):
                mean = mean_of_passes(moments, images, passes, noise=0.0)
            found.append(uncertainty_of_moments(mean, self.settings.uncertainty))
        return torch.stack(found)

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return what labels teach the three networks: the first stage."""
        logits = list(self._answers(self.learning, batch.images[: batch.labelled]))
        return {"supervised": self._supervised(logits, batch)}

    def _supervised(self, logits: list[Tensor], batch: Batch) -> Tensor:
        return torch.stack([segmentation_loss(answer, batch.labels) for answer in logits]).sum()

    def _answers(self, networks: list[nn.Module], images: Tensor) -> Iterator[Tensor]:
        """Logits (B, C, *spatial) of each network on its view, brought back."""
        for network, view in zip(networks, self.views, strict=True):
            yield view.undo(network(view.apply(images)).logits)

    @torch.no_grad()
    def predict(self, patch: Tensor, uncertainty: bool = True, native: bool = False) -> PatchMaps:
        """Answer with the mean of the three views; uncertain is where they are not of one mind."""
        networks = self.answering_networks
        outputs = []
        for network, view in zip(networks, self.views, strict=True):
            network.eval()
            outputs.append(network(view.apply(patch)))
        each = torch.stack(
            [
                torch.softmax(view.undo(output.logits).float(), dim=1)
                for view, output in zip(self.views, outputs, strict=True)
            ]
        )
        mean = each.mean(dim=0)
        return PatchMaps(
            probabilities=mean,
            uncertainty=normalised_entropy(mean) if uncertainty else None,
            features=self.features(outputs[0]),
            disagreement=mean_total_variation(list(each)) if uncertainty else None,
            native=self._native(patch, each) if native else {},
        )

    def _native(self, patch: Tensor, each: Tensor) -> dict[str, Tensor]:
        uncertainties = self.uncertainties(self.answering_networks, patch, MAP_PASSES)
        return dict(zip(("first_view", "second_view", "third_view"), each, strict=True)) | {
            "fused_uncertainty": fused_uncertainty(uncertainties).unsqueeze(1),
            "agreement": agreeing_share(each).unsqueeze(1),
        }

    @property
    def uncertainty_source(self) -> str:
        """The views by their names."""
        *first, last = VIEWS[self.plan.network.dimensions]
        return f"{', '.join(first)} and {last} view"


def _flatten_kernels(network: nn.Module) -> None:
    """Replace n × n × n convolutions by n × n × 1 within the slices; what resamples stays."""
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if not isinstance(layer, nn.Conv3d) or isinstance(layer.padding, str):
                continue
            depth, *within = layer.kernel_size
            if depth == 1 or any(stride != 1 for stride in layer.stride):
                continue
            flat = nn.Conv3d(
                layer.in_channels,
                layer.out_channels,
                (1, *within),  # type: ignore[arg-type]
                padding=(0, *layer.padding[1:]),  # type: ignore[arg-type]
                dilation=layer.dilation,  # type: ignore[arg-type]
                groups=layer.groups,
                bias=layer.bias is not None,
            )
            with (
                torch.no_grad()
            ):  # as many inputs fewer, as much larger: the output varies as before
                middle = layer.weight[:, :, depth // 2 : depth // 2 + 1]
                flat.weight.copy_(middle * math.sqrt(depth))
                if layer.bias is not None and flat.bias is not None:
                    flat.bias.copy_(layer.bias)
            setattr(parent, name, flat)
