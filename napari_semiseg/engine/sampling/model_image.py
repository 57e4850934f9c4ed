"""A scan as the network sees it, normalised and on the model grid, made in bounded memory.

What normalisation has to know of the whole scan is measured first, in one pass over slabs; each slab
is then normalised and resampled alone.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.sampling.intensity import SAMPLED, normalise
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.volumes.large_arrays import release, slabs


def model_image(voxels: np.ndarray, plan: Plan, grid: ModelGrid) -> np.ndarray:
    """Normalise a scan and bring it to the model grid, slab by slab.

    Parameters
    ----------
    voxels : ndarray
        (channels, z, y, x) in the scan's units, any numeric type; may be a memory map.

    Returns
    -------
    ndarray
        (channels, z, y, x) float32, in a file where it is large; equal to normalising and resampling
        the scan as a whole, but for rounding.
    """
    how = fixed_normalisation(voxels, plan.normalisation)
    return grid.resample_image(voxels, partial(normalise, how=how))


def fixed_normalisation(voxels: np.ndarray, how: Normalisation) -> Normalisation:
    """Say in numbers what ``how`` does to this scan, so that it can be done to any part of it.

    Parameters
    ----------
    voxels : ndarray
        (channels, z, y, x) of the whole scan.

    Returns
    -------
    Normalisation
        Of the kind ``"ct"``: a window, a mean and a deviation for each channel.
    """
    if how.kind == "ct":
        return how
    window, mean, deviation = [], [], []
    for channel in voxels:
        flat = channel.reshape(-1)
        sample = flat[:: max(1, flat.size // SAMPLED)]
        low, high = (float(bound) for bound in np.percentile(sample, how.percentiles))
        release(channel)
        window.append((low, high))
        moments = _moments(channel, low, high)
        mean.append(moments[0])
        deviation.append(moments[1])
    return Normalisation(
        kind="ct", window=tuple(window), mean=tuple(mean), deviation=tuple(deviation)
    )


def _moments(channel: np.ndarray, low: float, high: float) -> tuple[float, float]:
    """Return mean and standard deviation of the voxels (z, y, x) after clipping."""
    total = squares = 0.0
    for rows in slabs(channel.shape):
        clipped = np.clip(channel[rows], low, high, dtype=np.float32, casting="unsafe")
        clipped -= np.float32(low)  # the variance of numbers far from zero would lose its digits
        total += float(clipped.sum(dtype=np.float64))
        squares += float(np.square(clipped, out=clipped).sum(dtype=np.float64))
        release(channel)
    mean = total / channel.size
    return low + mean, float(np.sqrt(max(0.0, squares / channel.size - mean**2)))
