"""Large arrays live in files that go with them, and leave memory without losing a value."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.volumes import large_arrays
from napari_semiseg.engine.volumes.large_arrays import allocate, release, slabs


def resident_megabytes():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssFile"):
            return int(line.split()[1]) / 1024
    pytest.skip("this system does not tell how many pages of files are in memory")


def test_small_arrays_are_made_in_memory():
    array = allocate((2, 3), np.float32)
    assert not isinstance(array, np.memmap)
    assert not array.any()


def test_large_arrays_are_made_in_a_file_that_goes_with_the_last_view(monkeypatch, tmp_path):
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = allocate((10, 10, 10), np.float32)
    assert isinstance(array, np.memmap)
    assert not array.any()
    view = array[3:]
    del array
    gc.collect()
    view[...] = 2
    release(view)
    assert (view == 2).all()
    del view
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be removed on this system")
def test_a_program_that_is_killed_leaves_no_file_behind(monkeypatch, tmp_path):
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = allocate((10, 10, 10), np.float32)
    array[...] = 3
    assert not list(tmp_path.iterdir())
    assert (array == 3).all()


@pytest.mark.parametrize("view", [slice(None), (slice(None), slice(1, 3), slice(None, None, -1))])
def test_what_was_written_is_still_there_after_its_memory_was_given_back(monkeypatch, view):
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 100)
    array = allocate((3, 40, 500), np.float32)
    values = np.random.default_rng(0).random(array.shape, np.float32)
    array[...] = values
    release(array[view])
    np.testing.assert_array_equal(array, values)


def test_released_pages_no_longer_count_as_memory_of_the_process(monkeypatch):
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 100)
    before = resident_megabytes()
    array = allocate((64, 2**18), np.float32)
    array[...] = 1
    assert resident_megabytes() > before + 60
    release(np.moveaxis(array, 0, 1)[5:])
    assert resident_megabytes() < before + 4
    assert (array == 1).all()


def test_nothing_happens_to_arrays_in_memory_and_to_private_maps(tmp_path):
    plain = np.ones(5)
    release(plain)
    assert plain.sum() == 5
    np.save(tmp_path / "array.npy", np.zeros(5000))
    private = np.load(tmp_path / "array.npy", mmap_mode="c")
    private[...] = 1
    release(private)
    assert (private == 1).all()


def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(large_arrays, "IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(large_arrays.os, "posix_fallocate", full)
    with pytest.raises(StudyError, match=r"0\.4 GB more .*No space left.* TMPDIR"):
        allocate((10**8,), np.float32)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shape", "axis", "numbers"), [((7, 3, 4), 0, 30), ((2, 9, 5), 1, 1)])
def test_slabs_cover_an_axis_once_and_are_bounded(shape, axis, numbers):
    parts = list(slabs(shape, axis, numbers))
    np.testing.assert_array_equal(
        np.concatenate([np.arange(shape[axis])[p] for p in parts]), np.arange(shape[axis])
    )
    row = int(np.prod(shape)) // shape[axis]
    assert max(part.stop - part.start for part in parts) * row <= max(numbers, row)
