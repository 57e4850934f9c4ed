"""Sliding-window inference on the model grid with Gaussian weights (spec §5).

Windows have the training patch's size, because instance normalisation depends on it, and are spread
evenly. A generator, so that the caller may stop, report or draw a preview between two windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.inference.class_prototypes import similarity_to_prototypes
from napari_semiseg.engine.inference.maps import MAP_KINDS, NATIVE, allocate
from napari_semiseg.engine.methods.contract import Method, PatchMaps

OVERLAP = 0.5
SIGMA = 0.25  # of the patch
SMALLEST_WEIGHT = 1e-3


@dataclass(frozen=True, eq=False)
class BlendedMaps:
    """Maps on the model grid, windows blended; channels first, (channels, z, y, x) float32.

    None where a map was not asked for, or the method does not make it.

    Attributes
    ----------
    probabilities : ndarray
        C channels.
    uncertainty : ndarray or None
        One channel.
    similarity : ndarray or None
        C channels.
    signed_distance : ndarray or None
        C − 1 channels of the method's own head.
    disagreement : ndarray or None
        One channel.
    native : mapping of str to ndarray
        The maps of the method's own, by key.
    """

    probabilities: np.ndarray
    uncertainty: np.ndarray | None = None
    similarity: np.ndarray | None = None
    signed_distance: np.ndarray | None = None
    disagreement: np.ndarray | None = None
    native: Mapping[str, np.ndarray] = field(default_factory=dict)


def window_starts(extent: int, patch: int, overlap: float = OVERLAP) -> list[int]:
    """Spread windows evenly over an axis so that neighbours overlap by at least ``overlap``."""
    if extent <= patch:
        return [0]
    stride = max(1, int(patch * (1 - overlap)))
    count = -(-(extent - patch) // stride) + 1
    return sorted({round(start) for start in np.linspace(0, extent - patch, count)})


def gaussian_weights(patch: tuple[int, ...]) -> np.ndarray:
    """Weight of each voxel of a window, 1 in the centre and never 0."""
    weights = np.ones(patch, np.float32)
    for axis, extent in enumerate(patch):
        distance = (np.arange(extent) - (extent - 1) / 2) / max(SIGMA * extent, 1e-6)
        profile = np.exp(-0.5 * distance**2).astype(np.float32)
        weights *= profile.reshape([-1 if other == axis else 1 for other in range(len(patch))])
    return np.maximum(weights, SMALLEST_WEIGHT)


def slide(
    method: Method,
    image: np.ndarray,
    kinds: Collection[str] = MAP_KINDS,
    overlap: float = OVERLAP,
) -> Generator[float, None, BlendedMaps]:
    """Run ``method`` over a whole scan.

    Parameters
    ----------
    method : Method
        Trained method.
    image : ndarray
        (channels, z, y, x) normalised, on the model grid; may be memory-mapped.
    kinds : collection of str
        Which of `EVERY_KIND` are wanted besides the probabilities.
    overlap : float
        Share of a window that its neighbour sees again, 0…1.

    Yields
    ------
    float
        Share of the windows that are done.

    Returns
    -------
    BlendedMaps
        Maps of the size of ``image``.
    """
    patch = method.plan.patch
    short = [max(0, want - have) for want, have in zip(patch, image.shape[1:], strict=True)]
    before = [missing // 2 for missing in short]
    if any(short):
        margins = [(first, total - first) for first, total in zip(before, short, strict=True)]
        image = np.pad(image, [(0, 0), *margins], mode="edge")
    canvas = _Canvas(method, image.shape[1:], kinds)
    places = list(
        itertools.product(
            *(
                window_starts(extent, size, overlap)
                for extent, size in zip(image.shape[1:], patch, strict=True)
            )
        )
    )
    batch = method.plan.window_batch
    for first in range(0, len(places), batch):
        canvas.add(image, places[first : first + batch])
        yield min(1.0, (first + batch) / len(places))
    inner = tuple(
        slice(start, start + extent - missing)
        for start, extent, missing in zip(before, image.shape[1:], short, strict=True)
    )
    return canvas.finish(inner)


class _Canvas:
    """Weighted sums of windows, and what they add up to."""

    def __init__(self, method: Method, shape: tuple[int, ...], kinds: Collection[str]) -> None:
        self.method = method
        self.kinds = kinds
        self.uncertain = "uncertainty" in kinds or "disagreement" in kinds
        self.own = [item.key for item in method.native_maps] if NATIVE in kinds else []
        taken = sorted({*self.own} & {"probabilities", *MAP_KINDS})
        if taken:
            raise ValueError(f"{method.title} names a map of its own like a shared one: {taken}.")
        self.shape = shape
        self.sums: np.ndarray | None = None
        self.total = np.zeros(shape, np.float32)
        self.weights = gaussian_weights(method.plan.patch)
        self.counts: dict[str, int] = {}

    def add(self, image: np.ndarray, places: list[tuple[int, ...]]) -> None:
        """Run the windows at ``places`` and add their maps; half of them where memory is short."""
        try:
            self._add(image, places)
        except torch.OutOfMemoryError as problem:
            if len(places) == 1:
                raise TrainingError(
                    "The device has too little free memory for one window of this model; close "
                    "other programs or predict on the CPU (--device cpu)."
                ) from problem
            torch.cuda.empty_cache()
            half = len(places) // 2
            self.add(image, places[:half])
            self.add(image, places[half:])

    def _add(self, image: np.ndarray, places: list[tuple[int, ...]]) -> None:
        patch = self.method.plan.patch
        boxes = [
            tuple(slice(start, start + size) for start, size in zip(place, patch, strict=True))
            for place in places
        ]
        crops = np.stack([image[(slice(None), *box)] for box in boxes]).astype(np.float32)
        windows = torch.from_numpy(crops).reshape(len(boxes), -1, *self.method.plan.spatial)
        windows = windows.to(self.method.fabric.device)
        # only a method that has maps of its own need know the argument
        native = {"native": True} if self.own else {}
        parts = self._parts(self.method.predict(windows, self.uncertain, **native))
        self.counts = {key: part.shape[1] for key, part in parts.items()}
        channels = torch.cat([part.float() for part in parts.values()], dim=1)
        values = channels.reshape(len(boxes), -1, *patch).cpu().numpy()
        if self.sums is None:
            self.sums = allocate((values.shape[1], *self.shape), np.float32)
        for box, window in zip(boxes, values, strict=True):
            self.sums[(slice(None), *box)] += window * self.weights
            self.total[box] += self.weights

    def _parts(self, maps: PatchMaps) -> dict[str, Tensor]:
        """Choose what is blended, (B, channels, *spatial), by the names that `finish` gives it."""
        parts = {"probabilities": maps.probabilities}
        if "uncertainty" in self.kinds and maps.uncertainty is not None:
            parts["uncertainty"] = maps.uncertainty.unsqueeze(1)
        if "disagreement" in self.kinds and maps.disagreement is not None:
            parts["disagreement"] = maps.disagreement.unsqueeze(1)
        if "signed_distance" in self.kinds and maps.signed_distance is not None:
            parts["signed_distance"] = maps.signed_distance
        prototypes, width = self.method.prototypes, maps.features.shape[1]
        # a run of an earlier version may have prototypes of other features: no map, but no failure
        if "similarity" in self.kinds and prototypes is not None and prototypes.shape[1] == width:
            size = maps.probabilities.shape[2:]
            parts["similarity"] = similarity_to_prototypes(maps.features, prototypes, size)
        return parts | {key: maps.native[key] for key in self.own if key in maps.native}

    def finish(self, inner: tuple[slice, ...]) -> BlendedMaps:
        """Divide by the weights, in place, and cut away the padding."""
        assert self.sums is not None
        for channel in self.sums:
            channel /= self.total
        ends = np.cumsum(list(self.counts.values()))
        parts = {
            key: self.sums[(slice(end - count, end), *inner)]
            for end, (key, count) in zip(ends, self.counts.items(), strict=True)
        }
        own = {key: parts.pop(key) for key in self.own if key in parts}
        return BlendedMaps(**parts, native=own)
