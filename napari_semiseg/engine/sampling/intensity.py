"""Intensity normalisation: from scanner units to network inputs."""

from __future__ import annotations

import numpy as np

from napari_semiseg.engine.planning.plan import Normalisation

SAMPLED = 400_000  # voxels enough for a percentile; sorting a whole CT would take seconds


def normalise(voxels: np.ndarray, how: Normalisation) -> np.ndarray:
    """Normalise an image.

    Parameters
    ----------
    voxels : ndarray
        (channels, z, y, x) in the scan's units, any numeric type.

    Returns
    -------
    ndarray
        float32, about zero mean and unit deviation in each channel.
    """
    normalised = np.empty(voxels.shape, np.float32)
    for index, channel in enumerate(voxels):
        if how.kind == "ct":
            low, high = how.window[index]
            mean, deviation = how.mean[index], how.deviation[index]
            np.clip(channel, low, high, out=normalised[index], casting="unsafe")
        else:
            flat = channel.reshape(-1)
            step = max(1, flat.size // SAMPLED)
            low, high = np.percentile(flat[::step], how.percentiles)
            np.clip(channel, low, high, out=normalised[index], casting="unsafe")
            mean, deviation = normalised[index].mean(), normalised[index].std()
        normalised[index] -= mean
        normalised[index] /= max(float(deviation), 1e-6)
    return normalised
