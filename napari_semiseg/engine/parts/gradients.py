"""What processes that train one run together tell each other in the middle of a step.

Each process has the same weights and crops of its own, and goes down the mean over the processes of
their losses. A loss that is a mean over crops or voxels is so the loss of one process on the whole
batch, exactly where each process counts as many of them. A ratio of sums (Dice over a batch, a mean
over the voxels that are certain or not ignored) is taken in each process and then averaged, as when one
process adds up the gradients of several small batches: close to the ratio over the whole batch, and
equal to it where the counts are.

Gradients are averaged here, between the backward pass and the optimiser step, and not by a wrapper
around each network: methods ask a network several times in one backward pass, leave heads unused,
change weights outside of a step and look at gradients themselves, and the wrapper of PyTorch forbids
each of these. Because all see the averaged gradient, all leave out the same steps. With one process
nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn


def averaged(fabric: Fabric, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the mean of each tensor over the processes, in one exchange.

    Parameters
    ----------
    fabric : Fabric
        Knows the processes; every one of them must call this.
    tensors : sequence of Tensor
        Of the same shapes and in the same order in every process.
    """
    if fabric.world_size == 1 or not tensors:
        return list(tensors)
    line = torch.cat([tensor.detach().float().reshape(-1) for tensor in tensors])
    line = fabric.all_reduce(line.to(fabric.device), reduce_op="mean")  # type: ignore[assignment]
    parts = line.split([tensor.numel() for tensor in tensors])
    return [
        part.reshape(tensor.shape).to(tensor.device, tensor.dtype)
        for part, tensor in zip(parts, tensors, strict=True)
    ]


@torch.no_grad()
def average_gradients(fabric: Fabric, network: nn.Module) -> None:
    """Average the gradients of ``network`` over the processes, after a backward pass.

    A weight without a gradient in any process stays without one, so that weight decay passes over it
    as it does in one process. Statistics of batch normalisation are averaged too; each process has
    normalised by its own share of the batch.
    """
    if fabric.world_size == 1:
        return
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    reached = torch.tensor([float(weight.grad is not None) for weight in weights])
    *means, shares = averaged(fabric, [*gradients, *statistics, reached])
    for weight, mean, share in zip(weights, means, shares.tolist(), strict=False):
        if share:
            weight.grad = torch.empty_like(weight).copy_(mean)
    for buffer, mean in zip(statistics, means[len(weights) :], strict=True):
        buffer.copy_(mean)


@torch.no_grad()
def make_alike(fabric: Fabric, network: nn.Module) -> None:
    """Give ``network`` the weights of the first process in all, after a random start of its own."""
    if fabric.world_size == 1:
        return
    values = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    factor = float(fabric.world_size) if fabric.is_global_zero else 0.0
    for value, mean in zip(values, averaged(fabric, [v * factor for v in values]), strict=True):
        value.copy_(mean)


@torch.no_grad()
def dot_and_cosine(first: Sequence[Tensor], second: Sequence[Tensor]) -> tuple[float, float]:
    """Dot product and cosine of two gradients, as if all weights were one vector.

    Parameters
    ----------
    first, second : sequence of Tensor
        One tensor for each weight, in the same order and of the same shapes.

    Returns
    -------
    product : float
        Sum of the products of all entries.
    cosine : float
        −1…1; 0 where one of the gradients is zero.
    """
    products = [(mine * theirs).sum() for mine, theirs in zip(first, second, strict=True)]
    squares = [
        torch.stack([entry.square().sum() for entry in gradient]).sum()
        for gradient in (first, second)
    ]
    product = torch.stack(products).sum()
    length = (squares[0].sqrt() * squares[1].sqrt()).item()
    return product.item(), product.item() / length if length > 0 else 0.0
