"""The maps of a case are listed in their order."""

import numpy as np

from napari_semiseg.engine.inference.maps import CaseMaps, NativeArray
from napari_semiseg.engine.methods.contract import NativeMap


def test_only_the_maps_that_are_there_are_listed():
    voxels = np.zeros((1, 2, 3), np.uint8)
    found = CaseMaps(
        "a", None, {"similarity": np.ones((2, 1, 2, 3)), "prediction": voxels}
    ).arrays()
    assert list(found) == ["prediction", "similarity"]


def test_maps_of_the_methods_own_are_listed_last_and_say_whether_they_hold_classes():
    voxels = np.zeros((1, 2, 3), np.uint8)
    own = {
        "second": NativeArray(voxels, NativeMap("second", "Second answer", "classes", "classes")),
        "share": NativeArray(voxels / 2, NativeMap("share", "Share", "share")),
    }
    found = CaseMaps("a", None, {"prediction": voxels, "disagreement": voxels / 3}, own)
    assert list(found.arrays()) == ["prediction", "disagreement", "second", "share"]
    looks = {kind: found.description(kind).look for kind in found.arrays()}
    assert [kind for kind, look in looks.items() if look == "classes"] == ["prediction", "second"]
