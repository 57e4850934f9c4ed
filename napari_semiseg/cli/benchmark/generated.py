"""Generated scans and labels: a benchmark needs no data and can be repeated anywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from napari_semiseg.cli.benchmark.workload import Shape
from napari_semiseg.engine.volumes import Geometry, write_map

SPACING_MM = 1.0


def ball(shape: Shape, share: float = 1 / 3, shift: float = 0.0) -> np.ndarray:
    """Return a ball in the middle of an array.

    Parameters
    ----------
    shape : tuple of int
        (z, y, x).
    shift : float
        Voxels by which it is moved along every axis.

    Returns
    -------
    ndarray
        (z, y, x) bool.
    """
    axes = np.ogrid[tuple(slice(0, extent) for extent in shape)]
    squares = [(axis - extent / 2 - shift) ** 2 for axis, extent in zip(axes, shape, strict=True)]
    return sum(squares[1:], squares[0]) < (min(shape) * share) ** 2


def scan_like(shape: Shape) -> np.ndarray:
    """Return an int16 image (z, y, x) like an MR: noise, a body and a bright structure in it."""
    random = np.random.default_rng(0)
    body, structure = ball(shape, 0.48), ball(shape, 0.3)
    image = 40.0 + 160.0 * body + 120.0 * structure + random.normal(0, 25, shape)
    return image.clip(0).astype(np.int16)


def write_scan(path: Path, shape: Shape) -> Path:
    """Write `scan_like` as a file with voxels of 1 mm and return its path."""
    spacing = np.diag([SPACING_MM, SPACING_MM, SPACING_MM, 1.0])
    write_map(path, scan_like(shape), Geometry(shape, spacing))
    return path
