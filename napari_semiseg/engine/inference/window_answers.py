"""What a method says about windows of a scan: cut, asked, and gathered into one stack of channels.

Where the device has too little memory for a batch of windows, halves of it are asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.inference.class_prototypes import similarity_to_prototypes
from napari_semiseg.engine.inference.maps import MAPS, NATIVE
from napari_semiseg.engine.methods.contract import Method, PatchMaps

Place = tuple[int, ...]


def _similarity(method: Method, maps: PatchMaps) -> Tensor | None:
    prototypes, width = method.prototypes, maps.features.shape[1]
    # a run of an earlier version may have prototypes of other features: no map, but no failure
    if prototypes is None or prototypes.shape[1] != width:
        return None
    return similarity_to_prototypes(maps.features, prototypes, maps.probabilities.shape[2:])


OF_A_WINDOW: dict[str, Callable[[Method, PatchMaps], Tensor | None]] = {
    "uncertainty": lambda method, maps: maps.uncertainty,
    "disagreement": lambda method, maps: maps.disagreement,
    "signed_distance": lambda method, maps: maps.signed_distance,
    "similarity": _similarity,
}
"""How maps of `MAPS` are made of a method's answer for a batch of windows, (B[, channels], *spatial);
None where it has none."""


class WindowAnswers:
    """A method and a scan; places are counted with the walking axis first.

    Parameters
    ----------
    image : ndarray
        (channels, z, y, x) normalised, on the model grid; may be memory-mapped.
    kinds : collection of str
        Which of `every_kind` are wanted besides the probabilities.

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
        self._uncertain = any(kind in kinds and item.more_passes for kind, item in MAPS.items())
        self._own = {item.key: item for item in method.native_maps} if NATIVE in kinds else {}
        taken = sorted({*self._own} & {"probabilities", *MAPS})
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
            key = "prediction" if key == "probabilities" else key
            values += (self._own[key] if key in self._own else MAPS[key]).in_air(count)
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
        for key, make in OF_A_WINDOW.items():
            made = make(self._method, maps) if key in self._kinds else None
            if made is not None:
                one = made.dim() < maps.probabilities.dim()
                parts[key] = made.unsqueeze(1) if one else made
        return parts | {key: maps.native[key] for key in self._own if key in maps.native}
