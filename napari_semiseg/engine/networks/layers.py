"""PyTorch's layers by the number of spatial dimensions, 2 or 3.

Read by the networks in this room only.
"""

from __future__ import annotations

from torch import nn

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED_CONVOLUTION: dict[int, type[nn.Module]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
MAX_POOLING = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
ADAPTIVE_POOLING = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
BATCH_NORMALISATION: dict[int, type[nn.Module]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE_NORMALISATION: dict[int, type[nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
CHANNEL_DROPOUT = {2: nn.Dropout2d, 3: nn.Dropout3d}
LINEAR_INTERPOLATION = {2: "bilinear", 3: "trilinear"}
"""Names of the linear mode of `torch.nn.Upsample` and `torch.nn.functional.interpolate`."""
