"""Memory of large tensors on the CPU, used again rather than handed back and asked for anew.

glibc maps a block of more than 32 MB for each large tensor and unmaps it when it is freed, so the
kernel clears the same pages again at every step: half of the time of a step with large crops. Training
and prediction run under `freed_memory_kept`, which has such blocks taken from the heap and kept there
meanwhile. On other systems, and in threads that glibc gave a heap of their own (those of a viewer,
mostly), it changes nothing.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4

_NEVER_TRIMMED = 2**31 - 1
_USUAL_MMAPS = 65536
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # what glibc itself comes to, once such a block was freed
_PROBE_BYTES = 2**20

_lock = threading.Lock()
_users = 0


@contextmanager
def freed_memory_kept(device: str) -> Iterator[bool]:
    """Have what the block frees used again by what it allocates; free memory goes back at the end.

    Blocks may nest and overlap in several threads: the last to end gives the memory back.

    Parameters
    ----------
    device : str
        Where the large tensors are; nothing is changed for any but ``"cpu"``.

    Yields
    ------
    bool
        Whether it is so: glibc is there, and this thread takes memory from the program's heap.
    """
    library = _glibc() if device == "cpu" else None
    kept = library is not None and _enter(library)
    try:
        yield kept
    finally:
        if library is not None and kept:
            _leave(library)


@cache
def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return None
    library = ctypes.CDLL(None)
    library.malloc.restype = library.sbrk.restype = ctypes.c_void_p
    library.malloc.argtypes = [ctypes.c_size_t]
    library.sbrk.argtypes = [ctypes.c_ssize_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.malloc_trim.argtypes = [ctypes.c_size_t]
    return library


def _enter(library: ctypes.CDLL) -> bool:
    global _users
    with _lock:
        if not _users:
            library.mallopt(_MMAP_MAX, 0)
            library.mallopt(_TRIM_THRESHOLD, _NEVER_TRIMMED)
        if _takes_from_heap(library):
            _users += 1
            return True
        if not _users:
            _as_usual(library)
        return False


def _leave(library: ctypes.CDLL) -> None:
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _as_usual(library)
            library.malloc_trim(0)


def _as_usual(library: ctypes.CDLL) -> None:
    library.mallopt(_MMAP_MAX, _USUAL_MMAPS)
    library.mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_MMAP_THRESHOLD)


def _takes_from_heap(library: ctypes.CDLL) -> bool:
    """Tell whether this thread's blocks lie in the program's heap, below its break."""
    block = library.malloc(_PROBE_BYTES)
    if not block:
        return False
    library.free(block)
    return bool(block < library.sbrk(0))
