"""What every method is: networks and optimisers of its own, and four things that it can do.

Training calls `Method.training_step`, inference `Method.predict`, checkpoints the two state methods;
the settings form, the command line and the benchmark are derived from the class attributes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from napari_semiseg.engine.methods.ideas import OTHER, Idea
from napari_semiseg.engine.methods.native_maps import NativeMap
from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.plan import Plan, Preset
from napari_semiseg.engine.sampling.batches import Batch

StepReport = dict[str, float]


@dataclass(frozen=True)
class Paper:
    """Where a method was published."""

    authors: str
    title: str
    venue: str
    year: int

    def __str__(self) -> str:
        return f"{self.authors}: {self.title}. {self.venue} {self.year}"


@dataclass(frozen=True)
class Clock:
    """How far training is.

    Attributes
    ----------
    step : int
        Steps done before this one.
    share : float
        Share of the budget used, steps or minutes, 0…1.
    warm_start_share : float
        Share that is spent on labelled crops only.
    """

    step: int
    share: float
    warm_start_share: float = 0.0

    @property
    def semi_supervised_share(self) -> float:
        """Share of the semi-supervised part that is over, 0…1; every ramp is a function of it."""
        return min(
            1.0, max(0.0, (self.share - self.warm_start_share) / (1 - self.warm_start_share))
        )

    def within(self, begin: float, end: float) -> Clock:
        """Return the clock of a phase that is a training of its own.

        Parameters
        ----------
        begin, end : float
            Shares of the budget between which the phase lies, ``begin <= share``; its steps are
            estimated from the steps so far.
        """
        before = begin / self.share if self.share else 0.0
        share = min(1.0, (self.share - begin) / (end - begin))
        return Clock(round(self.step * (1.0 - before)), share)


class MethodSettings(BaseModel):
    """Hyper-parameters of a method: the paper's values as defaults, with ranges and help texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, eq=False)
class PatchMaps:
    """What a method says about a batch of windows.

    Attributes
    ----------
    probabilities : Tensor
        (B, C, *spatial) of the network that answers at inference.
    uncertainty : Tensor or None
        (B, *spatial) normalised entropy, 0…1; None where it was not asked for.
    features : Tensor
        (B, F, *coarse) that prototypes are compared with; extents that divide those of the window.
    signed_distance : Tensor or None
        (B, C − 1, *spatial), negative inside, of the method's own head; None without one.
    disagreement : Tensor or None
        (B, *spatial) 0…1, how far two answers of the method lie apart; None without a second one.
    native : mapping of str to Tensor
        (B, channels, *spatial) of each of `Method.native_maps`, by key, where they were asked for.
    """

    probabilities: Tensor
    uncertainty: Tensor | None
    features: Tensor
    signed_distance: Tensor | None = None
    disagreement: Tensor | None = None
    native: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class StepCost:
    """Passes of one semi-supervised step with the default settings (spec §7.18).

    The unit is one pass over the labelled or over the unlabelled crops of a step, as many of each;
    supervised training on as many crops takes 2 forward and 2 backward.

    Attributes
    ----------
    forward : float
        Forward passes of every network as large as the segmenter.
    backward : float
        Backward passes, each about as long as two forward ones.
    """

    forward: float
    backward: float

    @property
    def relative(self) -> float:
        """Expected time of a step relative to a supervised one on as many crops."""
        return (self.forward + 2 * self.backward) / 6


