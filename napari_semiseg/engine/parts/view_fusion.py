"""Several networks' answers to the same crops, fused by how certain each of them is (spec §7.12).

Each network is taught by what the others say together; its own answer takes no part, or it would
teach itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.uncertainty import normalised_entropy

SMALLEST_UNCERTAINTY = 1e-3
"""Added before an uncertainty is divided by: networks that are all sure then count alike."""


def spread_of_passes(first_moment: Tensor, second_moment: Tensor) -> Tensor:
    """Variance of the class probabilities over stochastic passes, as a share of the largest.

    Parameters
    ----------
    first_moment, second_moment : Tensor
        (B, C, *spatial) mean of the probabilities and of their squares.

    Returns
    -------
    Tensor
        (B, *spatial) in 0…1: the mean variance over the classes, divided by the 1/4 that a
        probability between 0 and 1 can have.
    """
    variance = (second_moment - first_moment.square()).mean(dim=1)
    return (4 * variance).clamp(0.0, 1.0)


def certainty(uncertainties: Tensor) -> Tensor:
    """Weight of an answer with an uncertainty in 0…1: its inverse, finite where it is 0."""
    return 1 / (uncertainties + SMALLEST_UNCERTAINTY)


def fuse_the_others(probabilities: Tensor, uncertainties: Tensor) -> Tensor:
    """Fuse for each network what all the others say, by their certainty.

    Parameters
    ----------
    probabilities : Tensor
        (N, B, C, *spatial) of N networks, taken as constants.
    uncertainties : Tensor
        (N, B, *spatial) in 0…1.

    Returns
    -------
    Tensor
        (N, B, C, *spatial); entry i is the weighted mean over all networks but i.
    """
    weights = certainty(uncertainties.detach()).unsqueeze(2)
    weighted = weights * probabilities.detach()
    fused = [
        sum(weighted[j] for j in range(len(weighted)) if j != i)
        / sum(weights[j] for j in range(len(weights)) if j != i)
        for i in range(len(weighted))
    ]
    return torch.stack(fused)  # type: ignore[arg-type]


def fused_uncertainty(uncertainties: Tensor) -> Tensor:
    """Harmonic mean over networks (N, B, *spatial) → (B, *spatial), 0…1: one sure network will do."""
    return (1 / certainty(uncertainties).mean(dim=0) - SMALLEST_UNCERTAINTY).clamp(0.0, 1.0)


def agreeing_share(probabilities: Tensor) -> Tensor:
    """Share of N networks that choose the class which most of them choose.

    Parameters
    ----------
    probabilities : Tensor
        (N, B, C, *spatial).

    Returns
    -------
    Tensor
        (B, *spatial) between 1/N and 1.
    """
    chosen = most_probable_class(probabilities, axis=2)
    votes = [(chosen == index).sum(dim=0) for index in range(probabilities.shape[2])]
    return torch.stack(votes).amax(dim=0) / len(probabilities)


def uncertainty_of_moments(moments: Tensor, kind: str) -> Tensor:
    """Tell how uncertain stochastic passes are.

    Parameters
    ----------
    moments : Tensor
        (B, 2 C, *spatial): mean of the probabilities, then of their squares.
    kind : {"variance", "entropy"}
        Their variance over the passes, or the entropy of their mean.

    Returns
    -------
    Tensor
        (B, *spatial) in 0…1.
    """
    first, second = moments.chunk(2, dim=1)
    return spread_of_passes(first, second) if kind == "variance" else normalised_entropy(first)
