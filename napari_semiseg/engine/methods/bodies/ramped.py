"""Settings of methods whose weight of what is learnt without labels rises over training.

A network that has learnt little would teach itself its mistakes. Which of the two ramps a method
follows is its paper's, so a method names it when it asks for its weight.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from napari_semiseg.engine.methods.contract import Clock, MethodSettings

Ramp = Callable[[float], float]


class RampedSettings(MethodSettings):
    """How long weights rise."""

    ramp_share: float = Field(
        1.0, gt=0, le=1, title="Ramp length",
        description="Share of semi-supervised training over which weights rise to their final values.",
    )  # fmt: skip

    def ramp_position(self, clock: Clock) -> float:
        """Share of the ramp that is over, 0…1."""
        return min(clock.semi_supervised_share / self.ramp_share, 1.0)


class ConsistencySettings(MethodSettings):
    """How much the agreement of answers counts."""

    consistency_weight: float = Field(
        0.1, ge=0, le=100, title="Consistency weight",
        description="Final weight of the agreement that the method asks for.",
    )  # fmt: skip


class RampedConsistencySettings(RampedSettings, ConsistencySettings):
    """How much the agreement of answers counts in the end, and how long that takes.

    Forms show the fields of the last base first: the weight, then its ramp.
    """

    def weight(self, clock: Clock, ramp: Ramp) -> float:
        """Weight of the agreement at this moment.

        Parameters
        ----------
        ramp : callable
            `stepped_ramp` or `gaussian_ramp`, from 0…1 to 0…1.
        """
        return self.consistency_weight * ramp(self.ramp_position(clock))
