"""Where a scan shows nothing but the air around the patient, so that no window need look there.

Air is what is as dark as the darkest part of the scan, block by block, and is reached from the sides
of the scan without leaving the dark: lungs, bowel gas and dark organs are inside the patient and
stay. It says only where surely nothing is: doubt counts as patient. Works on the normalised image, so
that CT and MR are alike; where nothing is dark and wide, as in a crop of an organ, nothing is air.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_semiseg.engine.volumes.large_arrays import release, slabs

BLOCK = 4
"""Voxels along each side of a block; the mean of as many is nearly free of noise."""
MARGIN = 0.02
"""Share of the scan's range by which air may be brighter than the darkest block."""


@dataclass(frozen=True, eq=False)
class AirBlocks:
    """Which blocks of a scan are air.

    Attributes
    ----------
    blocks : ndarray of bool
        (z, y, x) of blocks, the last of an axis cut off by the scan's end.
    """

    blocks: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> AirBlocks:
        """Find the air of a scan.

        Parameters
        ----------
        image : ndarray
            (channels, z, y, x) on the model grid, superior, anterior, right; may be memory-mapped.

        Returns
        -------
        AirBlocks
            Blocks that are dark in every channel, that touch no other block but dark ones, and that
            are reached from the anterior, posterior, right or left side of the scan.
        """
        dark = np.ones([-(-extent // BLOCK) for extent in image.shape[1:]], bool)
        for channel in image:
            means, brightest = _blocks(channel)
            low, high = means.min(), brightest.max()
            dark &= (means <= low + MARGIN * (high - low)) & (high > low)
        regions, _ = ndimage.label(dark)
        sides = (regions[:, [0, -1]], regions[:, :, [0, -1]])
        outside = np.unique(np.concatenate([side.ravel() for side in sides]))
        air = np.isin(regions, outside[outside > 0])
        # what is next to the patient may hold a voxel of skin that the mean of a block hides
        return cls(ndimage.binary_erosion(air, np.ones((3, 3, 3), bool), border_value=1))

    def fill(self, box: tuple[slice, ...]) -> bool:
        """Tell whether a box of voxels (z, y, x) lies in air altogether."""
        inside = tuple(slice(part.start // BLOCK, -(-part.stop // BLOCK)) for part in box)
        return bool(self.blocks[inside].all())


def _blocks(channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and maximum of each block of ``channel`` (z, y, x), those at the end smaller."""
    means, brightest = [], []
    starts = [np.arange(0, extent, BLOCK) for extent in channel.shape[1:]]
    rows = max(1, next(slabs(channel.shape)).stop // BLOCK) * BLOCK
    for first in range(0, len(channel), rows):
        slab = np.asarray(channel[first : first + rows], np.float32)
        cuts = [np.arange(0, len(slab), BLOCK), *starts]
        total, largest, count = slab, slab, np.ones((1, 1, 1), np.float32)
        for axis, cut in enumerate(cuts):
            total = np.add.reduceat(total, cut, axis=axis)
            largest = np.maximum.reduceat(largest, cut, axis=axis)
            sizes = np.diff([*cut, slab.shape[axis]]).astype(np.float32)
            count = count * sizes.reshape([-1 if other == axis else 1 for other in range(3)])
        means.append(total / count)
        brightest.append(largest)
        release(channel)
    return np.concatenate(means), np.concatenate(brightest)
