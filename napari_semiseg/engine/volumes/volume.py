"""Scans and labels in memory: voxels together with the grid that they lie on.

Made by reading, passed to every other room; both are plain values and safe on any thread as long as
nobody writes into their arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from napari_semiseg.engine.volumes.geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """A scan.

    Attributes
    ----------
    voxels : ndarray, shape (channels, z, y, x)
        The file's own integer type, or float32 where the file has floats or a rescale.
    geometry : Geometry
        The scan's own grid; ``geometry.shape == voxels.shape[1:]``.
    modality : str or None
        DICOM modality ("CT", "MR") where the file says it, else None.
    channel_names : tuple of str
        One name a channel; "image" for a single one, "channel 1" and so on where none are given.

    Raises
    ------
    ValueError
        The array, the grid and the names do not belong together.
    """

    voxels: np.ndarray
    geometry: Geometry
    modality: str | None = None
    channel_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels.ndim != 4 or self.voxels.shape[1:] != self.geometry.shape:
            raise ValueError(
                f"voxels of shape {self.voxels.shape} do not fit the grid {self.geometry.shape}"
            )
        channels = len(self.voxels)
        if not self.channel_names:
            names = [f"channel {number}" for number in range(1, channels + 1)]
            object.__setattr__(self, "channel_names", ("image",) if channels == 1 else tuple(names))
        if len(self.channel_names) != channels:
            raise ValueError(f"{len(self.channel_names)} names for {channels} channels")


@dataclass(frozen=True, eq=False)
class LabelVolume:
    """A label: the class of every voxel.

    Attributes
    ----------
    voxels : ndarray, shape (z, y, x), uint8 or uint16
        Class values; 0 is background.
    geometry : Geometry
        The grid of the label (that of its scan where the two were compared).
    class_names : dict of int to str
        What the file or its sidecar calls the values; empty where it says nothing.

    Raises
    ------
    ValueError
        The array and the grid do not belong together, or the type is another one.
    """

    voxels: np.ndarray
    geometry: Geometry
    class_names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.voxels.shape != self.geometry.shape:
            raise ValueError(
                f"voxels of shape {self.voxels.shape} do not fit the grid {self.geometry.shape}"
            )
        if self.voxels.dtype not in (np.uint8, np.uint16):
            raise ValueError(f"a label wants uint8 or uint16, not {self.voxels.dtype}")
