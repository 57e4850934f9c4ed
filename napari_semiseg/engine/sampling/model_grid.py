"""The model grid of a scan: turned to anatomical axes, resampled to the plan's voxel size.

Networks see every scan with its axes in the order superior, anterior, right, whatever the order in
its file, so that a study may mix orientations. Nothing on disk is turned: maps come back to the
scan's own grid slab by slab. Used by the patch cache and by inference, on the worker's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_semiseg.engine.volumes import Geometry

ANTIALIAS_ABOVE = 1.25  # coarsening beyond this factor averages instead of interpolating


@dataclass(frozen=True)
class ModelGrid:
    """How one scan's voxels and the model's voxels correspond.

    Attributes
    ----------
    native_shape : tuple of int
        (z, y, x) of the scan's file.
    axes : tuple of int
        Native axis that becomes each model axis.
    flips : tuple of bool
        Whether each model axis runs against its native axis.
    shape : tuple of int
        Voxels of the model grid, (superior, anterior, right).
    spacing : tuple of float
        Its voxel size in mm; the extent divided by the shape, so near the plan's.
    """

    native_shape: tuple[int, int, int]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, geometry: Geometry, spacing: tuple[float, float, float]) -> ModelGrid:
        """Lay the model grid over a scan.

        Parameters
        ----------
        geometry : Geometry
            The scan's grid.
        spacing : tuple of float
            Wanted voxel size (superior, anterior, right) in mm.
        """
        from nibabel.orientations import io_orientation

        orientation = io_orientation(geometry.affine)
        axes, flips = [0, 0, 0], [False, False, False]
        for voxel_axis, (world_axis, direction) in enumerate(orientation):
            axes[2 - int(world_axis)] = 2 - voxel_axis
            flips[2 - int(world_axis)] = bool(direction < 0)
        turned = np.array(geometry.shape)[axes]
        extent = turned * np.array(geometry.spacing)[axes]
        shape = np.maximum(1, np.round(extent / np.array(spacing))).astype(int)
        shape[turned == 1] = 1
        return cls(
            geometry.shape,
            tuple(axes),  # type: ignore[arg-type]
            tuple(flips),  # type: ignore[arg-type]
            tuple(int(n) for n in shape),  # type: ignore[arg-type]
            tuple(float(mm) for mm in extent / shape),  # type: ignore[arg-type]
        )

    @property
    def turned_shape(self) -> tuple[int, int, int]:
        """Native voxels in the model's axis order."""
        z, y, x = (self.native_shape[axis] for axis in self.axes)
        return z, y, x

    def turn(self, voxels: np.ndarray) -> np.ndarray:
        """View ``voxels`` (..., z, y, x) of the native grid in the model's axis order (no copy)."""
        leading = voxels.ndim - 3
        order = [*range(leading), *(leading + axis for axis in self.axes)]
        turned = voxels.transpose(order)
        z, y, x = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return turned[..., z, y, x]

    def resample_image(self, voxels: np.ndarray) -> np.ndarray:
        """Bring an image (channels, z, y, x) to the model grid, float32."""
        image = torch.from_numpy(np.ascontiguousarray(self.turn(voxels), dtype=np.float32))
        return _resize(image, self.shape).numpy()

    def resample_label(self, label: np.ndarray, classes: int) -> np.ndarray:
        """Bring class indices (z, y, x) to the model grid by interpolating one class at a time.

        Parameters
        ----------
        label : ndarray
            Class indices 0…classes − 1; other values are ignored voxels and stay so.
        classes : int
            Number of classes with the background.
        """
        turned = np.ascontiguousarray(self.turn(label))
        if turned.shape == self.shape:
            return turned
        best = np.full(self.shape, -1.0, np.float32)
        resampled = np.zeros(self.shape, np.uint8)
        for index in [*range(classes), *(set(np.unique(turned).tolist()) - set(range(classes)))]:
            mask = torch.from_numpy((turned == index).astype(np.float32))[None]
            share = _resize(mask, self.shape)[0].numpy()
            better = share > best
            best[better] = share[better]
            resampled[better] = index
        return resampled

    def slabs_to_native(self, maps: Tensor | np.ndarray, voxels: int = 8_000_000) -> Iterator[Slab]:
        """Interpolate float maps from the model grid to the scan's grid, slab by slab.

        Parameters
        ----------
        maps : Tensor or ndarray
            (channels, z, y, x) on the model grid; may be a memory map.
        voxels : int
            Bound on channels × voxels of one slab.

        Yields
        ------
        Slab
            Interpolated values and where they belong in an array turned by `turn`.
        """
        depth, height, width = self.turned_shape
        rows = max(1, voxels // max(1, len(maps) * height * width))
        for start in range(0, depth, rows):
            stop = min(depth, start + rows)
            position = (np.arange(start, stop) + 0.5) * self.shape[0] / depth - 0.5
            position = position.clip(0, self.shape[0] - 1)
            low = np.floor(position).astype(int)
            high = np.minimum(low + 1, self.shape[0] - 1)
            first, last = int(low[0]), int(high[-1]) + 1
            block = torch.as_tensor(np.asarray(maps[:, first:last]), dtype=torch.float32)
            weight = torch.from_numpy((position - low).astype(np.float32))[:, None, None]
            mixed = torch.lerp(block[:, low - first], block[:, high - first], weight)
            if mixed.shape[-2:] != (height, width):
                mixed = F.interpolate(mixed, (height, width), mode="bilinear")
            yield Slab(slice(start, stop), mixed)


@dataclass(frozen=True)
class Slab:
    """Values (channels, rows, y, x) for some rows of a turned native array."""

    rows: slice
    values: Tensor


def _resize(image: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Resize (channels, z, y, x) axis by axis: average where it shrinks, interpolate where not."""
    for axis, extent in enumerate(shape, start=1):
        if image.shape[axis] != extent:
            weights = _axis_weights(image.shape[axis], extent)
            image = torch.movedim(torch.tensordot(image, weights, dims=([axis], [1])), -1, axis)
    return image.contiguous()


def _axis_weights(before: int, after: int) -> Tensor:
    """Weights (after, before) of the voxels of an axis in its resampled voxels.

    Shrinking weighs each voxel with the part of it that the larger voxel covers, which is exact for
    any ratio; growing interpolates between voxel centres.
    """
    ratio = before / after
    if ratio > ANTIALIAS_ABOVE:
        edges = np.arange(after + 1) * ratio
        low, high = edges[:-1, None], edges[1:, None]
        voxel = np.arange(before)
        covered = np.minimum(high, voxel + 1) - np.maximum(low, voxel)
        return torch.from_numpy((covered.clip(0) / ratio).astype(np.float32))
    centre = ((np.arange(after) + 0.5) * ratio - 0.5).clip(0, before - 1)
    distance = np.abs(centre[:, None] - np.arange(before))
    return torch.from_numpy((1 - distance).clip(0).astype(np.float32))
