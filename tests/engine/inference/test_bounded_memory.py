"""A scan that goes through in small slabs and files is predicted as one that is held in memory."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_semiseg.engine.inference import distance_maps, native_grid
from napari_semiseg.engine.inference.canvas import gaussian_weights
from napari_semiseg.engine.inference.maps import MAP_KINDS
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.inference.windows import window_starts
from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.plan import Normalisation
from napari_semiseg.engine.sampling.intensity import normalise
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.volumes import large_arrays
from tests.engine.inference.known_answers import finish, make_plan, make_volume

pytestmark = pytest.mark.trains

CLASSES = (1, 2, 5, 9)


def make_method(spacing):
    """Return a method of five classes whose network has random weights.

    In float32: what such a network says is so near a tie everywhere that bfloat16 decides otherwise
    when windows come in other batches.
    """
    machine = replace(describe_machine("cpu"), precision="32-true")
    torch.manual_seed(0)
    network = NetworkSpecification(filters=4, classes=5, strides=((2, 2, 2),) * 2)
    plan = make_plan((16, 16, 16), spacing, CLASSES).model_copy(
        update={"normalisation": Normalisation(kind="scan"), "network": network}
    )
    method = assemble("supervised", plan, method_of("supervised").Settings(), machine)
    method.prototypes = torch.randn(5, 4)
    return method


def scan():
    """Return voxels (z, y, x) of smooth blobs in wide air."""
    random = np.random.default_rng(0)
    voxels = random.normal(20, 1, (50, 44, 38))
    for value, corner in ((300, (6, 8, 10)), (500, (18, 20, 14)), (900, (26, 12, 18))):
        voxels[tuple(slice(start, start + 14) for start in corner)] = value
    return voxels


def predict_plainly(method, volume):
    """Predict with whole arrays and every window; return the class values (z, y, x)."""
    grid = ModelGrid.of(volume.geometry, method.plan.spacing)
    image = grid.resample_image(normalise(volume.voxels, method.plan.normalisation))
    patch = method.plan.patch
    sums, weights = np.zeros((5, *image.shape[1:])), gaussian_weights(patch)
    starts = [window_starts(n, size) for n, size in zip(image.shape[1:], patch, strict=True)]
    for place in itertools.product(*starts):
        box = tuple(slice(start, start + size) for start, size in zip(place, patch, strict=True))
        window = torch.from_numpy(image[(slice(None), *box)].copy())[None]
        answer = method.predict(window, uncertainty=False).probabilities[0].float().numpy()
        sums[(slice(None), *box)] += answer * weights
    native = torch.nn.functional.interpolate(
        torch.from_numpy(sums / sums.sum(axis=0))[None], grid.turned_shape, mode="trilinear"
    )[0]
    predicted = np.empty(grid.native_shape, np.uint8)
    grid.turn(predicted)[...] = np.array([0, *CLASSES], np.uint8)[native.argmax(0).numpy()]
    return predicted


@pytest.fixture
def tiny(monkeypatch):
    """Make everything large: arrays go to files and slabs have a few slices."""

    def shrink():
        monkeypatch.setattr(large_arrays, "IN_MEMORY", 1000)
        monkeypatch.setattr(large_arrays.slabs, "__defaults__", (0, 9000))
        monkeypatch.setattr(ModelGrid.resample_image, "__defaults__", (None, 9000))
        monkeypatch.setattr(native_grid.NativeMaps.__init__, "__defaults__", ((), 30_000))

    return shrink


@pytest.mark.parametrize("axes", ["RAS", "PIR"])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (1.7, 1.4, 1.5)])
def test_small_slabs_change_less_than_one_voxel_in_ten_thousand(tiny, axes, spacing):
    method, volume = make_method(spacing), make_volume(scan(), axes)
    expected = predict_plainly(method, volume)
    assert len(np.unique(expected)) > 2
    whole = finish(predict_case(method, "a", volume, MAP_KINDS, skip_air=False))[1]
    assert (whole.prediction != expected).mean() < 1e-4
    tiny()
    found = finish(predict_case(method, "a", volume, MAP_KINDS, skip_air=False))[1]
    assert (found.prediction != expected).mean() < 1e-4
    assert isinstance(found.uncertainty.base, np.memmap)
    np.testing.assert_allclose(found.uncertainty, whole.uncertainty, atol=1e-4)
    np.testing.assert_allclose(found.similarity, whole.similarity, atol=1e-4)


def test_distances_of_a_scan_in_slabs_are_those_of_the_prediction(monkeypatch, tiny):
    method, volume = make_method((1.0, 1.0, 1.0)), make_volume(scan())
    whole = finish(predict_case(method, "a", volume, ("signed_distance",)))[1]
    tiny()
    monkeypatch.setattr(distance_maps.fill_distances, "__defaults__", (80_000,))
    found = finish(predict_case(method, "a", volume, ("signed_distance",)))[1]
    same = (found.prediction == whole.prediction).all()
    near = np.abs(whole.signed_distance) <= distance_maps.EXACT_MM
    assert same
    np.testing.assert_array_equal(found.signed_distance[near], whole.signed_distance[near])
