"""How much memory a step of training takes, and how a plan comes to take less.

Planning bounds the patch by an estimate; training tries one real step where the estimate leaves doubt,
and asks for a smaller plan where that step does not fit or where memory runs out later on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.planning.machine import Machine, Precision
from napari_semiseg.engine.planning.plan import Plan

BYTES_A_VOXEL_AND_FILTER = 150  # 23 to 60 are kept for the backward pass; the rest is workspace
KEPT_A_VOXEL_AND_FILTER = 23
NARROWEST = 3  # voxels of the bottleneck; below, bfloat16 gradients on the CPU are now and then NaN
PATCH_SHARE = 0.7  # of its voxels that a smaller patch keeps at most


@dataclass(frozen=True)
class Saving:
    """A plan that takes less memory than another.

    Attributes
    ----------
    plan : Plan
        With a reason more.
    precision : str
        In Lightning Fabric's words.
    what : str
        What is less than before, to go on “training goes on with …”.
    """

    plan: Plan
    precision: Precision
    what: str


def activation_bytes(plan: Plan, networks: float, each: int = BYTES_A_VOXEL_AND_FILTER) -> float:
    """Estimate what a step of training takes beside the weights.

    Parameters
    ----------
    networks : float
        Networks that see the crops and learn at the same time.
    each : int
        Bytes a voxel and filter: what was measured with workspace, or `KEPT_A_VOXEL_AND_FILTER`, which
        no step goes below.
    """
    recipe = plan.recipe
    crops = max(recipe.labelled + recipe.unlabelled, recipe.labelled_alone)
    return float(each * np.prod(plan.patch) * plan.network.filters * crops * networks)


def smaller_plan(
    plan: Plan, machine: Machine, least_unlabelled: int = 1, keeps_precision: bool = False
) -> Saving | None:
    """Return the next plan that takes less memory; None where nothing is left to save.

    First come fewer crops a step: what the network sees of a crop, and all that its weights mean, stays
    as it was, and only the gradient is noisier. Then comes a smaller patch, which shows less around a
    voxel in training and at inference alike. Precision comes last: hardware that is fast in few bits
    computes in them from the start, so that only machines are left on which that is slow, and methods
    whose gradients it spoils, which keep theirs.

    Parameters
    ----------
    keeps_precision : bool
        The method needs float32.
    """
    saving = _fewer_crops(plan, machine, least_unlabelled) or _smaller_patch(plan, machine)
    if saving is None and not keeps_precision:
        saving = _lower_precision(plan, machine)
    return saving


def _fewer_crops(plan: Plan, machine: Machine, least_unlabelled: int) -> Saving | None:
    recipe = plan.recipe
    fewer = recipe.model_copy(
        update={
            "labelled": -(-recipe.labelled // 2),
            "unlabelled": min(recipe.unlabelled, max(-(-recipe.unlabelled // 2), least_unlabelled)),
            "labelled_alone": -(-recipe.labelled_alone // 2),
        }
    )
    if fewer == recipe:
        return None
    crops = f"{fewer.labelled} + {fewer.unlabelled} crops a step ({fewer.labelled_alone} without "
    return _saving(plan, {"recipe": fewer}, machine.precision, crops + "unlabelled scans)")


def _smaller_patch(plan: Plan, machine: Machine) -> Saving | None:
    """Take voxels off the longest axes, as long as the bottleneck stays wide enough."""
    if plan.network.name.startswith("monai:"):
        return None  # the weights of some are made for one patch
    factors = (1,) * (3 - plan.network.dimensions) + plan.network.divisor
    least = [min(e, NARROWEST * f) for e, f in zip(plan.patch, factors, strict=True)]
    patch = list(plan.patch)
    while np.prod(patch) > PATCH_SHARE * np.prod(plan.patch):
        free = [axis for axis in range(3) if patch[axis] - factors[axis] >= least[axis]]
        if not free:
            break
        longest = max(free, key=lambda axis: patch[axis])
        patch[longest] -= factors[longest]
    if tuple(patch) == plan.patch:
        return None
    numbers = " × ".join(map(str, patch[::-1]))
    return _saving(plan, {"patch": tuple(patch)}, machine.precision, f"a patch of {numbers} voxels")


def _lower_precision(plan: Plan, machine: Machine) -> Saving | None:
    """Halve the activations on a CPU; graphics cards have their fast precision already."""
    if machine.device != "cpu" or machine.precision != "32-true":
        return None
    return _saving(plan, {}, "bf16-mixed", "numbers of half as many bits, which is slower here")


def _saving(plan: Plan, changes: dict[str, object], precision: Precision, what: str) -> Saving:
    reason = f"Memory: {what}, because more did not fit."
    smaller = plan.model_copy(update={**changes, "reasons": (*plan.reasons, reason)})
    return Saving(smaller, precision, what)
