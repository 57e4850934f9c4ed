"""Scans, labels and maps as napari layer data: what a layer holds and how it looks.

`layers`, the readers and the samples build their layers here, so that a scan looks the same however
it was opened. Plain values (array, keyword arguments, layer type), made on any thread; no viewer is
touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.engine.inference.maps import MAPS
from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.gui.viewer.colours import (
    LABEL_OPACITY,
    MAP_OPACITY,
    PREDICTION_OPACITY,
    class_colormap,
    class_features,
    grey_limits,
    map_colormap,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.engine.methods.native_maps import NativeMap

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
    voxels : ndarray, shape (z, y, x), or None
        Class values; copied, so that painting never writes into it. None starts an empty label.
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
        The keys are those of `CaseMaps`: the method's own lie lowest, and of the others those that
        hide what is under them. A map with a channel for each class has a layer for each, with the key
        ``"KEY:VALUE"``, but none for the background; such maps are left out where the run knew another
        number of classes.
    """
    build = _LayerBuilder(maps, classes, origin)
    for own in maps.native.values():
        yield from build.layers(own.description, own.array, native=asdict(own.description))
    there = [item for key, item in reversed(MAPS.items()) if key in maps.shared]
    for item in sorted(there, key=lambda item: (item.look == "classes", item.drawn.clear)):
        details = {"source": maps.uncertainty_source} if item.sourced else {}
        yield from build.layers(item, maps.shared[item.key], **details)


def is_outlined(kind: str) -> bool:
    """Tell whether a map shows classes as outlines, which set them apart from the filled label."""
    return kind in MAPS and MAPS[kind].outlined


@dataclass(frozen=True)
class _LayerBuilder:
    """Makes layers of one case's maps, all on its grid and with the same origin in their tags."""

    maps: CaseMaps
    classes: Sequence[ClassInfo]
    origin: Mapping[str, Any]

    def layers(
        self, item: NativeMap, voxels: np.ndarray, **details: Any
    ) -> Iterator[tuple[str, LayerData]]:
        """Return the layer of a map, or those of its classes, each with its key."""
        if item.look == "classes":
            yield item.key, self._class_values(item, voxels, details)
        elif item.channels == "one":
            yield item.key, self._numbers(item, voxels, details.get("source", ""), details)
        else:
            stack = voxels[1:] if item.channels == "classes" else voxels
            if len(stack) != len(self.classes):
                return  # classes were added after the run: nobody knows which channel is which
            for each, channel in zip(self.classes, stack, strict=True):
                own = {**details, "class": each.value}
                yield f"{item.key}:{each.value}", self._numbers(item, channel, each.name, own)

    def _class_values(
        self, item: NativeMap, voxels: np.ndarray, details: Mapping[str, Any]
    ) -> LayerData:
        """Return class values (z, y, x) in the colours of the classes."""
        arguments = {
            "name": item.title,
            "opacity": PREDICTION_OPACITY if is_outlined(item.key) else LABEL_OPACITY,
            "colormap": class_colormap(self.classes),
            "features": class_features(self.classes),
            "visible": getattr(item, "from_the_start", False),
            **self._place(item.key, details),
        }
        return voxels, arguments, "labels"

    def _numbers(
        self, item: NativeMap, voxels: np.ndarray, detail: str, details: Mapping[str, Any]
    ) -> LayerData:
        """Return real numbers (z, y, x) in the colours of their look."""
        name = f"{item.title} · {detail}" if detail else item.title
        arguments = {
            "name": f"{name} ({item.unit})" if item.unit else name,
            "colormap": map_colormap(item),
            "contrast_limits": item.limits,
            "blending": "translucent",
            "opacity": MAP_OPACITY,
            "visible": getattr(item, "from_the_start", False),
            **self._place(item.key, details),
        }
        return voxels, arguments, "image"

    def _place(self, kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
        record = {**self.origin, **details}
        return {
            "metadata": tag(kind, self.maps.case, self.maps.geometry, **record),
            **spatial_arguments(self.maps.geometry),
        }
