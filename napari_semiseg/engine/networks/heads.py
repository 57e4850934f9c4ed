"""The layers that turn a trunk's features into answers, and the shape of every network's output.

Every network of the catalogue returns a `NetworkOutput`, so that a method never asks which trunk it
has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.layers import CONVOLUTION

if TYPE_CHECKING:
    pass


class Heads(nn.Module):
    """Segmentation logits and, where asked for, a signed distance map in parallel (spec §2.2).

    Parameters
    ----------
    dimensions : int
        2 or 3.
    signed_distance : bool
        Adds the head of C − 1 tanh channels.
    """

    def __init__(self, dimensions: int, features: int, classes: int, signed_distance: bool) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimensions]
        self.segmentation = convolution(features, classes, kernel_size=1)
        self.distance = (
            convolution(features, classes - 1, kernel_size=1) if signed_distance else None
        )

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, C, *spatial) and the signed distance (B, C − 1, *spatial) or None."""
        logits = self.segmentation(features)
        if self.distance is None:
            return logits, None
        # bfloat16 destroys the gradient of sigmoid(-1500 phi), so this head stays in float32 where
        # there is one; passes without gradients would only wait for it.
        if not torch.is_grad_enabled():
            return logits, torch.tanh(self.distance(features).float())
        with torch.autocast(features.device.type, enabled=False):
            return logits, torch.tanh(self.distance(features.float()))
