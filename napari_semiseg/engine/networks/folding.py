"""Batch normalisation folded into the convolutions before it, for networks that only answer.

In inference mode a batch normalisation multiplies and shifts by fixed numbers, which the weights of
the convolution can do as well: the same answers with fewer passes over memory. Training cannot go on
from a folded network.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
NORMALISATIONS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Place(NamedTuple):
    """A layer, and where it hangs."""

    parent: nn.Module
    name: str
    layer: nn.Module


def fold_batch_normalisation(network: nn.Module) -> int:
    """Fold every batch normalisation that directly follows a convolution, in place.

    Parameters
    ----------
    network : nn.Module
        Put into inference mode; must not be trained any more.

    Returns
    -------
    int
        How many were folded. Normalisations without running statistics, and those whose convolution
        is used in more than one place, stay.
    """
    network.eval()
    chains = [list(_layers(chain)) for chain in network.modules() if _is_outermost(chain, network)]
    uses = Counter(id(place.layer) for chain in chains for place in chain)
    folded = 0
    for chain in chains:
        for before, after in itertools.pairwise(chain):
            if uses[id(before.layer)] == 1 and _folds(before.layer, after.layer):
                transposed = isinstance(before.layer, TRANSPOSED)
                convolution, normalisation = cast(Any, before.layer), cast(Any, after.layer)
                fused = fuse_conv_bn_eval(convolution, normalisation, transpose=transposed)
                setattr(before.parent, before.name, fused)
                setattr(after.parent, after.name, nn.Identity())
                folded += 1
    return folded


def _is_chain(module: nn.Module) -> bool:
    """Tell whether a module runs its children one after the other and does nothing else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _is_outermost(module: nn.Module, network: nn.Module) -> bool:
    """Tell whether a chain is no link of another one."""
    inner = {
        id(child)
        for parent in network.modules()
        if _is_chain(parent)
        for child in parent.children()
    }
    return _is_chain(module) and id(module) not in inner


def _layers(chain: nn.Module) -> Iterator[_Place]:
    """Return the layers of a chain in their order, those of chains inside it among them."""
    for name, child in chain.named_children():
        if _is_chain(child):
            yield from _layers(child)
        else:
            yield _Place(chain, name, child)


def _folds(before: nn.Module, after: nn.Module) -> bool:
    if not isinstance(after, NORMALISATIONS) or after.running_mean is None:
        return False
    if isinstance(before, TRANSPOSED):
        return before.groups == 1
    return isinstance(before, CONVOLUTIONS)
