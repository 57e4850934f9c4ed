"""A network that reads from an image how large each structure in it is (spec §2.8).

ResNeXt: residual blocks of grouped convolutions, here in 2D and 3D and of any depth, with adaptive
pooling so that crops of every size give one number a structure. Built by the curriculum method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from napari_semiseg.engine.networks.layers import (
    ADAPTIVE_POOLING,
    BATCH_NORMALISATION,
    CONVOLUTION,
    MAX_POOLING,
)

EXPANSION = 4
STEM_KERNEL = 7
MOST_GROUPS = 8  # of a group normalisation


@dataclass(frozen=True)
class RegressorSize:
    """How large a regressor is.

    Attributes
    ----------
    depths : tuple of int
        Residual blocks of each stage; every stage but the first halves the image.
    planes : tuple of int
        Nominal width of each stage; its output has four times as many channels.
    cardinality : int
        Groups of the grouped convolutions.
    group_width : int
        Channels of a group in a stage of 64 planes, in proportion elsewhere.
    normalisation : {"batch", "group"}
        Group normalisation wants no more than one crop a step. Instance normalisation would take
        away how much of a crop lights up, which is the size.
    dropout : float
        Probability on every residual branch.
    """

    depths: tuple[int, ...]
    planes: tuple[int, ...]
    cardinality: int = 32
    group_width: int = 4
    normalisation: str = "batch"
    dropout: float = 0.5

    def width(self, planes: int) -> int:
        """Channels of the grouped convolution in a stage of ``planes``."""
        return max(1, planes * self.group_width // 64) * self.cardinality


REGRESSOR_SIZES = {
    "small": RegressorSize((1, 1, 1), (16, 32, 64), 8, 8, "group", dropout=0.1),
    "resnext-50": RegressorSize((3, 4, 6, 3), (64, 128, 256, 512)),
    "resnext-101": RegressorSize((3, 4, 23, 3), (64, 128, 256, 512)),
}
"""The sizes by name; ``"resnext-101"`` (32×4d) is the paper's."""


class SizeRegressor(nn.Module):
    """ResNeXt with one unbounded number for each structure.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    outputs : int
        Structures to measure, C − 1.
    """

    def __init__(self, dimensions: int, channels: int, outputs: int, size: RegressorSize) -> None:
        super().__init__()
        width = size.planes[0]
        self.stem = nn.Sequential(
            CONVOLUTION[dimensions](
                channels, width, STEM_KERNEL, stride=2, padding=STEM_KERNEL // 2, bias=False
            ),
            _normalisation(dimensions, width, size),
            nn.ReLU(inplace=True),
            MAX_POOLING[dimensions](kernel_size=3, stride=2, padding=1),
        )
        blocks: list[nn.Module] = []
        for stage, (depth, planes) in enumerate(zip(size.depths, size.planes, strict=True)):
            for index in range(depth):
                stride = 2 if stage and not index else 1
                blocks.append(_Block(dimensions, width, planes, stride, size))
                width = planes * EXPANSION
        self.blocks = nn.Sequential(*blocks)
        self.pool = ADAPTIVE_POOLING[dimensions](1)
        self.head = nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
        # The features of many blocks add up; sizes should not start in the hundreds.
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, outputs) float32, one a structure, for ``image`` (B, channels, *spatial)."""
        # Bfloat16 rounds a size by up to 0.4 %, and its 3D weight gradients on the CPU are now and
        # then NaN where a map is 2 voxels wide, as the last ones here often are.
        with torch.autocast(image.device.type, enabled=False):
            features = self.blocks(self.stem(image.float()))
            sizes: Tensor = self.head(self.pool(features).flatten(1))
            return sizes


class _Block(nn.Module):
    """Project, convolve in groups, expand; dropped out now and then, and added to the input."""

    def __init__(
        self, dimensions: int, before: int, planes: int, stride: int, size: RegressorSize
    ) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimensions]
        inside, after = size.width(planes), planes * EXPANSION
        self.branch = nn.Sequential(
            convolution(before, inside, kernel_size=1, bias=False),
            _normalisation(dimensions, inside, size),
            nn.ReLU(inplace=True),
            convolution(
                inside, inside, 3, stride=stride, padding=1, groups=size.cardinality, bias=False
            ),
            _normalisation(dimensions, inside, size),
            nn.ReLU(inplace=True),
            convolution(inside, after, kernel_size=1, bias=False),
            _normalisation(dimensions, after, size),
            nn.Dropout(size.dropout) if size.dropout else nn.Identity(),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != after:
            self.shortcut = nn.Sequential(
                convolution(before, after, kernel_size=1, stride=stride, bias=False),
                _normalisation(dimensions, after, size),
            )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.shortcut(features) + self.branch(features))


def _normalisation(dimensions: int, width: int, size: RegressorSize) -> nn.Module:
    if size.normalisation == "group":
        return nn.GroupNorm(math.gcd(MOST_GROUPS, width), width)
    return BATCH_NORMALISATION[dimensions](width)