class Method(ABC):
    """A semi-supervised method.

    Parameters
    ----------
    settings : MethodSettings
        The method's own hyper-parameters, an instance of its `Settings`.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[Paper]
    summary: ClassVar[str]
    """One sentence that a clinician understands."""
    idea: ClassVar[Idea] = OTHER
    """The shelf on which it stands in the chooser."""
    good_to_start_with: ClassVar[bool] = False
    """Whether it stands first, too; what is derived from it does not."""
    cost: ClassVar[StepCost]
    uses_unlabelled: ClassVar[bool] = True
    needs_full_precision: ClassVar[bool] = False
    """Train in float32 even where bfloat16 is faster."""
    unsupervised_terms: ClassVar[tuple[str, ...]] = ("consistency",)
    """Names of the losses that unlabelled crops give."""
    least_unlabelled: ClassVar[int] = 1
    """Unlabelled crops that a step needs at least; a method may mix several."""
    native_maps: ClassVar[tuple[NativeMap, ...]] = ()
    """Maps of the method's own, which `predict` fills where ``native`` is asked for."""
    needs_positions: ClassVar[bool] = False
    """Wants `Batch.positions`."""
    needs_hidden_labels: ClassVar[bool] = False
    """Wants `Batch.hidden_labels`: an upper bound for comparisons, not for use."""
    expects_sizes: ClassVar[bool] = False
    """Has an idea of how large each class is, so that `inference.size_profile` has an answer."""
    Settings: ClassVar[type[MethodSettings]] = MethodSettings

    def __init__(self, plan: Plan, settings: MethodSettings, fabric: Fabric) -> None:
        self.plan = plan
        self.settings = settings
        self.fabric = fabric
        self.prototypes: Tensor | None = None
        """(C, F) mean feature of each class over the labelled cases; set at the end of training."""
        self.fast_precision: torch.dtype | None = None
        """What `quickly` computes in; set where it differs from the fabric's."""

    def quickly(self) -> AbstractContextManager[Any]:
        """Run in the device's fast precision even where training is in float32.

        For passes that no gradient goes through and whose rounding does not matter.
        """
        if self.fast_precision is None:
            return nullcontext()
        return torch.autocast(self.fabric.device.type, dtype=self.fast_precision)

    @classmethod
    def plan_overrides(cls, preset: Preset) -> dict[str, Any]:
        """Return fields of the plan that the method's own paper wants; what the user sets wins."""
        return {}

    @abstractmethod
    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise once on ``batch`` and return named scalars, ``"loss"`` among them."""

    @abstractmethod
    def predict(self, patch: Tensor, uncertainty: bool = True, native: bool = False) -> PatchMaps:
        """Answer for windows (B, channels, *spatial) in one go, without gradients.

        ``uncertainty=False`` skips the extra passes that only the uncertainty and disagreement maps
        need; ``native`` asks for the method's own maps too.
        """

    @property
    @abstractmethod
    def uncertainty_source(self) -> str:
        """Whose disagreement the uncertainty map shows, in words for the layer's name."""

    @property
    def signed_distance_reach(self) -> float | None:
        """Millimetres that a value of 1 of the method's own distance head stands for, if it does."""
        return None

    @abstractmethod
    def networks(self) -> dict[str, nn.Module]:
        """Return every network by name: what moves between devices and is stored."""

    @abstractmethod
    def optimisers(self) -> dict[str, Any]:
        """Return every optimiser by name."""

    @property
    def pretraining_share(self) -> float:
        """Share of the budget on labelled crops alone where the preset has no warm start."""
        return 0.0

    def pretraining_end(self, clock: Clock) -> float:
        """Share of the budget at which unlabelled crops come in: the end of the warm start, if any."""
        return clock.warm_start_share or self.pretraining_share

    def begun(self, clock: Clock) -> bool:
        """Whether the semi-supervised part has begun."""
        return clock.share >= self.pretraining_end(clock)

    def crops(self, clock: Clock) -> tuple[int, int]:
        """Return how many labelled and unlabelled crops the next step wants."""
        recipe = self.plan.recipe
        if not self.uses_unlabelled or not self.begun(clock):
            return recipe.labelled_alone, 0
        return recipe.labelled, max(recipe.unlabelled, self.least_unlabelled)

    def by_preset(self, chosen: str, paper: str, modern: str) -> str:
        """Return what a setting says, or what its value ``"preset"`` stands for in each preset."""
        if chosen != "preset":
            return chosen
        return paper if self.plan.preset == "paper" else modern

    def state_dict(self) -> dict[str, Any]:
        """Return all that is needed to continue: weights, optimisers, prototypes."""
        return {
            "networks": {name: net.state_dict() for name, net in self.networks().items()},
            "optimisers": {name: opt.state_dict() for name, opt in self.optimisers().items()},
            "prototypes": self.prototypes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; optimisers are optional."""
        for name, network in self.networks().items():
            network.load_state_dict(state["networks"][name])
        for name, optimiser in self.optimisers().items():
            if name in state.get("optimisers", {}):
                optimiser.load_state_dict(state["optimisers"][name])
        self.prototypes = state["prototypes"]

    def move(self, device: torch.device) -> None:
        """Move networks and optimiser states to ``device``, to free the accelerator while paused."""
        for network in self.networks().values():
            network.to(device)
        for optimiser in self.optimisers().values():
            for state in optimiser.state.values():
                for name, value in state.items():
                    if isinstance(value, Tensor) and value.dim():
                        state[name] = value.to(device)
        if self.prototypes is not None:
            self.prototypes = self.prototypes.to(device)

    def build(self, **changes: Any) -> nn.Module:
        """Build a network of the plan's specification with ``changes``, in the fast memory layout."""
        specification = self.plan.network.model_copy(update=changes)
        return in_fast_layout(build_network(specification), specification)


def in_fast_layout(network: nn.Module, specification: NetworkSpecification) -> nn.Module:
    """Store weights with channels last, which is up to 1.6 times faster for 3D convolutions."""
    layout = torch.channels_last_3d if specification.dimensions == 3 else torch.channels_last
    network.to(memory_format=layout)  # type: ignore[call-overload]
    return network
