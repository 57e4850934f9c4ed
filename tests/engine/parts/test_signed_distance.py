import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion, distance_transform_edt

from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    begin_signed_distance_target,
    exact_distance,
    mask_probability,
    signed_distance_target,
)

PAPER = SignedDistanceOptions()
CLIPPED = SignedDistanceOptions("clip", "half_voxel", reach=5.0)


def ball(radius, size=33, dimensions=3):
    axes = np.meshgrid(*[np.arange(size) - size // 2] * dimensions, indexing="ij")
    return sum(axis**2 for axis in axes) <= radius**2


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_ball_gets_minus_one_in_its_middle_and_plus_one_far_away(dimensions):
    mask = ball(8, dimensions=dimensions)
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    target = signed_distance_target(labels, 2, (1.0,) * dimensions, PAPER)[0, 0].numpy()
    assert target.min() == pytest.approx(-1)
    assert target.max() == pytest.approx(1)
    assert (target[~mask] > 0).all()
    assert (target[mask] <= 0).all()


def test_the_papers_boundary_needs_a_threshold_that_includes_one_half():
    mask = ball(8)
    target = signed_distance_target(
        torch.from_numpy(mask.astype(np.int64))[None], 2, (1,) * 3, PAPER
    )
    back = mask_probability(target)[0, 0].numpy()
    assert ((back >= 0.5) == mask).all()
    eroded = back > 0.5
    dice = 2 * (eroded & mask).sum() / (eroded.sum() + mask.sum())
    assert dice == pytest.approx(0.83, abs=0.02)  # specification §4.7


def test_the_half_voxel_boundary_gives_the_mask_back_for_any_threshold():
    mask = ball(8)
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    back = mask_probability(signed_distance_target(labels, 2, (1,) * 3, CLIPPED))[0, 0].numpy()
    assert ((back > 0.5) == mask).all()
    assert ((back >= 0.5) == mask).all()


def test_empty_and_full_crops_are_far_outside_and_far_inside():
    labels = torch.stack([torch.zeros(6, 6, 6), torch.ones(6, 6, 6)]).long()
    target = signed_distance_target(labels, 3, (1.0, 1.0, 1.0), PAPER)
    assert (target[0] == 1).all()
    assert (target[1, 0] == -1).all()
    assert (target[1, 1] == 1).all()


def test_distances_to_centres_agree_with_scipy_on_anisotropic_voxels():
    random = np.random.default_rng(0)
    mask = random.random((12, 15, 18)) > 0.7
    spacing = (3.0, 1.0, 0.5)
    inside = distance_transform_edt(mask, sampling=spacing)
    outside = distance_transform_edt(~mask, sampling=spacing)
    border = mask & ~binary_erosion(mask, border_value=1)
    expected = np.where(border, 0, np.where(mask, -inside, outside))
    found = exact_distance(mask, spacing, half_voxel=False)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_zero_lies_on_the_faces_of_a_slab_whatever_the_length_of_its_voxels(axis):
    spacing = (5.0, 1.5, 0.7)
    mask = np.zeros((8, 8, 8), bool)
    mask[(slice(None),) * axis + (slice(3, 6),)] = True
    found = exact_distance(mask, spacing)
    centres = (np.arange(8) + 0.5) * spacing[axis]
    first, last = 3 * spacing[axis], 6 * spacing[axis]
    expected = np.maximum(first - centres, centres - last)
    line = found[tuple(slice(None) if other == axis else 4 for other in range(3))]
    np.testing.assert_allclose(line, expected, atol=1e-5)


def test_cubic_voxels_have_the_distance_to_the_nearest_centre_less_one_half():
    mask = ball(6, size=17)
    expected = np.where(
        mask, 0.5 - distance_transform_edt(mask), distance_transform_edt(~mask) - 0.5
    )
    np.testing.assert_allclose(exact_distance(mask, (1, 1, 1)), expected, atol=1e-5)


def test_unknown_voxels_are_on_neither_side():
    mask = np.zeros((1, 1, 12), bool)
    mask[..., :4] = True
    unknown = np.zeros_like(mask)
    unknown[..., 4:8] = True  # the border lies somewhere in here
    for half_voxel in (True, False):
        found = exact_distance(mask, (1, 1, 1), half_voxel, unknown)[0, 0]
        half = 0.5 if half_voxel else 0.0
        np.testing.assert_allclose(found[:4], -np.array([8, 7, 6, 5]) + half)
        np.testing.assert_allclose(found[8:], np.array([5, 6, 7, 8]) - half)
        assert (found[4:8] == 0).all()
    everything_else = ~mask
    assert np.isneginf(exact_distance(mask, (1, 1, 1), unknown=everything_else)).all()
    assert np.isposinf(exact_distance(mask, (1, 1, 1), unknown=mask)).all()


def test_targets_of_known_voxels_do_not_take_ignored_ones_for_the_outside():
    labels = torch.full((1, 1, 12), 255)
    labels[..., :3], labels[..., 9:] = 1, 0
    options = SignedDistanceOptions("clip", "half_voxel", reach=100.0)
    target = 100 * signed_distance_target(labels, 2, (1.0, 1.0), options)[0, 0, 0]
    torch.testing.assert_close(target[:3], torch.tensor([-8.5, -7.5, -6.5]))
    torch.testing.assert_close(target[9:], torch.tensor([6.5, 7.5, 8.5]))
    labels[labels == 0] = 255
    assert (signed_distance_target(labels, 2, (1.0, 1.0), PAPER)[..., :3] == -1).all()


@pytest.mark.parametrize("boundary", ["inner", "half_voxel"])
@pytest.mark.parametrize("unit", ["voxel", "mm"])
def test_distances_that_are_not_normalised_are_squashed_by_the_heads_tanh(boundary, unit):
    mask = np.zeros((1, 20), bool)
    mask[:, 5:15] = True
    spacing = (1.0, 2.0)
    options = SignedDistanceOptions("none", boundary, reach=6.0, unit=unit)
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    target = signed_distance_target(labels, 2, spacing, options)[0, 0].numpy()
    steps = spacing if unit == "mm" else (1.0, 1.0)
    distance = exact_distance(mask, steps, boundary == "half_voxel")
    np.testing.assert_allclose(target, np.tanh(distance / 6.0), rtol=1e-5)
    assert options.millimetres is None


def test_auto_counts_voxels_for_the_largest_distance_and_millimetres_for_a_reach():
    assert SignedDistanceOptions().in_voxels
    assert not SignedDistanceOptions("clip").in_voxels
    assert not SignedDistanceOptions("none").in_voxels
    assert not SignedDistanceOptions(unit="mm").in_voxels
    assert SignedDistanceOptions("clip", reach=7.0).millimetres == 7.0
    assert SignedDistanceOptions("clip", reach=7.0, unit="voxel").millimetres is None
    assert SignedDistanceOptions().millimetres is None


def test_the_largest_distance_can_be_one_in_millimetres():
    """With long voxels the farthest voxel of a side is another one."""
    mask = np.zeros((6, 12), bool)
    mask[0, :2] = True
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    spacing = (10.0, 1.0)
    in_voxels = signed_distance_target(labels, 2, spacing, SignedDistanceOptions())[0, 0]
    in_mm = signed_distance_target(labels, 2, spacing, SignedDistanceOptions(unit="mm"))[0, 0]
    assert in_voxels[0, 11] > in_voxels[5, 0]
    assert in_mm[0, 11] < in_mm[5, 0]
    assert in_voxels.max() == in_mm.max() == 1


def test_a_target_that_is_made_in_a_thread_is_the_same():
    labels = torch.from_numpy(ball(5, size=12).astype(np.int64))[None]
    pending = begin_signed_distance_target(labels, 3, (1.0, 1.0, 1.0), CLIPPED)
    expected = signed_distance_target(labels, 3, (1.0, 1.0, 1.0), CLIPPED)
    assert torch.equal(pending.result(), expected)


def test_clipped_targets_are_millimetres_over_the_reach():
    mask = np.zeros((1, 1, 40), bool)
    mask[..., 10:20] = True
    labels = torch.from_numpy(mask.astype(np.int64))[None]
    target = signed_distance_target(labels, 2, (1.0, 1.0, 0.5), CLIPPED)[0, 0, 0, 0].numpy()
    assert target[20] == pytest.approx(0.25 / 5)
    assert target[22] == pytest.approx(1.25 / 5)
    assert target[39] == pytest.approx(min(1.0, 9.75 / 5))
    assert target[10] == pytest.approx(-0.25 / 5)


def test_each_class_has_its_own_map():
    labels = torch.zeros(1, 10, 10, 10, dtype=torch.long)
    labels[:, 2:5] = 1
    labels[:, 6:9] = 2
    target = signed_distance_target(labels, 3, (1.0,) * 3, CLIPPED)[0]
    assert ((target[0] < 0) == (labels[0] == 1)).all()
    assert ((target[1] < 0) == (labels[0] == 2)).all()


def test_masks_of_no_and_of_every_voxel_have_infinite_distances():
    assert np.isposinf(exact_distance(np.zeros((3, 3, 3), bool), (1, 1, 1))).all()
    assert np.isneginf(exact_distance(np.ones((3, 3, 3), bool), (1, 1, 1))).all()


def test_the_mask_transform_is_one_inside_and_passes_gradients_near_zero():
    distance = torch.tensor([-0.5, -1e-4, 1e-4, 0.5], requires_grad=True)
    probability = mask_probability(distance)
    assert probability[0] > 0.999
    assert probability[3] < 0.001
    probability.sum().backward()
    assert distance.grad[1] < -100
    assert distance.grad[0] == 0
