"""Large arrays live in files that go with them."""

import gc
from pathlib import Path

import numpy as np

from napari_semiseg.engine.inference import maps
from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray, allocate
from napari_semiseg.engine.methods.contract import NativeMap


def test_small_arrays_are_made_in_memory():
    array = allocate((2, 3), np.float32)
    assert not isinstance(array, np.memmap)
    assert not array.any()


def test_large_arrays_are_made_in_a_file_that_goes_with_the_last_view(monkeypatch):
    monkeypatch.setattr(maps, "IN_MEMORY", 100)
    array = allocate((10, 10, 10), np.float32)
    assert isinstance(array, np.memmap)
    assert not array.any()
    path = Path(array.filename)
    view = array[3:]
    del array
    gc.collect()
    view[...] = 2
    assert path.exists()
    assert (view == 2).all()
    del view
    gc.collect()
    assert not path.exists()


def test_only_the_maps_that_are_there_are_listed():
    voxels = np.zeros((1, 2, 3), np.uint8)
    found = CaseMaps("a", None, voxels, None, "nothing", None, np.ones((2, 1, 2, 3)), 0.1).arrays()
    assert list(found) == ["prediction", "similarity"]


def test_maps_of_the_methods_own_are_listed_last_and_say_whether_they_hold_classes():
    voxels = np.zeros((1, 2, 3), np.uint8)
    own = {
        "second": NativeArray(voxels, NativeMap("second", "Second answer", "classes", "classes")),
        "share": NativeArray(voxels / 2, NativeMap("share", "Share", "share")),
    }
    found = CaseMaps("a", None, voxels, None, "", None, None, 0.1, voxels / 3, own)
    assert list(found.arrays()) == ["prediction", "disagreement", "second", "share"]
    assert [kind for kind in found.arrays() if found.holds_classes(kind)] == [
        "prediction",
        "second",
    ]
