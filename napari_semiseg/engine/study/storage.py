"""How the study room puts arrays and small files on a disk without ever losing the former ones.

An array becomes a zarr folder under a temporary name, is forced to the disk, and only then takes
its place; a problem of the disk becomes one sentence.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_semiseg.engine.errors import StudyError

CHUNK_BYTES = 16 * 2**20
"""Size of a chunk before compression: large, so that an array is a handful of files."""

STAGED_PREFIX = ".staged-"
"""Start of the name of a folder that is still being written."""

ABANDONED_AFTER_SECONDS = 3600.0
"""A staged folder of this age belongs to a program that died while it wrote."""

_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turn what the disk or SQLite refuses inside the block into one sentence.

    Raises
    ------
    StudyError
        For a full disk, a read-only folder, records that are locked or damaged, or another failure
        of the disk.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise StudyError(_sentence(error, folder)) from error


def _sentence(error: OSError | sqlite3.Error, folder: Path) -> str:
    number = error.errno if isinstance(error, OSError) else None
    text = str(error).lower()
    if number in _FULL or "disk is full" in text:
        return (
            f"The disk that holds {folder} is full: what was saved before is untouched; free some "
            "space and try again."
        )
    if number in _READ_ONLY or "readonly" in text or "unable to open" in text:
        return (
            f"{folder} cannot be written: what was saved before is untouched; ask for permission "
            "to write there or work in a copy of the folder."
        )
    if "locked" in text or "busy" in text:
        return (
            f"{folder} was in use by another program for too long: nothing was changed; wait until "
            "that program is done and try again."
        )
    if "malformed" in text or "not a database" in text:
        return (
            f"The records of {folder} are damaged: put back study.sqlite from a backup; the labels "
            "are still in the folder 'labels'."
        )
    return f"{folder} could not be read or written ({error}): check the disk and try again."


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: NumPy numbers, arrays and paths become plain ones.

    Keys of mappings become strings, as JSON asks.

    Parameters
    ----------
    value : Any
        Numbers, strings, NumPy scalars and arrays, paths, and mappings and sequences of these.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    return value


def write_text(file: Path, text: str) -> None:
    """Write a small text file so that its place holds either the former text or the new one.

    Parameters
    ----------
    file : Path
        Where to write; its folder exists.
    text : str
        The content, stored as UTF-8.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    staged = file.with_name(f"{STAGED_PREFIX}{uuid.uuid4().hex}")
    try:
        with open(staged, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(staged, file)
    finally:
        staged.unlink(missing_ok=True)
    sync_folder(file.parent)


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """Give a name for a new folder inside ``folder``; what the block writes there is forced to disk.

    The caller then renames it, to put it in its place. Every file and every folder in it is forced
    once, at the end: nobody looks for a staged folder, so that nothing is lost if it is not whole.

    Raises
    ------
    OSError
        If the disk refuses; nothing is left behind.
    """
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
    staged = folder / f"{STAGED_PREFIX}{uuid.uuid4().hex}"
    try:
        yield staged
        _sync_tree(staged)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise


def write_array(folder: Path, array: np.ndarray, attributes: Mapping[str, Any]) -> None:
    """Write an array of one dimension or more as a zarr folder, which is not forced to the disk yet.

    ``attributes`` are kept beside it, as JSON can hold them.
    """
    import zarr  # here, so that the desk opens sooner
    from zarr.codecs import ZstdCodec

    zarr.create_array(
        folder,
        data=np.ascontiguousarray(array),
        chunks=_chunks(array),
        compressors=ZstdCodec(level=1),
        attributes=plain(attributes),
        zarr_format=3,
        # all chunks in one folder: every folder is one more thing to force to the disk
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def _chunks(array: np.ndarray) -> tuple[int, ...]:
    """Slabs of whole slices: the last two axes stay whole, the ones before are cut."""
    chunks = list(array.shape)
    for axis in range(max(array.ndim - 2, 1)):
        per_index = array.itemsize * int(np.prod(chunks[axis + 1 :], dtype=np.int64))
        chunks[axis] = int(min(max(CHUNK_BYTES // max(per_index, 1), 1), chunks[axis]))
    return tuple(max(size, 1) for size in chunks)


def remove_abandoned(folder: Path) -> None:
    """Remove staged folders that a program left behind when it died."""
    for staged in folder.glob(f"{STAGED_PREFIX}*"):
        try:
            age = time.time() - staged.stat().st_mtime
        except FileNotFoundError:
            continue  # another program was faster
        if age > ABANDONED_AFTER_SECONDS:
            shutil.rmtree(staged, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for folder, _, files in os.walk(root, topdown=False):
        for file in files:
            with open(os.path.join(folder, file), "rb+") as stream:
                os.fsync(stream.fileno())
        sync_folder(Path(folder))


def sync_folder(folder: Path) -> None:
    """Force the list of files of a folder to the disk, where the system knows how to.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    if os.name == "nt":  # Windows opens no folders; its file system journals renames itself
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
