"""How labels and maps look: colour tables, ranges and blending.

`layer_data` builds layers with it and pages draw their legends from it. Pure values, on any
thread; napari is imported only where a colour table is built.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.engine.study import ClassInfo

if TYPE_CHECKING:
    from napari.utils.colormaps import Colormap, DirectLabelColormap

    from napari_semiseg.engine.methods.native_maps import NativeMap

SCAN_PERCENTILES = (0.5, 99.5)
"""Grey levels outside these percentiles of the voxels are shown black or white."""

LARGEST_SUBSAMPLE = 500_000
"""Voxels at which the percentiles are measured."""

LABEL_OPACITY = 0.5
PREDICTION_OPACITY = 0.9
PREDICTION_CONTOUR = 1
"""Width in voxels of the outline of a prediction, which sets it apart from the filled label."""

MAP_OPACITY = 0.6
CLEAR_BELOW = 0.5
"""Share of a clear map's range over which it becomes opaque; at its low end the scan shows alone."""

PALE_FROM = 0.85
"""Share of a colour table above which its colours are as pale as bright tissue, so left out."""


def map_colormap(description: NativeMap) -> Colormap:
    """Return the colour table of a map.

    A clear one is transparent at its low end and stops before the pale colours of its table, so that
    even where it is high all over, as with a model that has learned little, bright tissue does not
    turn white and the scan stays readable.
    """
    from napari.utils.colormaps import Colormap, ensure_colormap

    known = ensure_colormap(description.colours)
    if not description.drawn.clear:
        return known
    share = np.linspace(0, 1, 256)
    colours = np.array(known.map(share * PALE_FROM))
    colours[:, 3] = np.minimum(1.0, share / CLEAR_BELOW)
    return Colormap(colours, name=f"{description.colours}, clear at 0")


def class_colormap(classes: Iterable[ClassInfo]) -> DirectLabelColormap:
    """Return the colour table of a study's classes; background and unknown values are transparent."""
    from napari.utils.colormaps import DirectLabelColormap

    colours: dict[int | None, str] = {None: "transparent", 0: "transparent"}
    colours.update((item.value, item.colour) for item in classes)
    return DirectLabelColormap(color_dict=colours)


def class_features(classes: Iterable[ClassInfo]) -> dict[str, list[Any]]:
    """Return the feature table by which napari's status bar names the class under the pointer.

    Returns
    -------
    dict
        Columns ``index`` (voxel value) and ``class`` (its name), background first.
    """
    shown = list(classes)
    return {
        "index": [0, *(item.value for item in shown)],
        "class": ["background", *(item.name for item in shown)],
    }


def grey_limits(voxels: np.ndarray) -> tuple[float, float]:
    """Return the values to show as black and as white.

    Parameters
    ----------
    voxels : ndarray, shape (z, y, x)
        One channel of a scan.

    Returns
    -------
    tuple of float
        The 0.5 and 99.5 percentiles of a regular subsample; always two different numbers.
    """
    stride = max(1, round((voxels.size / LARGEST_SUBSAMPLE) ** (1 / 3)))
    # a scan of a few thick slices keeps them all
    sample = voxels[:: stride if len(voxels) >= 4 * stride else 1, ::stride, ::stride]
    low, high = np.percentile(sample, SCAN_PERCENTILES)
    if low == high:
        low, high = float(voxels.min()), float(voxels.max())
    return float(low), float(high) if high > low else float(low) + 1.0
