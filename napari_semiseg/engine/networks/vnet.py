"""The V-Net of the left-atrium papers: plain blocks, additive skips (spec §2.1).

Not Milletari's V-Net: no residual blocks, ReLU, strided convolutions down and transposed ones up.
UA-MT, SASSNet, DTC, DTML, UG-MCL and reciprocal learning report their figures with it. Built by the
catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from napari_semiseg.engine.networks.encoder_decoder import EncoderDecoder
from napari_semiseg.engine.networks.encoder_features import EncoderFeatures
from napari_semiseg.engine.networks.heads import Heads
from napari_semiseg.engine.networks.layers import (
    BATCH_NORMALISATION,
    CHANNEL_DROPOUT,
    CONVOLUTION,
    INSTANCE_NORMALISATION,
    TRANSPOSED_CONVOLUTION,
)

_NORMALISATION: dict[str, dict[int, type[nn.Module]]] = {
    "batch": BATCH_NORMALISATION,
    "instance": INSTANCE_NORMALISATION,
}
CONVOLUTIONS_PER_LEVEL = (1, 2, 3, 3, 3)


class VNet(EncoderDecoder):
    """V-Net of the papers, in 2D or 3D, with any number of levels.

    Parameters
    ----------
    dimensions : int
        2 or 3.
    channels, classes : int
        Image channels; classes with the background.
    strides : sequence of sequence of int
        One entry a level; four times (2, 2, 2) in the papers.
    normalisation : str
        ``"batch"`` in the papers.
    dropout : float, default 0.5
        Drops whole channels of the bottleneck and of the last decoder block.
    signed_distance_head : bool
        Adds the tanh head of DTC, DTML, SASSNet and UG-MCL.
    """

    def __init__(
        self,
        dimensions: int,
        channels: int,
        classes: int,
        filters: int = 16,
        strides: Sequence[Sequence[int]] = ((2, 2, 2),) * 4,
        normalisation: str = "batch",
        dropout: float = 0.5,
        signed_distance_head: bool = False,
    ) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.normalisation = normalisation
        widths = [filters * 2**level for level in range(len(strides) + 1)]
        counts = [CONVOLUTIONS_PER_LEVEL[min(level, 4)] for level in range(len(widths))]
        self.encoder = nn.ModuleList([self._block(counts[0], channels, widths[0])])
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        for level, stride in enumerate(strides):
            narrow, wide = widths[level], widths[level + 1]
            self.down.append(self._resample(CONVOLUTION[dimensions], narrow, wide, stride))
            self.encoder.append(self._block(counts[level + 1], wide, wide))
            self.up.append(self._resample(TRANSPOSED_CONVOLUTION[dimensions], wide, narrow, stride))
            self.decoder.append(self._block(counts[level], narrow, narrow))
        self.encoder_features = EncoderFeatures()
        self.dropout = CHANNEL_DROPOUT[dimensions](dropout) if dropout else nn.Identity()
        self.heads = Heads(dimensions, widths[0], classes, signed_distance_head)

    def _unit(self, convolution: nn.Module, width: int) -> list[nn.Module]:
        if self.normalisation == "none":
            return [convolution, nn.ReLU(inplace=True)]
        normalisation = _NORMALISATION[self.normalisation][self.dimensions]
        return [convolution, normalisation(width), nn.ReLU(inplace=True)]

    def _block(self, count: int, before: int, after: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for index in range(count):
            convolution = CONVOLUTION[self.dimensions](
                before if index == 0 else after, after, kernel_size=3, padding=1
            )
            layers += self._unit(convolution, after)
        return nn.Sequential(*layers)

    def _resample(
        self, convolution: type[nn.Module], before: int, after: int, stride: Sequence[int]
    ) -> nn.Sequential:
        layer = convolution(before, after, kernel_size=tuple(stride), stride=tuple(stride))
        return nn.Sequential(*self._unit(layer, after))

    @property
    def downsampling(self) -> nn.ModuleList:
        """Strided convolutions."""
        return self.down

    def join(self, skip: Tensor, upsampled: Tensor) -> Tensor:
        """Add the channels."""
        return upsampled + skip
