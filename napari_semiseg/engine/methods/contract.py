"""What every method is: networks and optimisers of its own, and four things that it can do.

Training calls `Method.training_step`, inference `Method.predict`, checkpoints the two state methods;
the settings form, the command line and the benchmark are derived from the class attributes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from lightning_fabric import Fabric
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.plan import Plan
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
    def warm(self) -> bool:
        """Whether the semi-supervised part has begun."""
        return self.share >= self.warm_start_share

    @property
    def semi_supervised_share(self) -> float:
        """Share of the semi-supervised part that is over, 0…1; every ramp is a function of it."""
        return min(
            1.0, max(0.0, (self.share - self.warm_start_share) / (1 - self.warm_start_share))
        )


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
        (B, F, *spatial) that prototypes are compared with.
    signed_distance : Tensor or None
        (B, C − 1, *spatial), negative inside, of the method's own head; None without one.
    disagreement : Tensor or None
        (B, *spatial) 0…1, how far two answers of the method lie apart; None without a second one.
    """

    probabilities: Tensor
    uncertainty: Tensor | None
    features: Tensor
    signed_distance: Tensor | None = None
    disagreement: Tensor | None = None


class Method(ABC):
    """A semi-supervised method.

    Parameters
    ----------
    plan : Plan
        Network, patch, recipe.
    settings : MethodSettings
        The method's own hyper-parameters, an instance of its `Settings`.
    fabric : Fabric
        Devices, precision and backward passes go through it.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[Paper]
    summary: ClassVar[str]
    """One sentence that a clinician understands."""
    uses_unlabelled: ClassVar[bool] = True
    needs_full_precision: ClassVar[bool] = False
    """Train in float32 even where bfloat16 is faster."""
    unsupervised_terms: ClassVar[tuple[str, ...]] = ("consistency",)
    """Names of the losses that unlabelled crops give."""
    Settings: ClassVar[type[MethodSettings]] = MethodSettings

    def __init__(self, plan: Plan, settings: MethodSettings, fabric: Fabric) -> None:
        self.plan = plan
        self.settings = settings
        self.fabric = fabric
        self.prototypes: Tensor | None = None
        """(C, F) mean feature of each class over the labelled cases; set at the end of training."""

    @abstractmethod
    def training_step(self, batch: Batch, clock: Clock) -> StepReport:
        """Optimise once on ``batch`` and return named scalars, ``"loss"`` among them."""

    @abstractmethod
    def predict(self, patch: Tensor, uncertainty: bool = True) -> PatchMaps:
        """Answer for windows (B, channels, *spatial) in one go, without gradients.

        ``uncertainty=False`` skips the extra passes that only the uncertainty map needs.
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

    def crops(self, clock: Clock) -> tuple[int, int]:
        """Return how many labelled and unlabelled crops the next step wants."""
        recipe = self.plan.recipe
        if not self.uses_unlabelled or not clock.warm:
            return recipe.labelled_alone, 0
        return recipe.labelled, recipe.unlabelled

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
    return network.to(memory_format=layout)  # type: ignore[call-overload]
