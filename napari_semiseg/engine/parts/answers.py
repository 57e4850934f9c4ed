"""What the networks of a method say about a batch of windows, each asked once and when needed.

The maps of a method are many and its passes dear: prediction, uncertainty, disagreement and maps of
its own draw on the same few answers. Made by a method for one call of its `predict`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.uncertainty import dropout_active, mean_of_passes


class Answers:
    """The answers of networks in inference mode, without gradients.

    Parameters
    ----------
    windows : Tensor
        (B, channels, *spatial).
    """

    def __init__(self, windows: Tensor) -> None:
        self.windows = windows
        self._said: dict[nn.Module, NetworkOutput] = {}

    @torch.no_grad()
    def of(self, network: nn.Module) -> NetworkOutput:
        """Return what ``network`` says; it is put into inference mode."""
        if network not in self._said:
            network.eval()
            self._said[network] = network(self.windows)
        return self._said[network]

    def probabilities_of(self, network: nn.Module) -> Tensor:
        """Return the class probabilities (B, C, *spatial) of ``network``, float32."""
        return _probabilities(self.of(network))

    def mean_of(self, first: nn.Module, *others: nn.Module) -> Tensor:
        """Return the mean probabilities (B, C, *spatial) of networks."""
        total = self.probabilities_of(first)
        for network in others:
            total = total + self.probabilities_of(network)
        return total / (1 + len(others))

    @torch.no_grad()
    def dropout_mean_of(self, network: nn.Module, passes: int) -> Tensor:
        """Return the mean probabilities (B, C, *spatial) of ``network`` over dropout passes.

        An encoder without dropout says the same in every pass and is gone through once.
        """
        encoded = self.of(network).encoded
        with dropout_active(network):
            if encoded is None:
                return mean_of_passes(
                    lambda crops: _probabilities(network(crops)), self.windows, passes, noise=0.0
                )
            total = _probabilities(network(encoded))
            for _ in range(passes - 1):
                total += _probabilities(network(encoded))
        return total / passes

    def disagreement_of(self, one: nn.Module, other: nn.Module) -> Tensor:
        """Return how far the predictions of two networks lie apart, (B, *spatial) 0…1."""
        return total_variation(self.probabilities_of(one), self.probabilities_of(other))


def _probabilities(output: NetworkOutput) -> Tensor:
    return torch.softmax(output.logits.float(), dim=1)
