"""What a method says about windows of a scan: cut, asked, and gathered into one stack of channels.

Where the device has too little memory for a batch of windows, halves of it are asked. Used by the
sliding window only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.inference.class_prototypes import similarity_to_prototypes
from napari_semiseg.engine.inference.maps import MAP_KINDS, NATIVE
from napari_semiseg.engine.methods.contract import Method, NativeMap, PatchMaps

Place = tuple[int, ...]
SHARED_IN_AIR = {"signed_distance": 1.0, "uncertainty": 0.0, "disagreement": 0.0}


class WindowAnswers:
    """A method and a scan; places are counted with the walking axis first.

    Parameters
    ----------
    method : Method
        Trained method.
    image : ndarray
        (channels, z, y, x) normalised, on the model grid; may be memory-mapped.
    kinds : collection of str
        Which of `EVERY_KIND` are wanted besides the probabilities.
    axis : int
        The spatial axis to walk along.

    Attributes
    ----------
    extents, patch : tuple of int
        Of the scan and of a window, the walking axis first.
    channels : dict of str to int
        Number of channels of each map that the method makes, in order; known after the first answer.

    Raises
    ------
    ValueError
        The method names a map of its own like a shared one.
    """

    def __init__(
        self, method: Method, image: np.ndarray, kinds: Collection[str], axis: int
    ) -> None:
        self._method, self._kinds, self._axis = method, kinds, axis
        self._image = np.moveaxis(image, 1 + axis, 1)
        self._uncertain = "uncertainty" in kinds or "disagreement" in kinds
        self._own = {item.key: item for item in method.native_maps} if NATIVE in kinds else {}
        taken = sorted({*self._own} & {"probabilities", *MAP_KINDS})
        if taken:
            raise ValueError(f"{method.title} names a map of its own like a shared one: {taken}.")
        patch = list(method.plan.patch)
        self.patch = (patch.pop(axis), *patch)
        self.extents = self._image.shape[1:]
        self.channels: dict[str, int] = {}

    def box(self, place: Place) -> tuple[slice, ...]:
        """Return the part of the scan that a window sees, in the scan's own order of axes."""
        box = [
            slice(max(0, start), min(extent, start + size))
            for start, size, extent in zip(place, self.patch, self.extents, strict=True)
        ]
        box.insert(self._axis, box.pop(0))
        return tuple(box)

    def of(self, places: Sequence[Place]) -> Iterator[np.ndarray]:
        """Ask about windows that begin at ``places``; one (channels, *patch) float32 for each."""
        try:
            answered = self._ask(places)
        except torch.OutOfMemoryError as problem:
            if len(places) == 1:
                raise TrainingError(
                    "The device has too little free memory for one window of this model; close "
                    "other programs or predict on the CPU (--device cpu)."
                ) from problem
            torch.cuda.empty_cache()
            half = len(places) // 2
            yield from self.of(places[:half])
            yield from self.of(places[half:])
            return
        yield from np.moveaxis(answered, 2 + self._axis, 2)

    @property
    def values_in_air(self) -> np.ndarray:
        """(channels,) float32: what stands where nothing but air is, surely background."""
        values: list[float] = []
        for key, count in self.channels.items():
            if key in self._own:
                values += _in_air(self._own[key], count)
            elif key in SHARED_IN_AIR:
                values += [SHARED_IN_AIR[key]] * count
            else:
                rest = -1.0 if key == "similarity" else 0.0
                values += [1.0] + [rest] * (count - 1)
        return np.array(values, np.float32)

    def _ask(self, places: Sequence[Place]) -> np.ndarray:
        plan = self._method.plan
        crops = np.stack([self._cut(place) for place in places])
        windows = torch.from_numpy(crops).reshape(len(places), -1, *plan.spatial)
        windows = windows.to(self._method.fabric.device)
        # only a method that has maps of its own need know the argument
        native = {"native": True} if self._own else {}
        parts = self._parts(self._method.predict(windows, self._uncertain, **native))
        self.channels = {key: part.shape[1] for key, part in parts.items()}
        stacked = torch.cat([part.float() for part in parts.values()], dim=1)
        return stacked.reshape(len(places), -1, *plan.patch).cpu().numpy()

    def _cut(self, place: Place) -> np.ndarray:
        """Cut a window (channels, *patch) in the model's order, its edge repeated beyond the scan."""
        crop = self._image[
            (
                slice(None),
                *(slice(max(0, p), p + s) for p, s in zip(place, self.patch, strict=True)),
            )
        ]
        margins = [
            (max(0, -start), max(0, start + size - extent))
            for start, size, extent in zip(place, self.patch, self.extents, strict=True)
        ]
        if any(map(any, margins)):
            crop = np.pad(crop, [(0, 0), *margins], mode="edge")
        return np.moveaxis(crop, 1, 1 + self._axis).astype(np.float32)

    def _parts(self, maps: PatchMaps) -> dict[str, Tensor]:
        """Choose what is blended, (B, channels, *spatial), by name."""
        parts = {"probabilities": maps.probabilities}
        if "uncertainty" in self._kinds and maps.uncertainty is not None:
            parts["uncertainty"] = maps.uncertainty.unsqueeze(1)
        if "disagreement" in self._kinds and maps.disagreement is not None:
            parts["disagreement"] = maps.disagreement.unsqueeze(1)
        if "signed_distance" in self._kinds and maps.signed_distance is not None:
            parts["signed_distance"] = maps.signed_distance
        prototypes, width = self._method.prototypes, maps.features.shape[1]
        # a run of an earlier version may have prototypes of other features: no map, but no failure
        if "similarity" in self._kinds and prototypes is not None and prototypes.shape[1] == width:
            size = maps.probabilities.shape[2:]
            parts["similarity"] = similarity_to_prototypes(maps.features, prototypes, size)
        return parts | {key: maps.native[key] for key in self._own if key in maps.native}


def _in_air(description: NativeMap, count: int) -> list[float]:
    """Return what a map of a method's own says where nothing but air is."""
    if description.look == "distance":
        return [description.limit] * count
    if description.look == "share":
        return [0.0] * count
    rest = 0.0 if description.look == "classes" else -1.0
    return [1.0 if description.channels == "classes" else rest] + [rest] * (count - 1)
