"""Optimisers and their schedules as a recipe asks for them."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.gradients import average_gradients
from napari_semiseg.engine.planning.plan import Recipe

WARM_UP_STEPS = 50
COSINE_FLOOR = 0.01
STEPS_AT = (2500 / 6000, 5000 / 6000)
POLY_POWER = 0.9


FLOAT16 = "16-mixed"


def make_optimiser(network: nn.Module, recipe: Recipe, fabric: Fabric) -> torch.optim.Optimizer:
    """Make the recipe's optimiser for the weights of ``network``, to be set up by ``fabric``."""
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(
            weights, lr=recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay
        )
    return torch.optim.AdamW(
        weights,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        # A fused step unscales float16 gradients itself, too late for them to be clipped.
        fused=fabric.strategy.precision.precision != FLOAT16,
    )


def learning_rate(recipe: Recipe, clock: Clock) -> float:
    """Return the learning rate of this step: a pure function of the recipe and the clock."""
    share = min(max(clock.share, 0.0), 1.0)
    if recipe.schedule == "cosine":
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        warm_up = min(1.0, (clock.step + 1) / WARM_UP_STEPS)
        return recipe.learning_rate * warm_up * max(cosine, COSINE_FLOOR)
    if recipe.schedule == "steps":
        return recipe.learning_rate * 0.1 ** sum(share >= at for at in STEPS_AT)
    return float(recipe.learning_rate * max(1 - share, 1e-4) ** POLY_POWER)


def optimise(
    fabric: Fabric, network: nn.Module, optimiser: Any, loss: Tensor, recipe: Recipe, clock: Clock
) -> bool:
    """Take one optimiser step down ``loss``.

    Returns
    -------
    bool
        False where the gradient was not finite and the step was left out; the weights are then
        unchanged.
    """
    optimiser.zero_grad()
    fabric.backward(loss)
    return descend(fabric, network, optimiser, recipe, clock)


def descend(
    fabric: Fabric, network: nn.Module, optimiser: Any, recipe: Recipe, clock: Clock
) -> bool:
    """Take the optimiser step for the gradients that a backward pass has left in ``network``.

    Processes that train together step down their mean, and leave out the same steps.

    Returns
    -------
    bool
        As `optimise`.
    """
    average_gradients(fabric, network)
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(recipe, clock)
    limit = recipe.gradient_clip or math.inf
    norm = fabric.clip_gradients(network, optimiser, max_norm=limit, error_if_nonfinite=False)
    if norm is not None and not torch.isfinite(norm):
        if fabric.strategy.precision.precision == FLOAT16:
            optimiser.step()  # the gradient scaler leaves the step out itself, and lowers its scale
        optimiser.zero_grad()
        return False
    optimiser.step()
    return True
