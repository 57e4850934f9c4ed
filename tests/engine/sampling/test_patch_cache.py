"""The cache of normalised scans."""

import numpy as np
import pytest

from napari_semiseg.engine.planning.fingerprint import take_fingerprint
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.sampling.patch_cache import cache_cases, continued
from tests.engine.small_study import make_study


@pytest.mark.parametrize("left", [0, 7, 60, -100])
def test_a_file_that_was_torn_when_the_power_failed_is_made_anew(tmp_path, left):
    study = make_study(tmp_path)
    plan = make_plan(take_fingerprint(study), describe_machine("cpu"), (1, 2), "modern")
    before = [np.array(case.image) for case in cache_cases(study, plan, study.cases(), "none")]
    for file in study.cache_folder.glob("*.npy"):
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content[:left])
    again = [np.array(case.image) for case in cache_cases(study, plan, study.cases(), "none")]
    assert all(map(np.array_equal, before, again))
    assert not list(study.cache_folder.glob("*.tmp"))


def test_maps_go_on_into_voxels_that_nobody_has_decided_on():
    maps = np.arange(6.0).reshape(1, 6, 1, 1) - 2
    unknown = np.array([True, False, True, True, False, True]).reshape(6, 1, 1)
    found = continued(maps, unknown, (2.0, 1.0, 1.0))
    assert found.ravel().tolist() == [-1, -1, -1, 2, 2, 2]
    assert continued(maps, np.zeros_like(unknown), (2.0, 1.0, 1.0)) is maps
    assert continued(maps, np.ones_like(unknown), (2.0, 1.0, 1.0)) is maps
