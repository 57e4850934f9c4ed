"""The maps that runs predict, stored beside them: prediction, uncertainty and others.

Maps lie in ``runs/<run>/maps/<case>/<kind>.zarr`` on the native grid and can always be predicted
again.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import storage
from napari_semiseg.engine.study.cases import Case, recorded_case
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.run import identifier_of
from napari_semiseg.engine.study.storage import (
    STAGED_PREFIX,
    remove_abandoned,
    staging,
    storage_errors,
    sync_folder,
    write_array,
)
from napari_semiseg.engine.volumes.large_arrays import release

if TYPE_CHECKING:
    import zarr

    from napari_semiseg.engine.study.runs.run import Run

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


class Maps:
    """``study.runs.maps``: the maps of all runs of one study.

    A run is given by itself or by its identifier, and a case by its name.
    """

    def __init__(self, records: Records, get_run: Callable[[str], Run]) -> None:
        self._records = records
        self._get_run = get_run
        self._folder = records.folder / "runs"

    def _case_folder(self, run: Run | str, case: str) -> Path:
        number = recorded_case(self._records, case).identifier
        return self._folder / identifier_of(run) / "maps" / str(number)

    def save(
        self, run: Run | str, case: str, kind: str, array: np.ndarray, **attributes: Any
    ) -> None:
        """Store a map in place of the former one of its kind.

        Parameters
        ----------
        run : Run or str
            The run, which the study has.
        array : np.ndarray
            (z, y, x) or (channels, z, y, x).

        Raises
        ------
        StudyError
            If the kind is no such word, or the disk refuses; the former map stays.
        """
        if not _KIND.fullmatch(kind):
            raise StudyError(
                f"A map cannot be of the kind '{kind}': use small letters, digits and underscores."
            )
        folder = self._case_folder(self._get_run(identifier_of(run)), case)
        with storage_errors(self._records.folder):
            _replace(folder / f"{kind}.zarr", _stage(folder, array, attributes))
            remove_abandoned(folder)

    def load(self, run: Run | str, case: str, kind: str) -> StoredMap:
        """Open a map without reading it; StudyError where the run has no such map of the case."""
        import zarr  # here, so that the desk opens sooner

        folder = self._case_folder(run, case) / f"{kind}.zarr"
        if not folder.is_dir():
            raise StudyError(
                f"The run {identifier_of(run)} has no {kind} map of the case '{case}': predict the "
                "case with this run first."
            )
        with storage_errors(self._records.folder):
            array = zarr.open_array(folder, mode="r")
            return StoredMap(array, dict(array.attrs))

    def kinds(self, run: Run | str, case: str) -> list[str]:
        """Return the kinds of maps that a run has of a case, sorted."""
        folder = self._case_folder(run, case)
        return sorted(entry.stem for entry in folder.glob("[a-z]*.zarr"))

    def remove(self, case: Case) -> None:
        """Remove the maps that all runs predicted for a case that has left the records."""
        for folder in self._folder.glob(f"*/maps/{case.identifier}"):
            shutil.rmtree(folder, ignore_errors=True)


def _replace(target: Path, staged: Path) -> None:
    """Put a staged map into its place; the former one stays where the disk refuses (OSError)."""
    former = target.with_name(f"{STAGED_PREFIX}former-{staged.name.removeprefix(STAGED_PREFIX)}")
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
    sync_folder(target.parent)
    shutil.rmtree(former, ignore_errors=True)


def _stage(folder: Path, array: np.ndarray, attributes: Mapping[str, Any]) -> Path:
    """Stage a map slab by slab, so that of a large one in a file little is in memory at a time."""
    import zarr  # here, so that the desk opens sooner

    rows = _rows_at_once(array)
    with staging(folder) as staged:
        write_array(staged, array[..., :rows, :, :] if array.ndim > 2 else array, attributes)
        if array.ndim > 2 and rows < array.shape[-3]:
            stored = zarr.open_array(staged, mode="r+")
            for start in range(rows, array.shape[-3], rows):
                stored.append(array[..., start : start + rows, :, :], axis=array.ndim - 3)
                release(array)
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
