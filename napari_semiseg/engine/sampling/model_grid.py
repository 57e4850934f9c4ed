"""The model grid of a scan: turned to anatomical axes, resampled to the plan's voxel size.

Networks see every scan with its axes in the order superior, anterior, right, whatever the order in
its file, so that a study may mix orientations. Nothing on disk is turned: images come from the scan's
own grid, and maps go back to it, slab by slab along the slices of the file, so that memory stays
bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from napari_semiseg.engine.volumes import Geometry
from napari_semiseg.engine.volumes.large_arrays import SLAB_VOXELS, allocate, release, slabs

IGNORED = 255  # class index of voxels that no loss counts
ANTIALIAS_ABOVE = 1.25  # coarsening beyond this factor averages instead of interpolating
LEAST_KNOWN = (
    0.499  # share of a voxel that must be decided where a voxel is as large as in the scan
)


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

    @property
    def slice_axis(self) -> int:
        """Model axis that runs along the slices of the scan's file, which lie apart on the disk."""
        return self.axes.index(0)

    def slices_first(self, voxels: np.ndarray) -> np.ndarray:
        """View ``voxels`` (..., z, y, x) of the model grid with `slice_axis` before the others."""
        return np.moveaxis(voxels, voxels.ndim - 3 + self.slice_axis, voxels.ndim - 3)

    def extents_slices_first(self, extents: tuple[int, int, int]) -> tuple[int, int, int]:
        """Reorder ``extents`` of the model's axes as `slices_first` does."""
        slices, *others = self.slice_axis, *(axis for axis in range(3) if axis != self.slice_axis)
        return extents[slices], extents[others[0]], extents[others[1]]

    def resample_image(
        self,
        voxels: np.ndarray,
        convert: Callable[[np.ndarray], np.ndarray] | None = None,
        numbers: int = SLAB_VOXELS,
    ) -> np.ndarray:
        """Bring an image to the model grid, slab by slab.

        Parameters
        ----------
        voxels : ndarray
            (channels, z, y, x) of the scan, any numeric type; may be a memory map.
        convert : callable, optional
            Applied to each slab (channels, slices, …) before it is resampled, to normalise it.
        numbers : int
            Bound on channels × voxels of one slab.

        Returns
        -------
        ndarray
            (channels, z, y, x) float32, in a file where it is large.
        """
        before = self.slices_first(self.turn(voxels))
        shape = self.extents_slices_first(self.shape)
        image = allocate((len(voxels), *shape), np.float32)
        weights = _axis_weights(before.shape[1], shape[0])
        coarsening = max(1.0, before[0].size / np.prod(shape))
        for rows in slabs(image.shape, 1, int(numbers / coarsening)):
            used = torch.nonzero(weights[rows].any(dim=0)).squeeze(1)
            first, last = int(used[0]), int(used[-1]) + 1
            block = before[:, first:last] if convert is None else convert(before[:, first:last])
            slab = torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32))
            if before.shape[1] != shape[0]:
                slab = _weigh(slab, 1, weights[rows, first:last])
            image[:, rows] = _resize(slab, (slab.shape[1], *shape[1:])).numpy()
            release(image)
            release(voxels)
        return np.moveaxis(image, 1, 1 + self.slice_axis)

    def resample_label(self, label: np.ndarray, classes: int) -> np.ndarray:
        """Bring class indices (z, y, x) to the model grid by interpolating one class at a time.

        Voxels that nobody has decided on have no vote: on a coarser grid a slice that is labelled
        between others that are not still says what the thicker slice around it is.

        Parameters
        ----------
        label : ndarray
            Class indices 0…classes − 1; all other values are ignored voxels.

        Returns
        -------
        ndarray
            (z, y, x) uint8 of the model grid, 255 where too little is known.
        """
        turned = np.ascontiguousarray(self.turn(label))
        if turned.shape == self.shape:
            return turned
        best = np.full(self.shape, -1.0, np.float32)
        known = np.zeros(self.shape, np.float32)
        resampled = np.zeros(self.shape, np.uint8)
        for index in range(classes):
            mask = torch.from_numpy((turned == index).astype(np.float32))[None]
            share = _resize(mask, self.shape)[0].numpy()
            better = share > best
            best[better] = share[better]
            resampled[better] = index
            known += share
        # A slice that is split between two thicker ones fills half of its share in one of them.
        coarsening = max(1.0, *(before / after for before, after in self._extents(turned)))
        resampled[known < LEAST_KNOWN / coarsening] = IGNORED
        return resampled

    def _extents(self, turned: np.ndarray) -> Iterator[tuple[int, int]]:
        return zip(turned.shape, self.shape, strict=True)


