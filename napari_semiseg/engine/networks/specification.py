"""What a network is to be: the numbers that planning chooses and the catalogue builds from.

Plain data without torch, so that a plan can be read, shown and stored where torch is not loaded.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class NetworkSpecification(BaseModel):
    """A segmentation network, complete enough to build it again from a checkpoint.

    Attributes
    ----------
    name : str
        A key of the catalogue: ``"unet"``, ``"paper-unet"``, ``"vnet"``, ``"enet"`` (2D only) or
        ``"monai:CLASS"``.
    dimensions : {2, 3}
        Spatial dimensions of the convolutions.
    channels : int
        Image channels.
    classes : int
        Classes with the background, C.
    filters : int
        Feature channels at full resolution; doubled at every level.
    strides : tuple of tuple of int
        One entry a level below full resolution, each with one factor a spatial axis (z, y, x; or y, x).
    normalisation : {"instance", "batch", "none"}
        Normalisation after each convolution.
    dropout : float
        Probability of the dropout layers, 0…1; 0 builds none.
    signed_distance_head : bool
        Adds the second head of C − 1 tanh channels (spec §2.2).
    options : dict
        Further arguments of a MONAI class.
    """

    model_config = ConfigDict(frozen=True)

    name: str = "unet"
    dimensions: Literal[2, 3] = 3
    channels: int = Field(default=1, ge=1)
    classes: int = Field(default=2, ge=2)
    filters: int = Field(default=8, ge=1)
    strides: tuple[tuple[int, ...], ...] = ((2, 2, 2), (2, 2, 2), (2, 2, 2))
    normalisation: Literal["instance", "batch", "none"] = "instance"
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    signed_distance_head: bool = False
    options: dict[str, Any] = Field(default_factory=dict)

    @property
    def divisor(self) -> tuple[int, ...]:
        """What each axis of a patch must be a multiple of, in the order of the strides."""
        divisor = [1] * self.dimensions
        for stride in self.strides:
            divisor = [have * factor for have, factor in zip(divisor, stride, strict=True)]
        return tuple(divisor)
