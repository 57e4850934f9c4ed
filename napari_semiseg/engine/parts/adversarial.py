"""A discriminator and its optimiser, and the two losses of the game with a segmenter (spec §7.9).

The segmenter wants its maps to pass for real and must not change the discriminator on the way; the
discriminator wants to tell real from made and must not change the segmenter.
"""

from __future__ import annotations

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_semiseg.engine.parts.gradients import average_gradients, averaged
from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, cross_entropy

MADE, REAL = 0, 1


class Adversary:
    """A discriminator that learns with Adam from maps without a gradient.

    Parameters
    ----------
    network : nn.Module
        Takes maps and images, gives two logits, `MADE` and `REAL`, for a crop or for each voxel.
    learning_rate : float
        Constant, as in the papers' code.
    betas : tuple of float
        Decays of Adam's two averages.
    """

    def __init__(
        self, network: nn.Module, fabric: Fabric, learning_rate: float, betas: tuple[float, float]
    ) -> None:
        self.fabric = fabric
        # Judging bypasses Fabric, which would insist that the backward pass be this network's own.
        self.unwrapped = network
        adam = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=betas, fused=True)
        self.network, self.optimiser = fabric.setup(network, adam)

    def judge(self, maps: Tensor, images: Tensor) -> Tensor:
        """Score maps without dropout; gradients reach the maps and never the discriminator.

        Parameters
        ----------
        maps, images : Tensor
            (B, map channels, *spatial) and (B, image channels, *spatial).

        Returns
        -------
        Tensor
            (B, 2) or (B, 2, *spatial) logits.
        """
        self.unwrapped.eval()
        self.unwrapped.requires_grad_(False)
        try:
            verdict: Tensor = self.unwrapped(maps, images)
            return verdict
        finally:
            self.unwrapped.requires_grad_(True)

    def learn(self, maps: Tensor, images: Tensor, truth: Tensor) -> dict[str, float]:
        """Take one optimiser step towards telling real maps from made ones.

        Parameters
        ----------
        maps, images : Tensor
            (B, map channels, *spatial) and (B, image channels, *spatial); the maps are detached.
        truth : Tensor
            (B,) or (B, *spatial) int64, `MADE` or `REAL`, 255 ignored.

        Returns
        -------
        dict of str to float
            Loss and accuracy before the step, and ``"skipped"`` where the loss was not finite and the
            step was left out.
        """
        self.network.train()
        logits = self.network(maps.detach(), images)
        loss = cross_entropy(logits, truth)
        report = {
            "discriminator loss": loss.item(),
            "discriminator accuracy": accuracy(logits, truth),
        }
        (everywhere,) = averaged(self.fabric, [loss])
        if not torch.isfinite(everywhere):
            return report | {"skipped": 1.0}
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        average_gradients(self.fabric, self.network)
        self.optimiser.step()
        return report


def real_then_made(real: int, made: int, device: torch.device) -> Tensor:
    """Return the truth (real + made,) about crops of which the real ones come first."""
    return torch.tensor([REAL] * real + [MADE] * made, device=device)


def deception_loss(logits: Tensor) -> Tensor:
    """Cross-entropy of a discriminator's scores to “real”, which the segmenter minimises.

    Parameters
    ----------
    logits : Tensor
        (B, 2) or (B, 2, *spatial) from `Adversary.judge`.
    """
    return cross_entropy(logits, torch.full_like(logits[:, 0], REAL, dtype=torch.long))


def real_probability(logits: Tensor) -> Tensor:
    """Probability (B,) or (B, *spatial) that a map is real, without a gradient."""
    return torch.softmax(logits.detach().float(), dim=1)[:, REAL]


@torch.no_grad()
def accuracy(logits: Tensor, truth: Tensor) -> float:
    """Share of crops or voxels whose larger score is the true one, 0…1; ignored ones not counted."""
    counted = truth != IGNORED
    right = (most_probable_class(logits) == truth) & counted
    return (right.sum() / counted.sum().clamp_min(1)).item()
