"""Sliding-window inference on the model grid with Gaussian weights (spec §5).

Windows have the training patch's size, because instance normalisation depends on it, and are spread
evenly. A generator, so that the caller may stop, report or draw a preview between two windows.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.inference.maps import allocate
from napari_semiseg.engine.methods.contract import Method, PatchMaps
from napari_semiseg.engine.parts.prototypes import cosine_similarity_map

OVERLAP = 0.5
SIGMA = 0.25  # of the patch
SMALLEST_WEIGHT = 1e-3


@dataclass(frozen=True, eq=False)
class BlendedMaps:
    """Maps on the model grid, windows blended; channels first, (channels, z, y, x) float32.

    Attributes
    ----------
    probabilities : ndarray
        C channels.
    uncertainty : ndarray
        One channel, or none where it was not asked for.
    similarity : ndarray
        C channels, or none.
    signed_distance : ndarray
        C − 1 channels of the method's own head, or none.
    """

    probabilities: np.ndarray
    uncertainty: np.ndarray
    similarity: np.ndarray
    signed_distance: np.ndarray


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
    uncertainty: bool = True,
    similarity: bool = True,
    overlap: float = OVERLAP,
) -> Generator[float, None, BlendedMaps]:
    """Run ``method`` over a whole scan.

    Parameters
    ----------
    method : Method
        Trained method.
    image : ndarray
        (channels, z, y, x) normalised, on the model grid; may be memory-mapped.
    uncertainty, similarity : bool
        Which maps are wanted besides the probabilities.
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
    canvas = _Canvas(method, image.shape[1:], uncertainty, similarity)
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

    def __init__(
        self, method: Method, shape: tuple[int, ...], uncertainty: bool, similarity: bool
    ) -> None:
        self.method = method
        self.uncertainty = uncertainty
        self.similarity = similarity and method.prototypes is not None
        self.shape = shape
        self.sums: np.ndarray | None = None
        self.total = np.zeros(shape, np.float32)
        self.weights = gaussian_weights(method.plan.patch)
        self.counts: list[int] = []

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
        maps = self.method.predict(windows.to(self.method.fabric.device), self.uncertainty)
        values = self._channels(maps).reshape(len(boxes), -1, *patch).float().cpu().numpy()
        if self.sums is None:
            self.sums = allocate((values.shape[1], *self.shape), np.float32)
        for box, window in zip(boxes, values, strict=True):
            self.sums[(slice(None), *box)] += window * self.weights
            self.total[box] += self.weights

    def _channels(self, maps: PatchMaps) -> Tensor:
        parts = [maps.probabilities]
        empty = maps.probabilities[:, :0]
        parts.append(empty if maps.uncertainty is None else maps.uncertainty.unsqueeze(1))
        prototypes = self.method.prototypes
        wanted = self.similarity and prototypes is not None
        parts.append(cosine_similarity_map(maps.features, prototypes) if wanted else empty)  # type: ignore[arg-type]
        parts.append(empty if maps.signed_distance is None else maps.signed_distance)
        self.counts = [part.shape[1] for part in parts]
        return torch.cat(parts, dim=1)

    def finish(self, inner: tuple[slice, ...]) -> BlendedMaps:
        """Divide by the weights, in place, and cut away the padding."""
        assert self.sums is not None
        for channel in self.sums:
            channel /= self.total
        ends = np.cumsum(self.counts)
        parts = [
            self.sums[(slice(end - count, end), *inner)]
            for end, count in zip(ends, self.counts, strict=True)
        ]
        return BlendedMaps(*parts)
