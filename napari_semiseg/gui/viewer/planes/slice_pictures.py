"""Slices of the layers on the screen as pictures, in the colours that napari gives them.

The linked views draw them: a slice that they show costs a table look-up, and no second canvas has to
keep a copy of the scan. Arrays and layers only; no viewer and no widget is touched. Main thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

SHADES = 256


@dataclass(frozen=True)
class SlicePicture:
    """One slice of one layer.

    Attributes
    ----------
    colours : ndarray, shape (rows, columns, 4), uint8
        Red, green, blue and opacity.
    top, left, height, width : float
        Where it lies in mm, from border to border of its voxels, along the vertical and the
        horizontal axis.
    adds_up : bool
        Whether its colours are added to those below instead of covering them.
    """

    colours: np.ndarray
    top: float
    left: float
    height: float
    width: float
    adds_up: bool = False


def can_be_cut(layer: Layer) -> bool:
    """Tell whether a layer has slices to show: grey or class values on a grid that is not turned."""
    from napari.layers import Image, Labels

    if not isinstance(layer, Image | Labels) or layer.ndim != 3 or layer.multiscale:
        return False
    if isinstance(layer, Image) and layer.rgb:
        return False
    matrix = np.asarray(layer.affine.linear_matrix) @ np.asarray(layer.rotate)
    return bool(np.allclose(matrix, np.eye(3)) and not np.any(layer.shear))


def slice_index(layer: Layer, axis: int, position: float) -> int | None:
    """Return the slice of a layer that lies at a position; None beside the layer.

    Parameters
    ----------
    layer : napari.layers.Layer
        A layer that `can_be_cut`.
    axis : {0, 1, 2}
        The array axis (z, y, x) that is cut.
    position : float
        Along it, in mm.
    """
    index = round((position - float(layer.translate[axis])) / float(layer.scale[axis]))
    return index if 0 <= index < layer.data.shape[axis] else None


def slice_picture(
    layer: Layer, order: Sequence[int], point: Sequence[float]
) -> SlicePicture | None:
    """Return what a layer shows in a plane; None where the plane passes beside it.

    Parameters
    ----------
    layer : napari.layers.Layer
        A layer that `can_be_cut`.
    order : sequence of int
        The array axis that is cut, the vertical and the horizontal one.
    point : sequence of float
        A point of the plane in mm, (z, y, x).
    """
    from napari.layers import Labels

    axis, vertical, horizontal = order
    index = slice_index(layer, axis, point[axis])
    if index is None:
        return None
    voxels = np.asarray(np.take(layer.data, index, axis))
    if vertical > horizontal:
        voxels = voxels.T
    shown = _class_colours if isinstance(layer, Labels) else _grey_colours
    scale, origin = layer.scale, layer.translate
    return SlicePicture(
        shown(layer, voxels),
        float(origin[vertical] - scale[vertical] / 2),
        float(origin[horizontal] - scale[horizontal] / 2),
        float(voxels.shape[0] * scale[vertical]),
        float(voxels.shape[1] * scale[horizontal]),
        str(layer.blending) == "additive",
    )


def _grey_colours(layer: Image, voxels: np.ndarray) -> np.ndarray:
    low, high = layer.contrast_limits
    share = (voxels.astype(np.float32) - low) * (1.0 / ((high - low) or 1.0))
    share = np.clip(np.nan_to_num(share, copy=False), 0.0, 1.0)
    if layer.gamma != 1:
        share **= layer.gamma
    shades = (share * (SHADES - 1) + 0.5).astype(np.uint8)
    table = layer.colormap.map(np.linspace(0, 1, SHADES, dtype=np.float32))
    return np.asarray(_as_bytes(table, layer)[shades])


def _class_colours(layer: Labels, voxels: np.ndarray) -> np.ndarray:
    if layer.contour:
        voxels = np.where(_inside(voxels, layer.contour), 0, voxels)
    if layer.show_selected_label:
        voxels = np.where(voxels == layer.selected_label, voxels, 0)
    if voxels.dtype == np.uint8:
        table = layer.colormap.map(np.arange(SHADES, dtype=np.uint8))
        return np.asarray(_as_bytes(table, layer)[voxels])
    return _as_bytes(layer.colormap.map(voxels.ravel()), layer).reshape(*voxels.shape, 4)


def _inside(voxels: np.ndarray, thickness: int) -> np.ndarray:
    """Return which voxels have, in rows and columns, only voxels of their own value around them."""
    inside = np.ones(voxels.shape, bool)
    for step in range(1, thickness + 1):
        for axis in (0, 1):
            ahead = np.swapaxes(voxels, 0, axis)
            same = np.swapaxes(inside, 0, axis)
            equal = ahead[step:] == ahead[:-step]
            same[:-step] &= equal
            same[step:] &= equal
    return inside


def _as_bytes(table: Any, layer: Layer) -> np.ndarray:
    """Return colours (N, 4) of 0…1 as bytes, with the opacity of the layer in theirs."""
    table = np.array(table, np.float32).reshape(-1, 4)
    if str(layer.blending) == "opaque":
        table[:, 3] = 1.0
    table[:, 3] *= layer.opacity
    return np.asarray(np.round(255 * table), np.uint8)
