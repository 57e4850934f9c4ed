"""Windows cover a scan evenly, and blending them changes nothing that they agree on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_semiseg.engine.inference.air import AirBlocks
from napari_semiseg.engine.inference.canvas import gaussian_weights
from napari_semiseg.engine.inference.maps import every_kind
from napari_semiseg.engine.inference.windows import blend, slide, split, window_starts
from napari_semiseg.engine.parts.prototypes import cosine_similarity_map
from napari_semiseg.engine.volumes import large_arrays
from tests.engine.inference.known_answers import (
    CoarseFeatures,
    Threshold,
    TwoAnswers,
    finish,
    make_plan,
)


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
    np.testing.assert_allclose(blended["probabilities"][1], np.ones(shape), rtol=1e-6)
    np.testing.assert_allclose(blended["probabilities"][0], np.zeros(shape))
    np.testing.assert_allclose(blended["uncertainty"], np.full((1, *shape), 0.25), rtol=1e-6)
    np.testing.assert_allclose(blended["similarity"][1], np.ones(shape), rtol=1e-5)
    assert list(blended) == ["probabilities", "uncertainty", "similarity"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_an_answer_that_depends_on_the_voxel_alone_is_exact_after_blending():
    image = np.random.default_rng(0).random((1, 21, 10, 15)).astype(np.float32)
    _, blended = finish(slide(Threshold(make_plan(), head=True), image))
    np.testing.assert_array_equal(blended["probabilities"].argmax(0), image[0] > 0.5)
    np.testing.assert_array_equal(blended["signed_distance"][0] < 0, image[0] > 0.5)


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


@pytest.mark.parametrize(
    ("shape", "patch"), [((19, 9, 5), (8, 8, 8)), ((3, 20, 5), (1, 8, 8)), ((2, 2, 2), (8, 8, 8))]
)
def test_constant_maps_of_the_methods_own_stay_constant_everywhere(shape, patch):
    method = TwoAnswers(make_plan(patch), thresholds=(0.5,))
    image = np.full((1, *shape), 0.6, np.float32)  # above the first threshold, below the second
    _, blended = finish(slide(method, image, every_kind()))
    np.testing.assert_allclose(blended["disagreement"], np.ones((1, *shape)), rtol=1e-6)
    constants = {
        "second_answer": (1, 0),
        "mask": (0,),
        "border": (6,),
        "likeness": (1, -1),
        "kept": (0.75,),
    }
    assert list(blended)[-len(constants) :] == list(constants)
    for key, values in constants.items():
        expected = np.stack([np.full(shape, value) for value in values])
        np.testing.assert_allclose(blended[key], expected, rtol=1e-6, err_msg=key)


@pytest.mark.parametrize("kinds", [(), ("prediction",)])
def test_maps_that_nobody_wants_are_not_made(kinds):
    method = TwoAnswers(make_plan(), head=True)
    _, blended = finish(slide(method, np.ones((1, 8, 8, 8), np.float32), kinds))
    assert list(blended) == ["probabilities"]


@pytest.mark.parametrize(
    ("kinds", "uncertainty", "native"),
    [
        ((), False, False),
        (("similarity", "signed_distance"), False, False),
        (("prediction", "uncertainty"), True, False),
        (("disagreement",), True, False),
        (("native",), False, True),
    ],
)
def test_a_method_is_asked_for_no_more_than_is_wanted(monkeypatch, kinds, uncertainty, native):
    method, asked = TwoAnswers(make_plan()), []
    plain = method.predict

    def predict(patch, uncertainty=True, native=False):
        asked.append((uncertainty, native))
        return plain(patch, uncertainty, native)

    monkeypatch.setattr(method, "predict", predict)
    finish(slide(method, np.ones((1, 8, 8, 8), np.float32), kinds))
    assert asked == [(uncertainty, native)]


def test_a_map_of_its_own_cannot_take_the_name_of_a_shared_one(monkeypatch):
    own = (replace(TwoAnswers.native_maps[0], key="similarity"),)
    monkeypatch.setattr(TwoAnswers, "native_maps", own)
    with pytest.raises(ValueError, match=r"Two answers .*similarity"):
        next(slide(TwoAnswers(make_plan()), np.ones((1, 8, 8, 8)), every_kind()))


def test_without_prototypes_there_is_no_similarity():
    method = Threshold(make_plan())
    method.prototypes = None
    _, blended = finish(slide(method, np.ones((1, 8, 8, 8), np.float32)))
    assert "similarity" not in blended


def test_prototypes_of_other_features_give_no_similarity_but_the_rest():
    method = Threshold(make_plan())
    method.prototypes = torch.ones(2, 7)
    _, blended = finish(slide(method, np.ones((1, 8, 8, 8), np.float32)))
    assert "similarity" not in blended
    assert "uncertainty" in blended


@pytest.mark.parametrize("patch", [(8, 12, 8), (1, 8, 12)])
def test_coarse_features_give_the_similarity_of_interpolated_ones(patch):
    method = CoarseFeatures(make_plan(patch))
    method.prototypes = torch.tensor([[0.3, -1.0, 0.2, 0.5], [1.0, 0.7, -0.4, 0.1]])
    image = np.random.default_rng(0).normal(size=(1, *patch)).astype(np.float32)
    _, blended = finish(slide(method, image))
    window = torch.from_numpy(image).reshape(1, 1, *method.plan.spatial)
    mode = "bilinear" if window.dim() == 4 else "trilinear"
    features = torch.nn.functional.interpolate(
        method.predict(window).features, method.plan.spatial, mode=mode
    )
    expected = cosine_similarity_map(features, method.prototypes)
    np.testing.assert_allclose(
        blended["similarity"], expected.reshape(2, *patch).numpy(), atol=1e-5, rtol=0
    )


def test_a_class_never_seen_is_like_nothing_with_coarse_features_too():
    method = CoarseFeatures(make_plan())
    method.prototypes = torch.tensor([[0.3, -1.0, 0.2, 0.5], [0.0, 0.0, 0.0, 0.0]])
    _, blended = finish(slide(method, np.ones((1, 9, 8, 8), np.float32)))
    np.testing.assert_allclose(blended["similarity"][1], np.full((9, 8, 8), -1), rtol=1e-6)


def test_large_scans_are_blended_in_a_file_with_the_same_result(monkeypatch):
    image = np.random.default_rng(0).random((1, 21, 10, 15)).astype(np.float32)
    _, expected = finish(slide(Threshold(make_plan()), image))
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 1000)
    _, found = finish(slide(Threshold(make_plan()), image))
    assert isinstance(found["probabilities"], np.memmap)
    np.testing.assert_array_equal(found["probabilities"], expected["probabilities"])
    np.testing.assert_array_equal(found["similarity"], expected["similarity"])


def gathered(method, image, **how):
    rows = [
        (part.share, part.values.copy())
        for part in blend(method, np.asarray(image, np.float32), every_kind(), **how)
    ]
    return np.concatenate([values for _, values in rows], axis=1), [share for share, _ in rows]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(21, 30, 25), (5, 23, 9), (8, 8, 8), (40, 3, 8)])
def test_walking_along_any_axis_gives_the_same_maps_row_by_row(axis, shape):
    image = np.random.default_rng(0).random((1, *shape)).astype(np.float32)
    method = TwoAnswers(make_plan((8, 6, 10)), head=True)
    expected = finish(slide(method, image, every_kind()))[1]
    found, shares = gathered(method, image, axis=axis)
    found = np.moveaxis(found, 1, 1 + axis)
    np.testing.assert_allclose(found[:2], expected["probabilities"], atol=1e-6)
    np.testing.assert_allclose(found[-1:], expected["kept"], atol=1e-6)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_only_a_few_rows_are_held_at_a_time():
    method = Threshold(make_plan((8, 8, 8)).model_copy(update={"window_batch": 2}))
    image = np.random.default_rng(0).random((1, 100, 16, 16)).astype(np.float32)
    rows = [part.values.shape[1] for part in blend(method, image)]
    assert sum(rows) == 100
    assert max(rows) <= 8


def image_with_air(shape=(60, 32, 48)):
    """Return noise around a ball that is in the lower third of the scan."""
    image = np.random.default_rng(0).normal(0, 0.005, (1, *shape)).astype(np.float32)
    image[0, 8:20, 10:22, 18:30] = 1.0
    return image


@pytest.mark.parametrize("axis", [0, 2])
def test_windows_in_the_air_are_background_without_being_looked_at(axis):
    image = image_with_air()
    everywhere, there = TwoAnswers(make_plan(), head=True), TwoAnswers(make_plan(), head=True)
    whole, _ = gathered(everywhere, image, axis=axis)
    found, shares = gathered(there, image, axis=axis, air=AirBlocks.of(image))
    assert sum(shape[0] for shape in there.seen) < 0.6 * sum(shape[0] for shape in everywhere.seen)
    assert found.shape == whole.shape
    np.testing.assert_allclose(found[0], whole[0], atol=1e-6)
    assert (found[-1] == 0).any()  # a share where nobody looked
    assert shares[-1] == 1.0


def test_maps_say_background_where_nobody_looked():
    image, method = image_with_air(), TwoAnswers(make_plan(), head=True)
    for rows in blend(method, image, every_kind(), air=AirBlocks.of(image)):
        if rows.values.shape[1]:
            corner = rows.values[:, -1, 0, 0].copy()
    far = split(corner, rows.channels)
    assert far["probabilities"].tolist() == [1, 0]
    assert far["uncertainty"] == far["disagreement"] == far["kept"] == far["mask"] == 0
    assert far["similarity"].tolist() == far["likeness"].tolist() == [1, -1]
    assert far["signed_distance"] == 1
    assert far["border"] == 12
