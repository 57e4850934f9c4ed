"""Batch statistics of networks that are asked in training mode and must stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


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
