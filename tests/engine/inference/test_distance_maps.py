"""Distances are exact near the boundary, whatever the size of the scan."""

import numpy as np
import pytest

from napari_semiseg.engine.inference import distance_maps
from napari_semiseg.engine.inference.distance_maps import COARSE, fill_distances
from napari_semiseg.engine.parts.signed_distance import exact_distance


def filled(mask, spacing, at_once):
    distances = np.empty(mask.shape, np.float32)
    fill_distances(distances, lambda rows: mask[rows], spacing, at_once)
    return distances


def structures(shape=(70, 40, 50)):
    mask = np.zeros(shape, bool)
    mask[5:21, 6:30, 8:40] = True
    mask[60:63, 30:34, 3:6] = True
    return mask


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.8)])
def test_a_scan_in_slabs_is_exact_near_boundaries_and_close_beyond(monkeypatch, spacing):
    monkeypatch.setattr(distance_maps, "EXACT_MM", 6.0)
    mask = structures()
    exact = exact_distance(mask, spacing)
    found = filled(mask, spacing, 40 * 50 * 20)
    near = np.abs(exact) <= 6.0
    np.testing.assert_array_equal(found[near], exact[near])
    np.testing.assert_array_equal(np.signbit(found), np.signbit(exact))
    block = COARSE * np.linalg.norm(spacing)
    assert np.abs(found - exact).max() <= 1.5 * block
    assert not np.array_equal(found, exact)


@pytest.mark.parametrize("at_once", [2_000, 40_000])
def test_slabs_of_any_depth_give_the_same_distances(monkeypatch, at_once):
    monkeypatch.setattr(distance_maps, "EXACT_MM", 5.0)
    mask = structures()
    expected = filled(mask, (1, 1, 1), mask.size - 1)
    np.testing.assert_array_equal(filled(mask, (1, 1, 1), at_once), expected)


def test_a_scan_that_fits_into_a_slab_is_exact_everywhere():
    mask = structures()
    np.testing.assert_array_equal(
        filled(mask, (1, 1, 1), mask.size), exact_distance(mask, (1, 1, 1))
    )


@pytest.mark.parametrize("at_once", [1000, 10**6])
@pytest.mark.parametrize(("value", "sign"), [(False, 1), (True, -1)])
def test_nowhere_and_everywhere_are_as_far_as_the_scans_diagonal(at_once, value, sign):
    mask = np.full((20, 12, 16), value)
    found = filled(mask, (2, 1, 1), at_once)
    np.testing.assert_allclose(found, sign * np.linalg.norm((40, 12, 16)), rtol=1e-6)