@dataclass(frozen=True)
class Slab:
    """Values for some slices of a scan.

    Attributes
    ----------
    rows : slice
        Which slices, counted along `ModelGrid.slice_axis` in the model's direction.
    values : Tensor
        (channels, slices, ., .) float32.
    """

    rows: slice
    values: Tensor

    def place(self, grid: ModelGrid, native: np.ndarray, values: np.ndarray) -> None:
        """Put ``values`` ([channels,] slices, ., .) where they belong in a native array."""
        turned = grid.slices_first(grid.turn(native))
        turned[(slice(None),) * (values.ndim - 3) + (self.rows,)] = values
        release(native)


class WayBack:
    """Interpolates maps from the model grid to the scan's grid as their rows come in.

    Parameters
    ----------
    grid : ModelGrid
        How the grids correspond.
    numbers : int
        Bound on channels × voxels of one slab.
    """

    def __init__(self, grid: ModelGrid, numbers: int = SLAB_VOXELS) -> None:
        self._numbers = numbers
        self._rows = grid.shape[grid.slice_axis]
        self._native = grid.extents_slices_first(grid.turned_shape)
        self._begun: np.ndarray | None = None  # the last row that came in
        self._arrived = self._done = 0

    def add(self, maps: np.ndarray) -> Iterator[Slab]:
        """Take the next rows of the maps and interpolate all slices that they settle.

        Parameters
        ----------
        maps : ndarray
            (channels, rows, ., .) of the model grid with its slice axis first; all rows come in
            order, as many at a time as the caller likes.
        """
        first = self._arrived - (self._begun is not None)
        self._arrived += maps.shape[1]
        depth, height, width = self._native
        stop = depth if self._arrived == self._rows else self._settled(self._arrived)
        ready = (len(maps), max(0, stop - self._done), height, width)
        for part in slabs(ready, 1, self._numbers) if ready[1] else ():
            rows = slice(self._done + part.start, self._done + part.stop)
            yield Slab(rows, self._interpolated(maps, first, rows))
        self._done = max(stop, self._done)
        self._begun = maps[:, -1:].copy()

    def _settled(self, arrived: int) -> int:
        """Count the slices that lie before the middle of the last of ``arrived`` rows."""
        position = self._positions(slice(0, self._native[0]))
        return int(np.searchsorted(position, arrived - 1, side="right"))

    def _positions(self, rows: slice) -> np.ndarray:
        centres = (np.arange(rows.start, rows.stop) + 0.5) * self._rows / self._native[0] - 0.5
        return centres.clip(0, self._rows - 1)

    def _interpolated(self, maps: np.ndarray, first: int, rows: slice) -> Tensor:
        """Interpolate the slices ``rows`` between model rows, of which ``first`` is the last one."""
        position = self._positions(rows)
        low = np.floor(position).astype(int)
        high = np.minimum(low + 1, self._rows - 1)
        weight = torch.from_numpy((position - low).astype(np.float32))[:, None, None]
        begin, end = int(low[0]), int(high[-1]) + 1
        block = self._block(maps, begin - first, min(end, self._arrived) - first)
        high = np.minimum(high - begin, block.shape[1] - 1)  # its weight is 0 where it is missing
        mixed = torch.lerp(block[:, low - begin], block[:, high], weight)
        if mixed.shape[-2:] != self._native[1:]:
            mixed = F.interpolate(mixed, self._native[1:], mode="bilinear")
        return mixed

    def _block(self, maps: np.ndarray, begin: int, end: int) -> Tensor:
        """Return rows counted from the last one of before, if there is one, else from the first."""
        if self._begun is None:
            return torch.from_numpy(np.array(maps[:, begin:end], np.float32))
        new = maps[:, max(0, begin - 1) : end - 1]
        rows = [self._begun, new] if begin == 0 else [new]
        return torch.from_numpy(np.concatenate(rows, axis=1).astype(np.float32, copy=False))


def _resize(image: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Resize (channels, z, y, x) axis by axis: average where it shrinks, interpolate where not."""
    for axis, extent in enumerate(shape, start=1):
        if image.shape[axis] != extent:
            image = _weigh(image, axis, _axis_weights(image.shape[axis], extent))
    return image.contiguous()


def _weigh(image: Tensor, axis: int, weights: Tensor) -> Tensor:
    """Multiply an axis of ``image`` by ``weights`` (after, before), of which few are not zero.

    Each voxel is the sum of a few others, always in the same order: a matrix product would round
    differently in slabs of another size, and networks in bfloat16 make much of the last digit.
    """
    involved = weights != 0
    first = involved.int().argmax(dim=1)
    total: Tensor | None = None
    for step in range(int(involved.sum(dim=1).max())):
        index = (first + step).clamp_max(weights.shape[1] - 1)
        share = weights.gather(1, index[:, None])[:, 0]
        share[first + step > index] = 0.0
        part = image.index_select(axis, index)
        part *= share.reshape([-1 if other == axis else 1 for other in range(image.dim())])
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


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
