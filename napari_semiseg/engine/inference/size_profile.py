"""How large each structure is along a scan: as expected, as predicted and as labelled (spec §6.5).

A 2D model is asked slice by slice, a 3D model slab by slab, as deep as its patch and at the places
that its windows take. Drawn by the size chart; runs on the worker's thread.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.windows import OVERLAP, slide, window_starts
from napari_semiseg.engine.methods.bodies.size_constrained import SizeConstrainedMethod
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.methods.curriculum import Curriculum
from napari_semiseg.engine.parts.size_bounds import size_bounds
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.sampling.model_image import model_image
from napari_semiseg.engine.sampling.patch_cache import class_indices
from napari_semiseg.engine.volumes import Volume
from napari_semiseg.engine.volumes.large_arrays import allocate

NEGLIGIBLE = 1e-3  # of a window: a regressor is no better on empty slices
SEGMENTING_SHARE = 0.9  # of the work
SMALLEST_PROBABILITY = 1e-6
_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class SizeProfile:
    """Sizes of K classes at P positions along one axis of a scan.

    Attributes
    ----------
    case : str
        Name of the case.
    class_values : tuple of int
        The K foreground values of the study.
    unit : {"mm²", "mL"}
        Of all sizes: area of a slice, or volume of a slab.
    axis : int
        Axis of the scan's own grid, 0 (z) to 2 (x), along which the positions lie.
    slices : ndarray
        (P,) int, ascending, the scan's slice in the middle of each position.
    ranges : ndarray
        (P, 2) int, its first and last slice.
    regressed, lower, upper : ndarray
        (K, P) float, the expected size and the band around it. An expected size below 0 means that
        the structure should be absent.
    predicted : ndarray
        (K, P) float, of the voxels that are predicted to be of the class.
    true : ndarray or None
        (K, P) float, of the label; None without one.
    negligible : float
        Difference that counts as none.
    """

    case: str
    class_values: tuple[int, ...]
    unit: str
    axis: int
    slices: np.ndarray
    ranges: np.ndarray
    regressed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    predicted: np.ndarray
    true: np.ndarray | None
    negligible: float

    @property
    def verdicts(self) -> np.ndarray:
        """(K, P) int8: −1 where the prediction is too small for its band, 1 too large, 0 plausible."""
        too_small = self.predicted < self.lower - self.negligible
        too_large = self.predicted > self.upper + self.negligible
        return too_large.astype(np.int8) - too_small.astype(np.int8)


def size_profile(
    method: Method, case_name: str, volume: Volume, truth: np.ndarray | None = None
) -> Generator[float, None, SizeProfile]:
    """Measure the sizes along one scan.

    Parameters
    ----------
    method : Method
        Trained curriculum method; or the oracle, whose expected sizes are those of ``truth``.
    truth : ndarray, optional
        (z, y, x) class values of the scan's label.

    Returns
    -------
    SizeProfile
        Along the scan's axis that is nearest to head and foot.

    Raises
    ------
    StudyError
        The method expects no sizes, or is the oracle and there is no label.
    """
    expecting = _check(method, truth)
    plan = method.plan
    grid = ModelGrid.of(volume.geometry, plan.spacing)
    slabs = _Slabs.of(grid, plan.patch)
    image = model_image(volume.voxels, plan, grid)
    work = slide(method, image, kinds=())
    regresses = isinstance(expecting, Curriculum)
    blended = yield from _in_part(work, 0.0, SEGMENTING_SHARE if regresses else 1.0)
    predicted = slabs.count(_largest(blended["probabilities"]), plan.classes)
    true = None
    if truth is not None:
        label = grid.resample_label(class_indices(truth, plan.class_values), plan.classes)
        true = slabs.count(label, plan.classes)
    expected = true
    if isinstance(expecting, Curriculum):
        asking = _regress(expecting, image, blended["probabilities"], slabs)
        expected = yield from _in_part(asking, SEGMENTING_SHARE, 1.0)
    assert expected is not None
    return _assemble(expecting, case_name, grid, slabs, (expected, predicted, true))


def _assemble(
    method: SizeConstrainedMethod,
    case: str,
    grid: ModelGrid,
    slabs: _Slabs,
    voxels: tuple[np.ndarray, np.ndarray, np.ndarray | None],
) -> SizeProfile:
    """Turn expected, predicted and true voxels (K, P) of the model grid into a profile of the scan."""
    plan = method.plan
    flat = plan.network.dimensions == 2
    voxel = float(np.prod(grid.spacing[1:])) if flat else float(np.prod(grid.spacing)) / 1000.0
    middle, ranges = slabs.native(grid)
    order = np.argsort(middle)
    expected, predicted, true = (
        None if counts is None else voxel * counts[:, order] for counts in voxels
    )
    assert expected is not None
    assert predicted is not None
    lower, upper = size_bounds(torch.from_numpy(expected), method.settings.tolerance)
    return SizeProfile(
        case=case,
        class_values=plan.class_values,
        unit="mm²" if flat else "mL",
        axis=grid.axes[0],
        slices=middle[order],
        ranges=ranges[order],
        regressed=expected,
        lower=lower.numpy(),
        upper=upper.numpy(),
        predicted=predicted,
        true=true,
        negligible=voxel * NEGLIGIBLE * float(np.prod(plan.patch)),
    )


def _check(method: Method, truth: np.ndarray | None) -> SizeConstrainedMethod:
    if not isinstance(method, SizeConstrainedMethod):
        raise StudyError(
            f"{method.title} expects no sizes; train “{Curriculum.title}” to see them along a scan."
        )
    if not isinstance(method, Curriculum) and truth is None:
        raise StudyError(
            f"{method.title} takes the sizes that it expects from a label, and this scan has none."
        )
    return method


@dataclass(frozen=True)
class _Slabs:
    """Where the slabs lie along the first axis of the model grid, [first, last) inside the scan.

    Attributes
    ----------
    starts : tuple of int
        Where their windows begin; below 0 where a window is deeper than the scan.
    depth, extent : int
        Slices of a window and of the scan.
    """

    starts: tuple[int, ...]
    depth: int
    extent: int

    @classmethod
    def of(cls, grid: ModelGrid, patch: tuple[int, int, int]) -> _Slabs:
        depth, extent = patch[0], grid.shape[0]
        before = max(0, depth - extent) // 2
        starts = window_starts(extent, depth, OVERLAP)
        return cls(tuple(start - before for start in starts), depth, extent)

    def bounds(self) -> np.ndarray:
        """First slice and the one after the last, (P, 2)."""
        starts = np.array(self.starts)
        return np.stack([starts, starts + self.depth], axis=1).clip(0, self.extent)

    def count(self, indices: np.ndarray, classes: int) -> np.ndarray:
        """Count the voxels of each foreground class (K, P) in class indices (z, y, x)."""
        each = [
            [np.count_nonzero(plane == index) for plane in indices] for index in range(1, classes)
        ]
        summed = np.pad(np.cumsum(np.array(each, np.float64), axis=1), [(0, 0), (1, 0)])
        first, last = self.bounds().T
        return summed[:, last] - summed[:, first]

    def native(self, grid: ModelGrid) -> tuple[np.ndarray, np.ndarray]:
        """Return middle (P,) and first and last slice (P, 2) on the scan's own grid."""
        depth = grid.turned_shape[0]
        edges = self.bounds() * depth / self.extent
        first = np.floor(edges[:, 0]).astype(int)
        last = np.maximum(first, np.ceil(edges[:, 1]).astype(int) - 1)
        middle = np.floor(edges.mean(axis=1)).astype(int)
        if grid.flips[0]:
            first, last, middle = depth - 1 - last, depth - 1 - first, depth - 1 - middle
        return middle.clip(0, depth - 1), np.stack([first, last], axis=1).clip(0, depth - 1)


