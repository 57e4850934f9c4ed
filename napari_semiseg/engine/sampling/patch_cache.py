"""The cache of normalised scans on the model grid, memory-mapped so that crops are read lazily.

Files are uncompressed .npy in the study's cache folder, named after everything they depend on, and
written under a temporary name: they may be deleted at any time and never go stale. Made and read by
the training worker.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import scipy  # its parts load when used, so the desk opens sooner

from napari_semiseg.engine.errors import StudyError, TrainingError
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.model_grid import IGNORED, LEAST_KNOWN, ModelGrid
from napari_semiseg.engine.sampling.model_image import model_image
from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.study.storage import storage_errors

MOST_OPEN = 100  # cases whose files stay mapped; of others they are mapped for each crop
FOREGROUND_KEPT = 2000  # remembered voxels of each class, to centre crops on
Labels = Literal["all", "any", "none"]
FORMAT = 2  # raise when the content of the files changes
CONTINUED = "continued into unknown voxels"


class CachedCase:
    """One scan ready for cropping.

    An array may be given as the file that it lies in, and is then mapped anew each time it is asked
    for: a system lets a program have few files open, and a study may have many thousand scans.

    Parameters
    ----------
    image : ndarray or Path
        (channels, z, y, x) float16 on the model grid.
    label : ndarray, Path or None
        (z, y, x) uint8 class indices, 255 ignored; None for unlabelled cases.
    foreground : tuple of ndarray
        For each foreground class that is there, up to 2000 voxel positions (n, 3).
    signed_distance : ndarray, Path or None
        (C − 1, z, y, x) float16 in −1…1 of the whole case, where it was asked for.
    """

    def __init__(
        self,
        name: str,
        image: np.ndarray | Path,
        label: np.ndarray | Path | None,
        foreground: tuple[np.ndarray, ...],
        grid: ModelGrid,
        signed_distance: np.ndarray | Path | None = None,
    ) -> None:
        self.name, self.foreground, self.grid = name, foreground, grid
        self._image, self._label, self._signed_distance = image, label, signed_distance

    @property
    def image(self) -> np.ndarray:
        """(channels, z, y, x) float16, memory-mapped."""
        return _mapped(self._image)

    @property
    def label(self) -> np.ndarray | None:
        """(z, y, x) uint8 class indices, 255 ignored, memory-mapped; None for unlabelled cases."""
        return None if self._label is None else _mapped(self._label)

    @property
    def signed_distance(self) -> np.ndarray | None:
        """(C − 1, z, y, x) float16 in −1…1, memory-mapped, where it was asked for."""
        return None if self._signed_distance is None else _mapped(self._signed_distance)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size of the model grid, (z, y, x) in mm."""
        return self.grid.spacing


@dataclass(frozen=True)
class DistanceMaps:
    """How signed distance maps of whole cases are made.

    Attributes
    ----------
    key : str
        All that they depend on, besides the label and its voxel size.
    make : callable
        From class indices (z, y, x), 255 ignored, and the voxel size in mm to (C − 1, z, y, x).
    """

    key: str
    make: Callable[[np.ndarray, tuple[float, float, float]], np.ndarray]


def cache_cases(
    study: Study,
    plan: Plan,
    cases: list[Case],
    labels: Labels,
    distances: DistanceMaps | None = None,
) -> Iterator[CachedCase]:
    """Prepare ``cases`` one by one, reading scans only where the cache has nothing yet.

    Parameters
    ----------
    labels : {"all", "any", "none"}
        Every case must have a label; those that have one come with it; or labels stay unread.
    distances : DistanceMaps, optional
        Add signed distance maps to the cases that come with a label.

    Raises
    ------
    TrainingError
        A case that is marked as labelled has no label.
    StudyError
        The cache folder cannot be written.
    """
    for count, case in enumerate(cases):
        hold = _mapped if count < MOST_OPEN else _left_closed
        grid = ModelGrid.of(case.geometry, plan.spacing)
        image = _cached(study, _image_key(case, plan), partial(_image, study, case, plan, grid))
        wanted = labels == "all" or (labels == "any" and case.has_label)
        if not wanted:
            yield CachedCase(case.name, hold(image), None, (), grid)
            continue
        label_file = _label(study, case, plan, grid)
        label = _mapped(label_file)
        distance = None
        if distances is not None:
            distance = hold(_distance(study, label, plan, grid, distances))
        foreground = _foreground(label, plan.classes)
        yield CachedCase(case.name, hold(image), hold(label_file), foreground, grid, distance)


