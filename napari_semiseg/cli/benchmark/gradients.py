"""Whether the fast path of a method descends where plain float32 does: the cosine of the gradients.

Rounding may blur a gradient but must not turn it. Both take the same step from the same weights, on
the same crops, with the same random numbers and without dropout.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_semiseg.cli.benchmark.twins import LATE, crops_for
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.parts.uncertainty import DROPOUT
from napari_semiseg.engine.sampling.batches import Batch

LEAST_COSINE = 0.9
"""Below it a fast path does not train what the method says."""

FIRST_STEPS = 5


def gradient_cosine(fast: Method, plain: Method) -> float:
    """Return the cosine of the gradients of two builds of one method.

    The plain one takes a few steps first, because a network that has learnt nothing agrees with
    itself by chance. Both are changed.

    Parameters
    ----------
    fast, plain : Method
        As `twins.build` and `twins.build_plain` make them.

    Returns
    -------
    float
        −1…1, the smallest over the method's networks: each network's gradient is taken as one vector,
        before its first step.
    """
    for method in (fast, plain):
        _without_dropout(method)
    for step in range(FIRST_STEPS):
        torch.manual_seed(step)
        plain.training_step(crops_for(plain, step), LATE)
    fast.load_state_dict(plain.state_dict())
    of_fast = gradients_of_step(fast, crops_for(fast, FIRST_STEPS))
    of_plain = gradients_of_step(plain, crops_for(plain, FIRST_STEPS))
    return min(
        torch.cosine_similarity(of_fast[name], gradient, dim=0).item()
        for name, gradient in of_plain.items()
        if gradient.any()
    )


def gradients_of_step(method: Method, batch: Batch) -> dict[str, Tensor]:
    """Take a step and return what each optimiser went down, float32 vectors by the networks' names."""
    found: dict[str, Tensor] = {}
    handles = []
    for name, optimiser in method.optimisers().items():
        inner = getattr(optimiser, "optimizer", optimiser)  # within Fabric's wrapper

        def note(optimiser: Any, *_: object, name: str = name) -> None:
            if name not in found:
                found[name] = _as_vector(optimiser)

        handles.append(inner.register_step_pre_hook(note))
    torch.manual_seed(0)
    try:
        method.training_step(batch, LATE)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _as_vector(optimiser: torch.optim.Optimizer) -> Tensor:
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    return torch.cat([gradient.detach().float().flatten() for gradient in gradients])


def _without_dropout(method: Method) -> None:
    for network in method.networks().values():
        for layer in network.modules():
            if isinstance(layer, DROPOUT):
                layer.p = 0.0
