"""Windows cover a scan evenly, and blending them changes nothing that they agree on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_semiseg.engine.inference import maps
from napari_semiseg.engine.inference.windows import gaussian_weights, slide, window_starts
from tests.engine.inference.known_answers import Threshold, finish, make_plan


@settings(max_examples=300, deadline=None, derandomize=True)
@given(extent=st.integers(1, 600), patch=st.integers(1, 200))
def test_windows_cover_the_axis_evenly_and_overlap_by_half(extent, patch):
    starts = window_starts(extent, patch)
    assert starts[0] == 0
    assert starts[-1] == max(0, extent - patch)
    steps = np.diff(starts)
    if len(steps):
        assert steps.min() >= 1
        assert steps.max() <= max(1, patch // 2)
        assert steps.max() - steps.min() <= 1


@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.75])
def test_the_overlap_can_be_chosen(overlap):
    steps = np.diff(window_starts(103, 20, overlap))
    assert steps.max() <= 20 * (1 - overlap)
    assert 20 - steps.min() >= 20 * overlap


def test_a_scan_smaller_than_a_window_needs_one():
    assert window_starts(5, 8) == window_starts(8, 8) == [0]


@pytest.mark.parametrize("patch", [(8, 8, 8), (1, 6, 7), (9, 4, 5)])
def test_weights_are_largest_in_the_centre_symmetric_and_never_zero(patch):
    weights = gaussian_weights(patch)
    assert weights.shape == patch
    assert weights.min() > 0
    assert weights.max() == weights[tuple(extent // 2 for extent in patch)]
    for axis in range(3):
        np.testing.assert_allclose(weights, np.flip(weights, axis), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "patch"),
    [
        ((8, 8, 8), (8, 8, 8)),
        ((19, 23, 9), (8, 8, 8)),
        ((5, 23, 3), (8, 8, 8)),
        ((2, 2, 2), (8, 8, 8)),
        ((1, 20, 13), (1, 8, 8)),
        ((6, 20, 5), (1, 8, 8)),
    ],
)
def test_a_constant_answer_stays_constant_everywhere(shape, patch):
    method = Threshold(make_plan(patch))
    image = np.ones((1, *shape), np.float32)
    shares, blended = finish(slide(method, image))
    np.testing.assert_allclose(blended.probabilities[1], np.ones(shape), rtol=1e-6)
    np.testing.assert_allclose(blended.probabilities[0], np.zeros(shape))
    np.testing.assert_allclose(blended.uncertainty, np.full((1, *shape), 0.25), rtol=1e-6)
    np.testing.assert_allclose(blended.similarity[1], np.ones(shape), rtol=1e-5)
    assert blended.signed_distance.shape == (0, *shape)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_an_answer_that_depends_on_the_voxel_alone_is_exact_after_blending():
    image = np.random.default_rng(0).random((1, 21, 10, 15)).astype(np.float32)
    _, blended = finish(slide(Threshold(make_plan(), head=True), image))
    np.testing.assert_array_equal(blended.probabilities.argmax(0), image[0] > 0.5)
    np.testing.assert_array_equal(blended.signed_distance[0] < 0, image[0] > 0.5)


def test_every_window_has_the_training_patchs_size_and_batches_are_bounded():
    plan = make_plan((8, 8, 8)).model_copy(update={"window_batch": 3})
    method = Threshold(plan)
    finish(slide(method, np.zeros((1, 5, 30, 12), np.float32)))
    assert {shape[1:] for shape in method.seen} == {(1, 8, 8, 8)}
    assert max(shape[0] for shape in method.seen) <= 3


def test_a_2d_network_sees_slices_without_a_third_axis():
    method = Threshold(make_plan((1, 8, 8), channels=2))
    finish(slide(method, np.zeros((2, 3, 9, 9), np.float32)))
    assert {shape[1:] for shape in method.seen} == {(2, 8, 8)}


def test_maps_that_nobody_wants_are_not_made():
    _, blended = finish(slide(Threshold(make_plan()), np.ones((1, 8, 8, 8)), False, False))
    assert len(blended.uncertainty) == len(blended.similarity) == 0


def test_without_prototypes_there_is_no_similarity():
    method = Threshold(make_plan())
    method.prototypes = None
    _, blended = finish(slide(method, np.ones((1, 8, 8, 8), np.float32)))
    assert len(blended.similarity) == 0


def test_large_scans_are_blended_in_a_file_with_the_same_result(monkeypatch):
    image = np.random.default_rng(0).random((1, 21, 10, 15)).astype(np.float32)
    _, expected = finish(slide(Threshold(make_plan()), image))
    monkeypatch.setattr(maps, "IN_MEMORY", 1000)
    _, found = finish(slide(Threshold(make_plan()), image))
    assert isinstance(found.probabilities, np.memmap)
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    np.testing.assert_array_equal(found.similarity, expected.similarity)
