"""Maps go back to the scan's grid voxel by voxel, within their ranges."""

import numpy as np
import pytest

from napari_semiseg.engine.inference.native_grid import (
    most_probable_classes,
    own_maps,
    real_numbers,
)
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.volumes import Geometry
from tests.engine.inference.known_answers import affine_of

SHAPE = (6, 8, 10)


@pytest.fixture(params=[(1.0, 1.0, 1.0), (2.0, 1.0, 2.0)], ids=["same grid", "coarser grid"])
def grid(request):
    return ModelGrid.of(Geometry(SHAPE, affine_of("RAS", (1, 1, 1)), None), request.param)


def test_constants_stay_constant(grid):
    maps = np.stack([np.full(grid.shape, value, np.float32) for value in (0.25, -3.0)])
    expected = np.stack([np.full(SHAPE, value, np.float32) for value in (0.25, -3.0)])
    np.testing.assert_allclose(real_numbers(grid, maps), expected)
    np.testing.assert_array_equal(real_numbers(grid, maps, -1, 1)[1], np.full(SHAPE, -1))


def test_the_largest_probability_wins_and_gives_the_class_value(grid):
    probabilities = np.stack([np.full(grid.shape, value, np.float32) for value in (0.3, 0.3, 0.4)])
    found = most_probable_classes(grid, probabilities, (4, 200))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.full(SHAPE, 200))


@pytest.mark.parametrize(
    ("look", "expected"), [("share", (0, 1)), ("similarity", (-1, 1)), ("distance", (-7, 7))]
)
def test_numbers_stay_within_the_range_of_their_look(grid, look, expected):
    maps = np.stack([np.full(grid.shape, value, np.float32) for value in (-7, 7)])
    own = own_maps(grid, {"a": maps}, [NativeMap("a", "A", look, "foreground")], (1, 2))
    assert tuple(own["a"].array[:, 0, 0, 0]) == expected
    assert own["a"].array.shape == (2, *SHAPE)


def test_one_channel_loses_its_axis_and_what_was_not_made_is_left_out(grid):
    descriptions = [NativeMap("a", "A", "share"), NativeMap("b", "B", "share")]
    own = own_maps(grid, {"a": np.zeros((1, *grid.shape), np.float32)}, descriptions, (1,))
    assert list(own) == ["a"]
    assert own["a"].array.shape == SHAPE