def _largest(probabilities: np.ndarray) -> np.ndarray:
    """Return the most probable class of each voxel, plane by plane; probabilities may be on disk."""
    indices = allocate(probabilities.shape[1:], np.uint8)
    for plane in range(len(indices)):
        indices[plane] = probabilities[:, plane].argmax(axis=0)
    return indices


def _regress(
    method: Curriculum, image: np.ndarray, probabilities: np.ndarray, slabs: _Slabs
) -> Generator[float, None, np.ndarray]:
    """Sum the regressed sizes of the windows of each slab, (K, P) voxels of the model grid.

    Where windows overlap, each is credited with its part of what is predicted in the overlap; where
    they reach beyond the scan, what is predicted there is taken off.
    """
    patch = np.array(method.plan.patch)
    short = np.maximum(0, patch - image.shape[1:])
    margins = [(0, 0), *((int(n) // 2, int(n) - int(n) // 2) for n in short)]
    before = [first for first, _ in margins[1:]]
    image = np.pad(image, margins, mode="edge")
    probabilities = np.pad(probabilities[1:], margins, mode="edge")
    tiles = [
        window_starts(extent, int(size), 0.0)
        for extent, size in zip(image.shape[2:], patch[1:], strict=True)
    ]
    places = list(itertools.product([start + before[0] for start in slabs.starts], *tiles))
    shares = _shares_of_windows(image.shape[1:], margins, tiles, method.plan.patch)
    sizes = np.zeros((len(probabilities), len(places)))
    batch = method.plan.window_batch
    for first in range(0, len(places), batch):
        boxes = [
            tuple(slice(start, start + int(size)) for start, size in zip(place, patch, strict=True))
            for place in places[first : first + batch]
        ]
        crops = np.stack([image[(slice(None), *box)] for box in boxes]).astype(np.float32)
        windows = torch.from_numpy(crops).reshape(len(boxes), -1, *method.plan.spatial)
        regressed = method.regress_sizes(windows.to(method.fabric.device)).float().cpu().numpy()
        for index, box in enumerate(boxes):
            weights = probabilities[(slice(None), *box)] + SMALLEST_PROBABILITY
            credit = (weights * shares[box]).sum(axis=(1, 2, 3)) / weights.sum(axis=(1, 2, 3))
            sizes[:, first + index] = regressed[index] * float(np.prod(patch)) * credit
        yield min(1.0, (first + batch) / len(places))
    summed: np.ndarray = sizes.reshape(len(sizes), len(slabs.starts), -1).sum(axis=2)
    return summed


def _shares_of_windows(
    shape: tuple[int, ...],
    margins: list[tuple[int, int]],
    tiles: list[list[int]],
    patch: tuple[int, int, int],
) -> np.ndarray:
    """Share of each voxel that one window of a slab owns: 1 / how many see it, 0 beyond the scan."""
    shares = np.zeros(shape, np.float32)
    inner = tuple(
        slice(first, extent - last)
        for (first, last), extent in zip(margins[1:], shape, strict=True)
    )
    shares[inner] = 1.0
    for axis, (starts, size) in enumerate(zip(tiles, patch[1:], strict=True), start=1):
        seen = np.zeros(shape[axis], np.float32)
        for start in starts:
            seen[start : start + size] += 1.0
        shares /= seen.reshape([-1 if other == axis else 1 for other in range(3)])
    return shares


def _in_part(
    work: Generator[float, None, _Result], start: float, stop: float
) -> Generator[float, None, _Result]:
    """Pass on what ``work`` yields as a part, from ``start`` to ``stop``, of a larger whole."""
    steps = Drained(work)
    for share in steps:
        yield start + (stop - start) * share
    return steps.result
