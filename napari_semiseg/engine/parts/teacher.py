"""A teacher whose weights are the exponential moving average of a student's (spec §4.4)."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

Buffers = Literal["copy", "own"]


class AveragedTeacher:
    """Exponential moving average of a network's weights.

    The decay starts at 0 and warms up, so that the first update makes an exact copy:
    ``min(1 − 1 / (updates + 1), decay)``. Used as the teacher of mean-teacher methods and as the
    averaged weights that answer at inference.

    Parameters
    ----------
    student : nn.Module
        The network to follow; it is copied, and the copy never requires gradients.
    decay : float, default 0.99
        Final decay, 0…1.
    buffers : {"copy", "own"}
        What becomes of batch-normalisation statistics: the student's, or the teacher's own as in the
        papers' code (which averages parameters only).
    """

    def __init__(self, student: nn.Module, decay: float = 0.99, buffers: Buffers = "copy") -> None:
        self.network = copy.deepcopy(student).requires_grad_(False)
        self.decay = decay
        self.buffers = buffers
        self.updates = 0

    def __call__(self, images: Tensor) -> Any:
        """Run the teacher without gradients, in the mode (train or eval) that it is in."""
        with torch.no_grad():
            return self.network(images)

    @property
    def current_decay(self) -> float:
        """Decay of the next update."""
        return min(1.0 - 1.0 / (self.updates + 1), self.decay)

    @torch.no_grad()
    def update(self, student: nn.Module) -> None:
        """Move the teacher towards ``student``; call once after each optimiser step."""
        averaged: list[Tensor] = list(self.network.parameters())
        current: list[Tensor] = [weight.detach() for weight in student.parameters()]
        torch._foreach_lerp_(averaged, current, 1.0 - self.current_decay)
        if self.buffers == "copy":
            for mine, theirs in zip(self.network.buffers(), student.buffers(), strict=True):
                mine.copy_(theirs)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the weights and the number of updates."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.updates = int(state["updates"])


@contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Give ``network`` back the buffers that it has now, whatever passes go through it inside."""
    before = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(network.buffers(), before, strict=True):
                buffer.copy_(value)
