"""What training tells its caller, and what the caller may ask of it.

Events are yielded by `train`; requests are sent into it with ``send``. Plain data: the command line,
the dock widget, a notebook and a test all read the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from napari_semiseg.engine.inference.maps import PREVIEW_KINDS, CaseMaps


@dataclass(frozen=True)
class Preparing:
    """Work that is not an optimiser step: ``done`` of ``total`` parts of ``what``."""

    done: int
    total: int
    what: str


@dataclass(frozen=True)
class Started:
    """Training begins."""

    run: str
    method_title: str
    device: str
    precision: str
    labelled: int
    unlabelled: int
    plan: dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """An optimiser step is done.

    Attributes
    ----------
    step : int
        Steps done.
    share : float
        Share of the budget used, 0…1.
    seconds : float
        Optimiser time so far.
    remaining : float or None
        Estimated seconds to the end; None while unknown.
    scalars : dict
        Losses and other named numbers of this step.
    """

    step: int
    share: float
    seconds: float
    remaining: float | None
    scalars: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Validated:
    """Dice on the labelled cases that were set aside, per class value and their mean."""

    step: int
    dice: dict[int, float]
    mean: float


@dataclass(frozen=True, eq=False)
class Preview:
    """Maps of the case that `ShowCase` asked for, with the weights of this moment."""

    case: str
    maps: CaseMaps
    step: int


@dataclass(frozen=True)
class Warned:
    """Something the user should know; training goes on."""

    sentence: str


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk."""

    step: int


@dataclass(frozen=True)
class Released:
    """The accelerator is free, as `Release` asked; the next event takes it again."""

    step: int


@dataclass(frozen=True)
class Finished:
    """Training is over and its last checkpoint is on disk."""

    run: str
    status: Literal["finished", "stopped"]
    steps: int
    seconds: float


Event = Preparing | Started | Progress | Validated | Preview | Warned | Saved | Released | Finished


@dataclass(frozen=True)
class Stop:
    """End within one step, with a checkpoint."""


@dataclass(frozen=True)
class Release:
    """Leave the accelerator until the next event is asked for."""


@dataclass(frozen=True)
class ShowCase:
    """Preview this case from now on.

    Attributes
    ----------
    name : str or None
        The case; None ends previews.
    kinds : tuple of str
        Which of `MAP_KINDS`; the prediction always comes. More maps make previews rarer, not
        training slower. Similarity is to prototypes of a few labelled cases of that moment.
    """

    name: str | None
    kinds: tuple[str, ...] = PREVIEW_KINDS


Request = Stop | Release | ShowCase
