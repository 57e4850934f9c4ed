"""The budget of a run, in steps or in minutes, and how much of it is used."""

from __future__ import annotations

from dataclasses import dataclass

from napari_semiseg.engine.training.settings import TrainingSettings


@dataclass(frozen=True)
class Budget:
    """Steps or seconds, exactly one of them.

    Attributes
    ----------
    steps : int or None
        Optimiser steps.
    seconds : float or None
        Optimiser time.
    """

    steps: int | None
    seconds: float | None

    @classmethod
    def of(cls, settings: TrainingSettings) -> Budget:
        """Take the budget from the settings."""
        return cls(settings.steps, settings.seconds)

    def share(self, step: int, seconds: float) -> float:
        """Share of the budget used after ``step`` steps in ``seconds``, 0…1."""
        if self.steps is not None:
            return min(1.0, step / self.steps)
        assert self.seconds is not None
        return min(1.0, seconds / self.seconds)

    def remaining(self, step: int, seconds: float) -> float | None:
        """Estimated seconds to the end; None before the first steps tell the pace."""
        if self.seconds is not None:
            return max(0.0, self.seconds - seconds)
        assert self.steps is not None
        if step < 3:
            return None
        return (self.steps - step) * seconds / step
