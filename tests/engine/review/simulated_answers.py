"""Simulated labels of two classes, and answers to them that are good or bad in known ways."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_semiseg.engine.volumes import Geometry

SHAPE = (28, 40, 36)
GRID = Geometry(SHAPE, np.diag([1.0, 1.0, 1.5, 1.0]), None)
VALUES = (1, 2)
NAMES = {1: "anterior", 2: "posterior"}


def truth(seed):
    """Return a label: an ellipsoid whose front half is class 1 and whose rear half is class 2."""
    random = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(extent) for extent in SHAPE], indexing="ij")
    middle = np.array(SHAPE) / 2 + random.uniform(-1.5, 1.5, 3)
    radii = np.array([6.0, 12.0, 8.0]) * random.uniform(0.93, 1.07, 3)
    inside = sum(
        ((axis - centre) / radius) ** 2
        for axis, centre, radius in zip((z, y, x), middle, radii, strict=True)
    )
    return np.where(inside < 1, np.where(y >= middle[1], 1, 2), 0).astype(np.uint8)


def answer(label, seed=0, noise=0.0, blur=1.0):
    """Return the prediction and the normalised entropy of a softmax over blurred, noisy scores."""
    random = np.random.default_rng(seed)
    scores = []
    for value in (0, *VALUES):
        score = ndimage.gaussian_filter((label == value).astype(float), blur)
        score += noise * ndimage.gaussian_filter(random.normal(0, 1, SHAPE), 2) * 8
        scores.append(score)
    weights = np.exp(6 * np.array(scores))
    probabilities = weights / weights.sum(axis=0)
    entropy = -(probabilities * np.log(probabilities + 1e-12)).sum(axis=0) / np.log(3)
    return probabilities.argmax(axis=0).astype(np.uint8), entropy.astype(np.float32)
