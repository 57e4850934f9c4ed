"""The maps that runs predict, stored beside them: prediction, uncertainty and others.

Maps lie in ``runs/<run>/maps/<case>/<kind>.zarr`` on the native grid and can always be predicted
again. Inference saves them and the desk and the review read them, on any thread.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import storage
from napari_semiseg.engine.study.storage import (
    STAGED_PREFIX,
    remove_abandoned,
    stage_array,
    sync_folder,
)
from napari_semiseg.engine.volumes.large_arrays import release

if TYPE_CHECKING:
    import zarr

SLAB_BYTES = 128 * 2**20
"""Of a map that is written or read at a time; larger than a chunk."""

_KIND = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, eq=False)
class StoredMap:
    """A map on the disk.

    Attributes
    ----------
    array : zarr.Array
        (z, y, x) or (channels, z, y, x) in the dtype that was saved; read by slicing it.
    attributes : dict
        What was saved beside it.
    """

    array: zarr.Array[Any]
    attributes: dict[str, Any]


class MapStore:
    """The maps of all runs of a study.

    Parameters
    ----------
    runs_folder : Path
        ``runs`` inside the study folder.
    """

    def __init__(self, runs_folder: Path) -> None:
        self._folder = runs_folder

    def _case_folder(self, run: str, case: int) -> Path:
        return self._folder / run / "maps" / str(case)

    def save(
        self, run: str, case: int, kind: str, array: np.ndarray, attributes: Mapping[str, Any]
    ) -> None:
        """Store a map in place of the former one of its kind.

        Parameters
        ----------
        run : str
            Identifier of the run.
        case : int
            Identifier of the case.
        kind : str
            Small letters, digits and underscores.
        array : np.ndarray
            (z, y, x) or (channels, z, y, x).
        attributes : Mapping[str, Any]
            Kept beside it as JSON.

        Raises
        ------
        StudyError
            If the kind is no such word.
        OSError
            If the disk refuses; the former map stays.
        """
        if not _KIND.fullmatch(kind):
            raise StudyError(
                f"A map cannot be of the kind '{kind}': use small letters, digits and underscores."
            )
        folder = self._case_folder(run, case)
        staged = _stage(folder, array, attributes)
        target = folder / f"{kind}.zarr"
        former = folder / f"{STAGED_PREFIX}former-{staged.name.removeprefix(STAGED_PREFIX)}"
        try:
            # a folder cannot replace another one in a single step: the former makes way
            if target.exists():
                os.replace(target, former)
            os.replace(staged, target)
        except OSError:
            if former.exists() and not target.exists():
                os.replace(former, target)
            shutil.rmtree(staged, ignore_errors=True)
            raise
        sync_folder(folder)
        shutil.rmtree(former, ignore_errors=True)
        remove_abandoned(folder)

    def load(self, run: str, case: int, kind: str) -> StoredMap | None:
        """Open a map.

        Parameters
        ----------
        run : str
            Identifier of the run.
        case : int
            Identifier of the case.
        kind : str
            Kind of the map.

        Returns
        -------
        StoredMap or None
            None where the run has no such map of the case.
        """
        import zarr  # here, so that the desk opens sooner

        folder = self._case_folder(run, case) / f"{kind}.zarr"
        if not folder.is_dir():
            return None
        array = zarr.open_array(folder, mode="r")
        return StoredMap(array, dict(array.attrs))

    def kinds(self, run: str, case: int) -> list[str]:
        """Return the kinds of maps that a run has of a case.

        Parameters
        ----------
        run : str
            Identifier of the run.
        case : int
            Identifier of the case.

        Returns
        -------
        list of str
            Sorted.
        """
        folder = self._case_folder(run, case)
        return sorted(entry.stem for entry in folder.glob("[a-z]*.zarr"))

    def remove_case(self, case: int) -> None:
        """Remove the maps that runs predicted for a case.

        Parameters
        ----------
        case : int
            Identifier of a case that leaves the study.
        """
        for folder in self._folder.glob(f"*/maps/{case}"):
            shutil.rmtree(folder, ignore_errors=True)


def _stage(folder: Path, array: np.ndarray, attributes: Mapping[str, Any]) -> Path:
    """Stage a map slab by slab, so that of a large one in a file little is in memory at a time."""
    import zarr  # here, so that the desk opens sooner

    rows = _rows_at_once(array)
    staged = stage_array(folder, array[..., :rows, :, :] if array.ndim > 2 else array, attributes)
    if array.ndim < 3 or rows >= array.shape[-3]:
        return staged
    try:
        stored = zarr.open_array(staged, mode="r+")
        for start in range(rows, array.shape[-3], rows):
            stored.append(array[..., start : start + rows, :, :], axis=array.ndim - 3)
            release(array)
        for file in staged.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as stream:
                    os.fsync(stream.fileno())
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    sync_folder(staged)
    return staged


def _rows_at_once(array: np.ndarray) -> int:
    """Return how many slices of a map to write together: whole chunks of them."""
    if array.ndim < 3:
        return len(array)
    channels = array[..., 0, 0, 0].size
    slice_bytes = max(1, array.itemsize * array.shape[-1] * array.shape[-2])
    chunk = max(1, storage.CHUNK_BYTES // slice_bytes)
    thickness: int = chunk * max(1, SLAB_BYTES // (chunk * slice_bytes * channels))
    return thickness
