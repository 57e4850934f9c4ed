"""ENet, the slice-wise network of the curriculum paper (spec §2.7).

A small encoder of bottleneck blocks (plain, dilated, asymmetric) and a decoder that puts features
back where max-pooling took them from. Slices are padded inside to multiples of 8. Built by the
catalogue.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.networks.heads import Heads
from napari_semiseg.engine.networks.output import NetworkOutput

PROJECTION = 4  # a bottleneck is this much narrower inside than at its input
DIVISOR = 8  # three poolings
CONTEXT = (None, 2, "asymmetric", 4, None, 8, "asymmetric", 16)
"""The eight bottlenecks of a context group: plain, asymmetric, or with a dilation."""

_NORMALISATION: dict[str, type[nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "instance": nn.InstanceNorm2d,
}


class _Layers:
    """Makes the layers that all blocks are built of, with the chosen normalisation and dropout."""

    def __init__(self, normalisation: str, dropout: float) -> None:
        self.normalisation, self.dropout = normalisation, dropout

    def unit(self, *convolutions: nn.Conv2d) -> nn.Sequential:
        """Convolutions one after the other, then normalisation and PReLU."""
        width = convolutions[-1].out_channels
        norm: list[nn.Module] = []
        if self.normalisation != "none":
            affine = {} if self.normalisation == "batch" else {"affine": True}
            norm = [_NORMALISATION[self.normalisation](width, **affine)]
        return nn.Sequential(*convolutions, *norm, nn.PReLU())

    def drop(self, share: float = 1.0) -> nn.Module:
        """Dropout with a share of the network's probability."""
        return nn.Dropout(self.dropout * share) if self.dropout else nn.Identity()


