import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt

from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
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


def test_distances_agree_with_scipy_on_anisotropic_voxels():
    random = np.random.default_rng(0)
    mask = random.random((12, 15, 18)) > 0.7
    spacing = (3.0, 1.0, 0.5)
    inside = distance_transform_edt(mask, sampling=spacing)
    outside = distance_transform_edt(~mask, sampling=spacing)
    expected = np.where(mask, -(inside - 0.25), outside - 0.25)
    np.testing.assert_allclose(exact_distance(mask, spacing), expected, atol=1e-5)


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
