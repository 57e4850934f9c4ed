"""The maps of a case are listed in their order."""

import numpy as np

from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray
from napari_semiseg.engine.methods.contract import NativeMap


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
