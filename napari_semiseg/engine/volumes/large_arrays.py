"""Arrays that move to disk when they are large, and leave memory again once they are written.

A scan, its image on the model grid and its maps are made slab by slab. Where such an array is small
it is an ordinary one; else it is a memory-mapped file that vanishes with its last view. Pages of the
file that were touched count as memory of the process until `release` gives them back, so whoever
walks through an array calls it after each slab.
"""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_semiseg.engine.errors import StudyError

IN_MEMORY = 256 * 2**20  # bytes; larger arrays are memory-mapped files
SLAB_VOXELS = 8_000_000
"""Bound on the numbers of one slab, channels counted: 32 MB as float32."""


def allocate(shape: tuple[int, ...], dtype: npt.DTypeLike) -> np.ndarray:
    """Make an array of zeros, in memory or, when it is large, in a file that goes with the array.

    Returns
    -------
    ndarray
        A `numpy.memmap` where it would take more than 256 MB.

    Raises
    ------
    StudyError
        The folder for temporary files has too little space.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    # The file must outlive this function and vanish with the array.
    folder = tempfile.TemporaryDirectory(prefix="semiseg-", ignore_cleanup_errors=True)
    path = Path(folder.name) / "array"
    try:
        _reserve(path, size)
    except OSError as problem:
        folder.cleanup()
        raise StudyError(
            f"A scan of this size needs {size / 1e9:.1f} GB more for temporary files than "
            f"{Path(folder.name).parent} has ({problem.strerror}); free some space there, or set "
            "TMPDIR to a folder on a larger disk."
        ) from problem
    array = np.memmap(path, dtype=dtype, mode="r+", shape=shape)
    if os.name == "posix":
        folder.cleanup()  # what is mapped stays until it is not, also where the program is killed
    else:
        weakref.finalize(array, folder.cleanup)
    return array


def release(array: np.ndarray) -> None:
    """Give back the memory of an array of `allocate` that lies in a file; its values stay there.

    Parameters
    ----------
    array : ndarray
        The array or a view of it. Nothing happens to arrays in memory, to files that others mapped,
        and on systems that cannot do it.
    """
    shared = False
    owner: object = array
    while isinstance(owner, np.ndarray):
        shared |= isinstance(owner, np.memmap) and owner.mode == "r+"
        owner = owner.base
    # the pages of a private mapping would lose what was written into them
    if shared and isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def slabs(shape: tuple[int, ...], axis: int = 0, numbers: int = SLAB_VOXELS) -> Iterator[slice]:
    """Cut an axis into parts so that an array of ``shape`` has at most ``numbers`` in each.

    Parameters
    ----------
    numbers : int
        Bound for one part; a part has at least one row all the same.
    """
    extent = shape[axis]
    row = int(np.prod(shape, dtype=np.int64)) // max(1, extent)
    rows = max(1, numbers // max(1, row))
    for start in range(0, extent, rows):
        yield slice(start, min(extent, start + rows))


def _reserve(path: Path, size: int) -> None:
    """Make a file of zeros whose blocks exist: a full disk is an error now, not a crash later."""
    with open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as problem:
                if problem.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                    raise
        file.truncate(size)