def _inside(width: int) -> int:
    return max(1, width // PROJECTION)


class _Bottleneck(nn.Module):
    """Project, convolve, expand; added to the input, which is projected where it is wider."""

    def __init__(
        self,
        layers: _Layers,
        before: int,
        after: int,
        kind: int | str | None = None,
        drop_share: float = 1.0,
        wide_shortcut: bool = False,
    ) -> None:
        super().__init__()
        inside = _inside(before)
        if kind == "asymmetric":
            tall = nn.Conv2d(inside, inside, kernel_size=(5, 1), padding=(2, 0))
            broad = nn.Conv2d(inside, inside, kernel_size=(1, 5), padding=(0, 2))
            middle = layers.unit(tall, broad)
        else:
            dilation = kind if isinstance(kind, int) else 1
            middle = layers.unit(
                nn.Conv2d(inside, inside, kernel_size=3, padding=dilation, dilation=dilation)
            )
        self.branch = nn.Sequential(
            layers.unit(nn.Conv2d(before, inside, kernel_size=1)),
            middle,
            layers.unit(nn.Conv2d(inside, after, kernel_size=1)),
            layers.drop(drop_share),
        )
        self.shortcut: nn.Module = nn.Identity()
        if wide_shortcut:
            self.shortcut = nn.Conv2d(before, after, kernel_size=3, padding=1)
        elif before != after:
            self.shortcut = layers.unit(nn.Conv2d(before, after, kernel_size=1))
        self.activation = nn.PReLU()

    def forward(self, features: Tensor) -> Tensor:
        sum_of_both: Tensor = self.activation(self.shortcut(features) + self.branch(features))
        return sum_of_both


class _Down(nn.Module):
    """Halve the slice; the shortcut is max-pooled and gets channels of zeros."""

    def __init__(self, layers: _Layers, before: int, after: int) -> None:
        super().__init__()
        inside = _inside(before)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.branch = nn.Sequential(
            layers.unit(nn.Conv2d(before, inside, kernel_size=2, stride=2)),
            layers.unit(nn.Conv2d(inside, inside, kernel_size=3, padding=1)),
            layers.unit(nn.Conv2d(inside, after, kernel_size=1)),
            layers.drop(0.1),
        )
        self.activation = nn.PReLU()

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features and where the pooled ones came from."""
        pooled, indices = self.pool(features)
        branch = self.branch(features)
        missing = branch.shape[1] - pooled.shape[1]
        return self.activation(F.pad(pooled, (0, 0, 0, 0, 0, missing)) + branch), indices


class ENet(nn.Module):
    """ENet as the authors of the curriculum paper wrote it.

    Parameters
    ----------
    dimensions : int
        Must be 2.
    channels, classes : int
        Image channels, fewer than four times ``filters``; classes with the background.
    filters : int, default 16
        Feature channels at half resolution; eight times as many inside.
    normalisation : {"batch", "instance", "none"}
        ``"batch"`` in the paper.
    dropout : float, default 0.1
        Probability in the plain and asymmetric bottlenecks; a tenth of it in the others.

    Raises
    ------
    SettingsError
        Asked for three dimensions, or for more image channels than it can take.
    """

    def __init__(
        self,
        dimensions: int,
        channels: int,
        classes: int,
        filters: int = 16,
        normalisation: str = "batch",
        dropout: float = 0.1,
        signed_distance_head: bool = False,
    ) -> None:
        super().__init__()
        _refuse_unsuitable(dimensions, channels, filters)
        layers = _Layers(normalisation, dropout)
        first, middle, inner = max(filters, channels + 1), 4 * filters, 8 * filters
        self.initial = nn.Conv2d(channels, first - channels, kernel_size=3, stride=2, padding=1)
        self.initial_pool = nn.MaxPool2d(2)
        self.down_first = _Down(layers, first, middle)
        self.first_group = nn.Sequential(
            *(_Bottleneck(layers, middle, middle, drop_share=0.1) for _ in range(4))
        )
        self.down_second = _Down(layers, middle, inner)
        self.second_group = _context(layers, [inner] * 9)
        self.third_group = _context(layers, [inner] * 8 + [middle])
        self.unpool = nn.MaxUnpool2d(2)
        self.up_second = self._up(layers, 2 * middle, middle)
        self.up_second_activation = nn.PReLU()
        self.up_second_group = nn.Sequential(
            _Bottleneck(layers, middle, middle), _Bottleneck(layers, middle, first)
        )
        self.up_first = nn.Sequential(
            self._up(layers, 2 * first, first), _Bottleneck(layers, first, first)
        )
        self.up_first_activation = nn.PReLU()
        self.last = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            layers.unit(nn.Conv2d(first, filters, kernel_size=3, padding=1, bias=False)),
            layers.unit(nn.Conv2d(filters, filters, kernel_size=3, padding=1, bias=False)),
        )
        self.heads = Heads(2, filters, classes, signed_distance_head)
        self.apply(_initialise_xavier)

    @staticmethod
    def _up(layers: _Layers, before: int, after: int) -> nn.Sequential:
        inside = _inside(before)
        return nn.Sequential(
            layers.unit(nn.Conv2d(before, inside, kernel_size=3, padding=1)),
            layers.unit(nn.Conv2d(inside, inside, kernel_size=3, padding=1)),
            layers.unit(nn.Conv2d(inside, after, kernel_size=1)),
            layers.drop(0.1),
        )

    def forward(self, image: Tensor) -> NetworkOutput:
        """Segment slices ``image`` (B, channels, y, x) of any size."""
        height, width = image.shape[-2:]
        margins = (0, -width % DIVISOR, 0, -height % DIVISOR)
        if any(margins):
            image = F.pad(image, margins, mode="replicate")
        initial = torch.cat([self.initial(image), self.initial_pool(image)], dim=1)
        first, first_indices = self.down_first(initial)
        first = self.first_group(first)
        second, second_indices = self.down_second(first)
        bottleneck = self.third_group(self.second_group(second))

        unpooled = self.unpool(bottleneck, second_indices)
        joined = self.up_second(torch.cat([unpooled, first], dim=1))
        features = self.up_second_group(self.up_second_activation(unpooled + joined))
        unpooled = self.unpool(features, first_indices)
        joined = self.up_first(torch.cat([unpooled, initial], dim=1))
        features = self.last(self.up_first_activation(unpooled + joined))
        features = features[..., :height, :width]
        logits, distance = self.heads(features)
        return NetworkOutput(logits, features, bottleneck, distance)


def _refuse_unsuitable(dimensions: int, channels: int, filters: int) -> None:
    if dimensions != 2:
        raise SettingsError(
            "The network “enet” sees one slice at a time; set the plan's network.dimensions to 2 "
            "or choose another network."
        )
    if channels >= 4 * filters:
        raise SettingsError(
            f"The network “enet” with {filters} filters takes fewer than {4 * filters} image "
            f"channels, not {channels}; give it more filters (network.filters)."
        )


def _context(layers: _Layers, widths: Sequence[int]) -> nn.Sequential:
    """Eight bottlenecks that see ever farther; only the last may change the width."""
    blocks = []
    for kind, (before, after) in zip(CONTEXT, itertools.pairwise(widths), strict=True):
        dilated = isinstance(kind, int)
        share = 0.1 if dilated else 1.0
        blocks.append(_Bottleneck(layers, before, after, kind, share, dilated and before != after))
    return nn.Sequential(*blocks)


def _initialise_xavier(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_normal_(module.weight)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