def class_indices(label: np.ndarray, class_values: tuple[int, ...]) -> np.ndarray:
    """Turn the study's class values into indices 0…C − 1; unknown values become `IGNORED`."""
    table = np.full(max(int(label.max()) + 1, 256), IGNORED, np.uint8)
    table[0] = 0
    for index, value in enumerate(class_values):
        table[value] = index + 1
    indices: np.ndarray = table[label]
    return indices


def _image(study: Study, case: Case, plan: Plan, grid: ModelGrid) -> np.ndarray:
    return model_image(study.scans.read(case.name).voxels, plan, grid).astype(np.float16)


def _label(study: Study, case: Case, plan: Plan, grid: ModelGrid) -> Path:
    native = study.labels.load_for_training(case.name)
    if native is None:
        raise TrainingError(
            f"Scan “{case.name}” is marked as labelled but has no label; paint it or mark it as "
            "unlabelled."
        )
    indices = class_indices(native, plan.class_values)
    key = _key(
        "label", LEAST_KNOWN, hashlib.sha256(indices.tobytes()).hexdigest(), str(grid), plan.classes
    )
    return _cached(study, key, lambda: grid.resample_label(indices, plan.classes))


def _distance(
    study: Study, label: np.ndarray, plan: Plan, grid: ModelGrid, distances: DistanceMaps
) -> Path:
    content = hashlib.sha256(np.ascontiguousarray(label).tobytes()).hexdigest()
    key = _key(
        "distance", CONTINUED, content, label.shape, grid.spacing, plan.classes, distances.key
    )

    def make() -> np.ndarray:
        maps = distances.make(np.asarray(label), grid.spacing)
        return continued(maps, label == IGNORED, grid.spacing).astype(np.float16)

    return _cached(study, key, make)


def continued(
    maps: np.ndarray, unknown: np.ndarray, spacing: tuple[float, float, float]
) -> np.ndarray:
    """Give voxels that nobody has decided on the value of the nearest voxel that is known.

    Maps are interpolated where crops are turned, so that a value without meaning would spoil those
    beside it.

    Parameters
    ----------
    maps : ndarray
        (channels, z, y, x).
    unknown : ndarray of bool
        (z, y, x).
    spacing : tuple of float
        Voxel size in mm.
    """
    if not unknown.any() or unknown.all():
        return maps
    nearest = scipy.ndimage.distance_transform_edt(
        unknown, sampling=spacing, return_distances=False, return_indices=True
    )
    return maps[(slice(None), *nearest)]


def _foreground(label: np.ndarray, classes: int) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(0)
    found = []
    for index in range(1, classes):
        positions = np.flatnonzero(label == index)
        if len(positions):
            kept = random.choice(positions, min(FOREGROUND_KEPT, len(positions)), replace=False)
            found.append(np.stack(np.unravel_index(kept, label.shape), axis=1))
    return tuple(found)


def _image_key(case: Case, plan: Plan) -> str:
    return _key("image", case.content_hash, plan.normalisation.model_dump(), plan.spacing)


def _key(*parts: object) -> str:
    text = json.dumps([FORMAT, *parts], default=str, sort_keys=True)
    return f"{parts[0]}-{hashlib.sha256(text.encode()).hexdigest()[:24]}"


def _cached(study: Study, key: str, make: Callable[[], np.ndarray]) -> Path:
    """Return the file of what ``make`` makes, which is made if it is not there."""
    path = study.cache_folder / f"{key}.npy"
    if not _is_whole(path):
        _write(path, make())
    return path


def _is_whole(path: Path) -> bool:
    """Tell whether a file of the cache is there and was not torn when the power failed."""
    try:
        np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError):
        return False
    return True


def _left_closed(file: Path) -> Path:
    return file


def _mapped(array: np.ndarray | Path) -> np.ndarray:
    """Return an array that may lie in a file."""
    if isinstance(array, np.ndarray):
        return array
    try:
        mapped: np.ndarray = np.load(array, mmap_mode="r")
    except OSError as problem:
        raise StudyError(
            f"The cache of the study has lost the file {array.name} while it was in use; resume the "
            "run, and the scan is read again."
        ) from problem
    return mapped


def _write(path: Path, array: np.ndarray) -> None:
    temporary = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.tmp")
    with storage_errors(path.parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                np.save(file, array)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
