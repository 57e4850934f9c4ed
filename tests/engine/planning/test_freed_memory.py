"""Freed memory of large tensors: used again inside the block, given back at its end."""

from __future__ import annotations

import resource
import sys
import threading
from pathlib import Path

import pytest
import torch

from napari_semiseg.engine.planning import freed_memory
from napari_semiseg.engine.planning.freed_memory import freed_memory_kept

BLOCK = 48 * 2**20  # more than glibc takes from a heap by itself
PAGE = resource.getpagesize()

needs_glibc = pytest.mark.skipif(freed_memory._glibc() is None, reason="glibc is not there")


def faults_of_a_tensor():
    """Return how many pages the kernel brings in for a tensor that is made and freed, in the end."""

    def once():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.zeros(BLOCK // 4).add_(1)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    return min(once() for _ in range(4))  # a first block may lie where nothing has been yet


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@needs_glibc
def test_the_same_pages_serve_the_next_tensor():
    with freed_memory_kept("cpu") as kept:
        assert kept
        assert faults_of_a_tensor() < 100


@needs_glibc
def test_what_is_free_goes_back_at_the_end_of_the_outermost_block():
    with freed_memory_kept("cpu"):
        with freed_memory_kept("cpu"):
            torch.zeros(BLOCK).add_(1)
        kept = resident_bytes()
        assert faults_of_a_tensor() < 100
    assert kept - resident_bytes() > 3 * BLOCK


@needs_glibc
def test_a_thread_with_a_heap_of_its_own_is_left_alone():
    told = []

    def work():
        torch.zeros(1)
        with freed_memory_kept("cpu") as kept:
            told.append(kept or faults_of_a_tensor() > BLOCK // PAGE // 2)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told[0]
    assert not freed_memory._users


def test_tensors_elsewhere_change_nothing():
    with freed_memory_kept("cuda") as kept:
        assert not kept


def test_without_glibc_nothing_happens(monkeypatch):
    freed_memory._glibc.cache_clear()
    monkeypatch.setattr(sys, "platform", "darwin")
    try:
        with freed_memory_kept("cpu") as kept:
            assert not kept
    finally:
        freed_memory._glibc.cache_clear()
