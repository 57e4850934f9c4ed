"""Scans, labels and maps as napari layer data: what a layer holds and how it looks.

`layers`, the readers and the samples build their layers here, so that a scan looks the same however
it was opened. Plain values (array, keyword arguments, layer type), made on any thread; no viewer is
touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.gui.colours import (
    LABEL_OPACITY,
    MAP_LOOKS,
    PREDICTION_OPACITY,
    class_colormap,
    class_features,
    grey_limits,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps

LayerData = tuple[np.ndarray, dict[str, Any], str]
"""What napari calls a layer data tuple: array (z, y, x), keyword arguments, layer type."""

TAG = "semiseg"
"""Key in ``layer.metadata`` under which a layer says what it is."""

OBLIQUE_NOTE = (
    "This scan is oblique: it is shown along its own voxel axes, and its labels are written back "
    "exactly."
)


def spatial_arguments(geometry: Geometry) -> dict[str, Any]:
    """Return where a layer lies: spacing as scale, no translation or rotation, mm, axes z y x.

    Parameters
    ----------
    geometry : Geometry
        Grid of the scan; its full affine travels in the metadata, not in the layer's transform.
    """
    return {
        "scale": geometry.spacing,
        "translate": (0.0, 0.0, 0.0),
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("z", "y", "x"),
    }


def tag(kind: str, case: str, geometry: Geometry, **more: Any) -> dict[str, Any]:
    """Return the metadata by which a layer says what it is.

    Parameters
    ----------
    kind : str
        ``"scan"``, ``"label"`` or one of the map kinds.
    case : str
        Name of the case.
    geometry : Geometry
        Grid of the scan; kept as a dict that `Geometry.from_dict` takes.
    **more
        Such as ``run``, ``class``, ``source`` or ``step``.

    Returns
    -------
    dict
        ``{"semiseg": {"kind", "case", "run", "class", "geometry", "note", ...}}``; ``note`` is a
        sentence for an oblique scan, else empty.
    """
    note = OBLIQUE_NOTE if geometry.is_oblique else ""
    record = {"kind": kind, "case": case, "run": None, "class": None, "note": note}
    return {TAG: {**record, "geometry": geometry.to_dict(), **more}}


def scan_layers(name: str, volume: Volume) -> list[LayerData]:
    """Return one grey image layer a channel.

    Parameters
    ----------
    name : str
        Name of the case; the channels of a scan with several add theirs.
    volume : Volume
        The scan.
    """
    several = len(volume.voxels) > 1
    return [
        (
            voxels,
            {
                "name": f"{name} · {channel}" if several else name,
                "colormap": "gray",
                "contrast_limits": grey_limits(voxels),
                # the first channel shows; the others wait, or they would cover it
                "visible": index == 0,
                "metadata": tag("scan", name, volume.geometry, channel=channel),
                **spatial_arguments(volume.geometry),
            },
            "image",
        )
        for index, (voxels, channel) in enumerate(
            zip(volume.voxels, volume.channel_names, strict=True)
        )
    ]


def label_layer(
    name: str, voxels: np.ndarray | None, geometry: Geometry, classes: Sequence[ClassInfo]
) -> LayerData:
    """Return the labels layer that a human paints in, with the classes' colours and names.

    Parameters
    ----------
    name : str
        Name of the case.
    voxels : ndarray, shape (z, y, x), or None
        Class values; copied, so that painting never writes into it. None starts an empty label.
    geometry : Geometry
        Grid of the scan.
    classes : sequence of ClassInfo
        Classes of the study.
    """
    label = np.zeros(geometry.shape, np.uint8) if voxels is None else np.array(voxels)
    return (
        label,
        {
            "name": f"{name} label",
            "opacity": LABEL_OPACITY,
            "colormap": class_colormap(classes),
            "features": class_features(classes),
            "metadata": tag("label", name, geometry),
            **spatial_arguments(geometry),
        },
        "labels",
    )


def map_layers(
    maps: CaseMaps, classes: Sequence[ClassInfo], **origin: Any
) -> Iterator[tuple[str, LayerData]]:
    """Return the layers of a case's maps from the lowest to the uppermost, each with its key.

    Parameters
    ----------
    maps : CaseMaps
        The maps; those that are None are left out.
    classes : sequence of ClassInfo
        Classes of the study, in the order of their values.
    **origin
        Kept in the tag of every layer, such as ``run="003-ua-mt"`` or ``step=120``.

    Yields
    ------
    tuple of str and LayerData
        Keys: ``"similarity:1"`` and ``"signed_distance:1"`` for each class value, then
        ``"uncertainty"`` and ``"prediction"``. Background has a similarity, too, but no layer.
        Maps per class are left out where the run knew another number of classes.
    """
    stacks = {
        # channel 0 of the similarity is background, which is no class of a study
        "similarity": None if maps.similarity is None else maps.similarity[1:],
        "signed_distance": maps.signed_distance,
    }
    for kind, stack in stacks.items():
        if stack is None or len(stack) != len(classes):
            continue  # classes were added after the run: nobody knows which channel is which
        for item, voxels in zip(classes, stack, strict=True):
            details = {**origin, "class": item.value}
            yield f"{kind}:{item.value}", _real_layer(kind, item.name, voxels, maps, details)
    if maps.uncertainty is not None:
        source = maps.uncertainty_source
        details = {**origin, "source": source}
        yield "uncertainty", _real_layer("uncertainty", source, maps.uncertainty, maps, details)
    yield "prediction", _prediction_layer(maps, classes, origin)


def _prediction_layer(
    maps: CaseMaps, classes: Sequence[ClassInfo], origin: Mapping[str, Any]
) -> LayerData:
    arguments = {
        "name": "prediction",
        "opacity": PREDICTION_OPACITY,
        "colormap": class_colormap(classes),
        "features": class_features(classes),
        "metadata": tag("prediction", maps.case, maps.geometry, **origin),
        **spatial_arguments(maps.geometry),
    }
    return maps.prediction, arguments, "labels"


def _real_layer(
    kind: str, detail: str, voxels: np.ndarray, maps: CaseMaps, origin: Mapping[str, Any]
) -> LayerData:
    look = MAP_LOOKS[kind]
    unit = f" ({look.unit})" if look.unit else ""
    arguments = {
        "name": f"{look.title} · {detail}{unit}",
        "colormap": look.colormap,
        "contrast_limits": look.limits,
        "blending": look.blending,
        "opacity": look.opacity,
        "visible": look.visible,
        "metadata": tag(kind, maps.case, maps.geometry, **origin),
        **spatial_arguments(maps.geometry),
    }
    return voxels, arguments, "image"
