import itertools

import numpy as np
import pytest

from napari_semiseg.engine.parts.voxel_faces import (
    distance_to_faces,
    distance_to_other_side,
    touches,
)


def offsets(mask, place, spacing):
    """Offsets in voxels and mm from ``place`` to every voxel of the other side, (n, axes) each."""
    steps = np.abs(np.argwhere(mask != mask[place]) - np.array(place))
    return steps, np.array(spacing)


def to_boxes(steps, spacing):
    """Exact distance to the nearest of the voxels' boxes."""
    return np.sqrt(((np.maximum(steps - 0.5, 0) * spacing) ** 2).sum(axis=1)).min()


def places(mask):
    return itertools.product(*(range(extent) for extent in mask.shape))


def random_mask(shape, seed):
    random = np.random.default_rng(seed)
    mask = random.random(shape) > random.choice([0.1, 0.5, 0.9])
    mask.flat[0], mask.flat[-1] = True, False
    return mask


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("spacing", [(5.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.8, 3.0, 2.0), (2.0, 0.5)])
def test_distances_to_faces_lie_near_the_exact_distance_to_the_boxes(seed, spacing):
    mask = random_mask((5, 6, 7)[: len(spacing)], seed)
    found = distance_to_faces(mask, ~mask, spacing)
    half_faces = [0.5 * np.linalg.norm(np.delete(spacing, axis)) for axis in range(len(spacing))]
    for place in places(mask):
        exact = to_boxes(*offsets(mask, place, spacing))
        assert exact - 1e-5 <= found[place] <= exact + max(half_faces) + 1e-5


def test_long_voxels_no_longer_add_millimetres():
    """Half the shortest voxel alone would be two millimetres short between slices of five."""
    mask = np.zeros((6, 8, 8), bool)
    mask[:3] = True
    found = distance_to_faces(mask, ~mask, (5.0, 1.0, 1.0))
    np.testing.assert_allclose(found[:, 4, 4], [12.5, 7.5, 2.5, 2.5, 7.5, 12.5])


def test_the_nearest_way_counts_where_a_structure_ends_in_two_directions():
    mask = np.zeros((3, 1, 9), bool)
    mask[1, 0, 4] = True
    found = distance_to_faces(mask, ~mask, (4.0, 1.0, 1.0))
    assert found[1, 0, 4] == pytest.approx(0.5)  # within the slice, not to the next one
    assert found[0, 0, 4] == pytest.approx(2.0)
    assert found[0, 0, 7] == pytest.approx(np.hypot(2.0, 3.0))


@pytest.mark.parametrize("seed", range(4))
def test_voxels_on_neither_side_bound_nothing(seed):
    mask = random_mask((5, 6, 7), seed)
    known = np.random.default_rng(seed).random(mask.shape) > 0.4
    known.flat[0] = known.flat[-1] = True
    inside, outside, spacing = mask & known, ~mask & known, np.array([3.0, 1.0, 0.7])
    found = distance_to_other_side(inside, outside, spacing)
    for place in places(mask):
        if known[place]:
            others = np.argwhere(known & (mask != mask[place]))
            expected = np.linalg.norm((others - np.array(place)) * spacing, axis=1).min()
            assert found[place] == pytest.approx(expected, rel=1e-5)


def test_voxels_touch_where_they_share_a_face():
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    others = np.zeros_like(mask)
    others[0, 1] = others[3, 3] = True
    expected = np.zeros_like(mask)
    expected[1, 1] = True  # the other one shares a corner only
    np.testing.assert_array_equal(touches(mask, others), expected)
