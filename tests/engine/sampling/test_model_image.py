"""A scan that is prepared slab by slab is the same as one that is prepared whole."""

import numpy as np
import pytest

from napari_semiseg.engine.planning.plan import Normalisation
from napari_semiseg.engine.sampling import model_image as module
from napari_semiseg.engine.sampling.intensity import normalise
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.sampling.model_image import fixed_normalisation, model_image
from napari_semiseg.engine.volumes import Geometry, large_arrays
from tests.engine.inference.known_answers import affine_of, make_plan

HOUNSFIELD = Normalisation(
    kind="ct", window=((-200.0, 300.0),) * 2, mean=(40.0, 10.0), deviation=(90.0, 60.0)
)


def scan(dtype=np.int16):
    return np.random.default_rng(0).normal(100, 400, (2, 21, 30, 26)).astype(dtype)


@pytest.mark.parametrize("how", [Normalisation(kind="scan"), HOUNSFIELD], ids=["scan", "ct"])
@pytest.mark.parametrize("axes", ["RAS", "PIR", "SLA"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.3, 1.4, 0.8)])
def test_slabs_give_the_same_image_as_the_whole_scan(monkeypatch, how, axes, spacing):
    voxels = scan()
    plan = make_plan(spacing=spacing, channels=2).model_copy(update={"normalisation": how})
    grid = ModelGrid.of(Geometry(voxels.shape[1:], affine_of(axes, (1, 1, 1)), None), spacing)
    whole = grid.resample_image(normalise(voxels, how))
    assert whole.shape == (2, *grid.shape)
    monkeypatch.setattr(large_arrays.slabs, "__defaults__", (0, 1500))
    monkeypatch.setattr(ModelGrid.resample_image, "__defaults__", (None, 3000))
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 1000)
    found = model_image(voxels, plan, grid)
    np.testing.assert_allclose(found, whole, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32])
def test_what_the_scan_needs_is_measured_once(monkeypatch, dtype):
    voxels = scan(np.float32).clip(0, 255).astype(dtype)
    fixed = fixed_normalisation(voxels, Normalisation(kind="scan"))
    assert fixed.kind == "ct"
    np.testing.assert_allclose(
        normalise(voxels, fixed), normalise(voxels, Normalisation(kind="scan")), atol=2e-5
    )


def test_a_fixed_window_stays_as_it_is():
    assert fixed_normalisation(scan(), HOUNSFIELD) is HOUNSFIELD


def test_a_scan_of_one_value_has_no_deviation_and_stays_finite():
    voxels = np.full((1, 4, 5, 6), 30_000, np.int16)
    fixed = module.fixed_normalisation(voxels, Normalisation(kind="scan"))
    assert fixed.deviation == (0.0,)
    assert not normalise(voxels, fixed).any()
