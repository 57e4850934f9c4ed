"""Mixing pairs of crops, and of what networks say about them (ICT, spec §7.10).

The first half of a batch is mixed with the second. The same mixture is applied to the images that a
student sees and to the answers of a teacher that sees them unmixed. Called by interpolation methods.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PairMixture:
    """Which share of each second crop is mixed into its first.

    Attributes
    ----------
    shares : Tensor
        (mixes,) μ in 0…1: 0 leaves the first crop, 1 gives the second.
    """

    shares: Tensor

    @classmethod
    def draw(cls, crops: int, concentration: float, device: torch.device) -> PairMixture:
        """Draw shares for ``crops`` // 2 pairs from Beta(concentration, concentration).

        Of a single crop nothing can be mixed: it is its own partner. A concentration below 1 makes
        shares near 0 and 1 likely. The numbers come from PyTorch's own stream on the CPU.
        """
        parameter = torch.tensor(concentration)
        shares = torch.distributions.Beta(parameter, parameter).sample((max(1, crops // 2),))
        return cls(shares.to(device))

    def crops_of(self, crops: Tensor) -> Tensor:
        """Return those of (B, ...) that take part: all but the last of an odd number."""
        return crops[: 2 * len(self.shares)]

    def __call__(self, crops: Tensor) -> Tensor:
        """Mix crops or answers (B, channels, *spatial).

        Returns
        -------
        Tensor
            (mixes, channels, *spatial): (1 − μ) of each first and μ of each second; a single crop
            comes back as it was.
        """
        if len(crops) == 1:
            return crops
        mixes = len(self.shares)
        first, second = crops[:mixes], crops[mixes : 2 * mixes]
        return torch.lerp(first, second, self.shares.reshape(-1, *(1,) * (crops.dim() - 1)))
