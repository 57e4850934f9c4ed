"""Surfaces and the distances between them, on shapes whose answer can be counted."""

import numpy as np
import pytest

from napari_semiseg.engine.evaluation.surfaces import directed_distances, surface


def box(start: int, stop: int, extent: int = 20) -> np.ndarray:
    mask = np.zeros((extent,) * 3, bool)
    mask[(slice(start, stop),) * 3] = True
    return mask


def test_the_surface_of_a_cube_is_its_shell() -> None:
    shell = surface(box(4, 10))
    assert shell.sum() == 6**3 - 4**3
    assert not shell[5:9, 5:9, 5:9].any()


def test_the_border_of_the_array_is_surface() -> None:
    assert surface(np.ones((4, 5, 6), bool)).sum() == 4 * 5 * 6 - 2 * 3 * 4


def test_diagonal_neighbours_do_not_make_a_surface() -> None:
    mask = np.ones((5, 5, 5), bool)
    mask[1, 1, 1] = False
    assert not surface(mask)[2, 2, 2]
    assert surface(mask)[1, 1, 2]


def test_corners_lie_farthest_and_every_axis_has_its_own_spacing() -> None:
    forth, back = directed_distances(box(6, 10), box(4, 12), (3.0, 4.0, 12.0))
    assert forth.size == 4**3 - 2**3
    assert back.size == 8**3 - 6**3
    assert back.max() == pytest.approx(np.linalg.norm([6, 8, 24]))


def test_a_mask_has_no_distance_to_itself() -> None:
    for distances in directed_distances(box(6, 10), box(6, 10), (1.0, 2.0, 3.0)):
        assert not distances.any()


def test_outlines_of_a_plane_are_measured_in_two_dimensions() -> None:
    small, large = box(6, 10)[8], box(4, 12)[8]
    forth, _ = directed_distances(small, large, (0.5, 0.5))
    assert forth.tolist() == [1.0] * 12
