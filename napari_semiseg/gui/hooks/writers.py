"""Saving a labels layer as a medical label file (*File > Save Selected Layers*).

napari calls this on the main thread. The label is written on the native grid of its scan, which the
layer carries in its metadata; the layer's own scale and translation are only for looking.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_semiseg.engine.errors import GeometryMismatch
from napari_semiseg.engine.volumes import Geometry, write_label
from napari_semiseg.gui.viewer.layer_data import TAG


def write_labels(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write a labels layer on the voxel grid of its scan.

    Parameters
    ----------
    path : str
        Where to write; the ending, one of `volumes.formats.writable_endings`, decides the format.
    data : array, shape (z, y, x)
        Class values.
    attributes : mapping
        The layer's attributes as napari gives them; ``metadata["semiseg"]["geometry"]`` is the grid
        and ``features`` the names of the classes.

    Raises
    ------
    GeometryMismatch
        The layer does not know the grid of a scan, or no longer has its shape.
    BadLabel
        The values are no class values.
    StudyError
        The disk refuses.
    """
    record = attributes.get("metadata", {}).get(TAG)
    if record is None:
        raise GeometryMismatch(
            f"The layer “{attributes.get('name')}” was not saved because it does not know "
            "the voxel grid of a scan: label the scan in Semi-supervised segmentation, or save the "
            "layer with another plugin."
        )
    geometry = Geometry.from_dict(record["geometry"])
    write_label(path, np.asarray(data), geometry, _class_names(attributes.get("features")))
    return [path]


def _class_names(features: Any) -> dict[int, str] | None:
    """Return the names of the classes from the layer's feature table; None where it has none."""
    if features is None or not {"index", "class"} <= set(features):
        return None
    pairs = zip(features["index"], features["class"], strict=True)
    return {int(value): str(name) for value, name in pairs if value != 0}
