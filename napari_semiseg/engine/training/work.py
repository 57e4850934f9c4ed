"""A training run in progress: the state that the loop and its steps share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.sampling.batches import BatchSampler
from napari_semiseg.engine.study import Case, Run, Study
from napari_semiseg.engine.training.budget import Budget
from napari_semiseg.engine.training.events import PREVIEW_KINDS
from napari_semiseg.engine.training.processes import Processes
from napari_semiseg.engine.training.settings import TrainingSettings


@dataclass(eq=False)
class Work:
    """A training run in progress: the state of the loop."""

    study: Study
    run: Run
    settings: TrainingSettings
    machine: Machine
    processes: Processes
    method: Method
    sampler: BatchSampler
    budget: Budget
    validation: list[Case]
    step: int = 0
    seconds: float = 0.0
    stop: bool = False
    release: bool = False
    shown_case: str | None = None
    shown_kinds: tuple[str, ...] = PREVIEW_KINDS
    prototypes: Tensor | None = None
    """Of the weights at ``prototypes_at`` seconds, for previews only."""
    prototypes_at: float = 0.0
    last_save: float = 0.0
    skipped_in_a_row: int = 0
    spent_on: dict[str, tuple[float, float]] = field(default_factory=dict)
    savings: list[str] = field(default_factory=list)
    """What was made smaller because memory ran out, in sentences."""
    stepping: bool = False
    """Whether other processes wait for this one to say how it goes on."""

    @property
    def share(self) -> float:
        """Share of the budget used."""
        return self.budget.share(self.step, self.seconds)

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the loop."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "seed": self.settings.seed,
            "streams": self.sampler.state_dict(),
        }
