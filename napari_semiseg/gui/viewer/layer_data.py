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

from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.engine.volumes import Geometry, Volume
from napari_semiseg.gui.viewer.colours import (
    LABEL_OPACITY,
    MAP_LOOKS,
    MAP_OPACITY,
    PREDICTION_OPACITY,
    MapLook,
    class_colormap,
    class_features,
    grey_limits,
    look_of,
    map_colormap,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray

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
        The keys are the kinds: those of the method's own maps, ``"similarity"``,
        ``"signed_distance"``, ``"disagreement"``, ``"uncertainty"`` and ``"prediction"``. A map with
        a channel for each class has a layer for each, with the key ``"KIND:VALUE"``, but none for
        the background; such maps are left out where the run knew another number of classes.
    """
    build = _LayerBuilder(maps, classes, origin)
    for key, own in maps.native.items():
        yield from _own_layers(build, key, own)
    if maps.similarity is not None:
        # channel 0 is background, which is no class of a study
        yield from build.one_a_class("similarity", MAP_LOOKS["similarity"], maps.similarity[1:])
    if maps.signed_distance is not None:
        look = MAP_LOOKS["signed_distance"]
        yield from build.one_a_class("signed_distance", look, maps.signed_distance)
    if maps.disagreement is not None:
        look = MAP_LOOKS["disagreement"]
        yield "disagreement", build.numbers("disagreement", look, maps.disagreement)
    if maps.uncertainty is not None:
        source, look = maps.uncertainty_source, MAP_LOOKS["uncertainty"]
        layer = build.numbers("uncertainty", look, maps.uncertainty, source, source=source)
        yield "uncertainty", layer
    layer = build.class_values("prediction", "prediction", maps.prediction, PREDICTION_OPACITY)
    yield "prediction", layer


def _own_layers(
    build: _LayerBuilder, key: str, own: NativeArray
) -> Iterator[tuple[str, LayerData]]:
    """Return the layers of a map that only one method makes; they are hidden at first."""
    description, record = own.description, asdict(own.description)
    if description.look == "classes":
        title = description.title
        layer = build.class_values(key, title, own.array, LABEL_OPACITY, native=record)
        voxels, arguments, kind = layer
        yield key, (voxels, {**arguments, "visible": False}, kind)
    elif description.channels == "one":
        yield key, build.numbers(key, look_of(description), own.array, native=record)
    else:
        foreground = own.array[1:] if description.channels == "classes" else own.array
        yield from build.one_a_class(key, look_of(description), foreground, native=record)


@dataclass(frozen=True)
class _LayerBuilder:
    """Makes layers of one case's maps, all on its grid and with the same origin in their tags."""

    maps: CaseMaps
    classes: Sequence[ClassInfo]
    origin: Mapping[str, Any]

    def class_values(
        self, kind: str, name: str, voxels: np.ndarray, opacity: float, **details: Any
    ) -> LayerData:
        """Return class values (z, y, x) in the colours of the classes."""
        arguments = {
            "name": name,
            "opacity": opacity,
            "colormap": class_colormap(self.classes),
            "features": class_features(self.classes),
            **self._place(kind, details),
        }
        return voxels, arguments, "labels"

    def numbers(
        self, kind: str, look: MapLook, voxels: np.ndarray, detail: str = "", **details: Any
    ) -> LayerData:
        """Return real numbers (z, y, x) in the colours of their look."""
        name = f"{look.title} · {detail}" if detail else look.title
        arguments = {
            "name": f"{name} ({look.unit})" if look.unit else name,
            "colormap": map_colormap(look),
            "contrast_limits": look.limits,
            "blending": "translucent",
            "opacity": MAP_OPACITY,
            "visible": look.visible,
            **self._place(kind, details),
        }
        return voxels, arguments, "image"

    def one_a_class(
        self, kind: str, look: MapLook, stack: np.ndarray, **details: Any
    ) -> Iterator[tuple[str, LayerData]]:
        """Return one layer for each class from a stack (foreground classes, z, y, x)."""
        if len(stack) != len(self.classes):
            return  # classes were added after the run: nobody knows which channel is which
        for item, voxels in zip(self.classes, stack, strict=True):
            own = {**details, "class": item.value}
            yield f"{kind}:{item.value}", self.numbers(kind, look, voxels, item.name, **own)

    def _place(self, kind: str, details: Mapping[str, Any]) -> dict[str, Any]:
        record = {**self.origin, **details}
        return {
            "metadata": tag(kind, self.maps.case, self.maps.geometry, **record),
            **spatial_arguments(self.maps.geometry),
        }
