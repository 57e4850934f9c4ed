"""Curriculum learning: first how large, then where (spec §6.5).

Stage A: a regression network learns from labelled crops how much of a crop each class fills. Stage B:
it is frozen, and tells how large each class should be in unlabelled crops; the segmenter, trained on
labelled crops as ever, is penalised where its sizes leave a band around that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.optimisation import make_optimiser, optimise
from napari_semiseg.engine.methods.bodies.size_constrained import (
    SizeConstrainedMethod,
    SizeConstraintSettings,
    WantedSizes,
)
from napari_semiseg.engine.methods.contract import (
    Clock,
    MethodSettings,
    Paper,
    StepCost,
    StepReport,
    in_fast_layout,
)
from napari_semiseg.engine.methods.ideas import APPEARANCE
from napari_semiseg.engine.networks.size_regressor import REGRESSOR_SIZES, SizeRegressor
from napari_semiseg.engine.parts.gradients import averaged
from napari_semiseg.engine.parts.size_bounds import (
    Scale,
    labelled_sizes,
    mean_over_known,
    outputs_of,
    regression_error,
    sizes_of,
    wholly_labelled,
)
from napari_semiseg.engine.planning.plan import Plan, Recipe
from napari_semiseg.engine.sampling.batches import Batch

PAPER_REGRESSOR_CROPS = 10
GRADIENT_CLIP = 5.0  # of the regressor, without which SGD may run away in its first steps
HALVED_AT = (0.5, 0.75)  # of stage A: epochs 100 and 150 of 200


class CurriculumSettings(SizeConstraintSettings):
    """Hyper-parameters of curriculum learning."""

    regression_share: float = Field(
        0.2, gt=0, lt=1, title="Learning sizes",
        description="Share of the budget in which the regressor learns sizes from labelled scans.",
    )  # fmt: skip
    regressor: Literal["preset", "small", "resnext-50", "resnext-101"] = Field(
        "preset", title="Regressor",
        description="How large the network is that learns sizes; “preset” takes ResNeXt-101 in the "
        "paper preset and the small one in the modern one, whose budgets are short.",
    )  # fmt: skip
    regression_scale: Scale = Field(
        "log", title="Scale of sizes",
        description="What is regressed: the logarithm of one plus the percentage of the crop, the "
        "percentage through a softplus, or the bare percentage as in the paper.",
    )  # fmt: skip
    regressor_learning_rate: float = Field(
        2e-3, gt=0, le=1, title="Regressor's learning rate",
        description="The paper's 5e-6 belongs to counts of pixels and does not suit percentages.",
    )  # fmt: skip
    regressor_crops: int = Field(
        0, ge=0, le=256, title="Regressor's crops",
        description="Labelled crops a step while sizes are learnt; 0 takes ten in the paper preset "
        "and as many as a supervised step has in the modern one.",
    )  # fmt: skip


class Curriculum(SizeConstrainedMethod):
    """A regressor that learns sizes, and a segmenter that is held to them."""

    key = "curriculum"
    idea = APPEARANCE
    title = "Curriculum (size constraints)"
    paper = Paper(
        "Kervadec, Dolz, Granger, Ben Ayed",
        "Curriculum semi-supervised segmentation",
        "MICCAI",
        2019,
    )
    summary = "Learns how large each structure is, then keeps sizes in unlabelled scans plausible."
    # The small regressor's pass over the unlabelled crops takes a twentieth of the segmenter's.
    cost = StepCost(forward=2, backward=2)
    Settings: ClassVar[type[MethodSettings]] = CurriculumSettings
    settings: CurriculumSettings

    def __init__(self, plan: Plan, settings: CurriculumSettings, fabric: Fabric) -> None:
        super().__init__(plan, settings, fabric)
        name = self.by_preset(settings.regressor, paper="resnext-101", modern="small")
        regressor = SizeRegressor(
            plan.network.dimensions, plan.channels, plan.classes - 1, REGRESSOR_SIZES[name]
        )
        self.regressor, self.regressor_optimiser = fabric.setup(
            in_fast_layout(regressor, plan.network),
            make_optimiser(regressor, self.regressor_schedule(Clock(0, 0.0))[0], fabric),
        )
        self.fresh_bias = self.regressor.head.bias.detach().clone()
        self.first_step: int | None = None
        """Step of the run at which stage B began; None before."""

    def learns_sizes(self, clock: Clock) -> bool:
        """Whether stage A is not over; a larger budget does not bring it back."""
        return self.first_step is None and clock.share < self.settings.regression_share

    def stage(self, clock: Clock) -> Clock:
        """Return the clock of the stage, 0…1; the segmenter's warm start is a share of its own stage.

        Each stage is a training with the whole course of learning rates.
        """
        end = self.settings.regression_share
        if self.learns_sizes(clock):
            return clock.within(0.0, end)
        first = clock.step if self.first_step is None else self.first_step
        steps = clock.step - first
        return replace(clock.within(end, 1.0), step=steps, warm_start_share=clock.warm_start_share)

    def crops(self, clock: Clock) -> tuple[int, int]:
        """Ask for labelled crops only while sizes are learnt."""
        if not self.learns_sizes(clock):
            return super().crops(self.stage(clock))
        usual = self.plan.recipe.labelled_alone
        usual = PAPER_REGRESSOR_CROPS if self.plan.preset == "paper" else usual
        return self.settings.regressor_crops or usual, 0

    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise the regressor in stage A, the segmenter in stage B."""
        if self.learns_sizes(clock):
            return self._learn_sizes(batch, self.stage(clock))
        if self.first_step is None:
            self._begin_segmenting(clock)
        return super().training_step(batch, self.stage(clock))

    def _learn_sizes(self, batch: Batch, clock: Clock) -> StepReport:
        """Regress the sizes of labelled crops; where a voxel is ignored, a size is not known."""
        sizes = labelled_sizes(batch.labels, self.plan.classes)
        known = wholly_labelled(batch.labels)
        # What another run has learnt, which this one may begin with, is left as it is.
        if torch.equal(self.regressor.head.bias.cpu(), self.fresh_bias.cpu()):
            self._start_at(sizes, known)
        self.regressor.train()
        outputs = self.regressor(batch.images[: batch.labelled])
        errors = regression_error(outputs, sizes, self.settings.regression_scale)
        loss = mean_over_known(errors, known)
        optimiser, schedule = self.regressor_optimiser, self.regressor_schedule(clock)
        stepped = optimise(self.fabric, self.regressor, optimiser, loss, *schedule)
        regressed = sizes_of(outputs.detach(), self.settings.regression_scale)
        off = mean_over_known((regressed - sizes).abs(), known) / (self.plan.classes - 1)
        report = {"loss": loss.item(), "regression": loss.item(), "size error": off.item()}
        return report | ({} if stepped else {"skipped": 1.0})

    @torch.no_grad()
    def _start_at(self, sizes: Tensor, known: Tensor) -> None:
        """Start from the mean of the first sizes, which short budgets would take long to reach."""
        counted = known.to(sizes.dtype)[:, None]
        of_known, share, of_all = averaged(
            self.fabric, [(sizes * counted).mean(dim=0), counted.mean(), sizes.mean(dim=0)]
        )
        mean = of_known / share if share else of_all
        mean = outputs_of(mean, self.settings.regression_scale)
        self.regressor.head.bias.copy_(mean)

    def regressor_schedule(self, clock: Clock) -> tuple[Recipe, Clock]:
        """Return the regressor's recipe at this moment of stage A, and the clock that it follows.

        The modern preset's own optimiser and schedule, or the paper's SGD, whose rate is halved twice.
        """
        recipe, rate = self.plan.recipe, self.settings.regressor_learning_rate
        if self.plan.preset != "paper":
            return recipe.model_copy(update={"learning_rate": rate}), clock
        rate *= 0.5 ** sum(clock.share >= at for at in HALVED_AT)
        changes = {"optimiser": "sgd", "weight_decay": 1e-4, "gradient_clip": GRADIENT_CLIP}
        changes["schedule"] = "steps"
        # No schedule halves a rate, so it is halved here, and the clock of the schedule stands still.
        return recipe.model_copy(update=changes | {"learning_rate": rate}), Clock(clock.step, 0.0)

    def _begin_segmenting(self, clock: Clock) -> None:
        """Freeze the regressor; what its optimiser remembers is of no more use."""
        self.first_step = clock.step
        self.regressor_optimiser.zero_grad()
        self.regressor_optimiser.state.clear()

    @torch.no_grad()
    def regress_sizes(self, images: Tensor) -> Tensor:
        """Say how much of each crop (B, channels, *spatial) each class fills, (B, C − 1) shares.

        At most 1; a negative one means that the structure is absent.
        """
        self.regressor.eval()
        return sizes_of(self.regressor(images), self.settings.regression_scale)

    def wanted_sizes(self, batch: Batch) -> WantedSizes:
        """Ask the frozen regressor about the unlabelled crops, before any intensity change."""
        sizes = self.regress_sizes(batch.plain_images[batch.labelled :])
        return WantedSizes(sizes, torch.ones(len(sizes), dtype=torch.bool, device=sizes.device))

    def networks(self) -> dict[str, nn.Module]:
        """Add the regressor."""
        return super().networks() | {"regressor": self.regressor}

    def optimisers(self) -> dict[str, Any]:
        """Add the regressor's."""
        return super().optimisers() | {"regressor": self.regressor_optimiser}

    def state_dict(self) -> dict[str, Any]:
        """Add when stage B began."""
        return super().state_dict() | {"first_step": self.first_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore networks, optimisers and the stage."""
        super().load_state_dict(state)
        self.first_step = state["first_step"]
