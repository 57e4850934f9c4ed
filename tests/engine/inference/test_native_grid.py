"""Maps go back to the scan's grid voxel by voxel, within their ranges."""

import numpy as np
import pytest

from napari_semiseg.engine.inference.native_grid import NativeMaps
from napari_semiseg.engine.inference.windows import BlendedRows
from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.volumes import Geometry
from tests.engine.inference.known_answers import affine_of

SHAPE = (6, 8, 10)


@pytest.fixture(params=[(1.0, 1.0, 1.0), (2.0, 1.0, 2.0)], ids=["same grid", "coarser grid"])
def grid(request):
    return ModelGrid.of(Geometry(SHAPE, affine_of("RAS", (1, 1, 1)), None), request.param)


def gather(grid, maps, class_values=(1, 2), own=()):
    """Hand constant maps, key to values of the channels, to `NativeMaps` in two parts."""
    channels = {key: len(values) for key, values in maps.items()}
    stack = np.concatenate([np.array(values, np.float32) for values in maps.values()])
    rows = np.broadcast_to(stack[:, None, None, None], (len(stack), *grid.shape))
    native = NativeMaps(grid, class_values, own)
    for part in (rows[:, :1], rows[:, :0], rows[:, 1:]):
        native.add(BlendedRows(1.0, part, channels))
    return native


def test_constants_stay_constant_within_the_range_of_their_kind(grid):
    arrays = gather(grid, {"probabilities": (0.4, 0.6), "similarity": (0.25, -3.0)}, (9,)).arrays
    np.testing.assert_allclose(arrays["similarity"][0], np.full(SHAPE, 0.25))
    np.testing.assert_array_equal(arrays["similarity"][1], np.full(SHAPE, -1))
    assert arrays["similarity"].dtype == np.float32


def test_the_largest_probability_wins_and_gives_the_class_value(grid):
    arrays = gather(grid, {"probabilities": (0.3, 0.3, 0.4)}, (4, 200)).arrays
    assert arrays["prediction"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["prediction"], np.full(SHAPE, 200))


@pytest.mark.parametrize(
    ("look", "expected"), [("share", (0, 1)), ("similarity", (-1, 1)), ("distance", (-7, 7))]
)
def test_numbers_stay_within_the_range_of_their_look(grid, look, expected):
    description = NativeMap("a", "A", look, "foreground")
    own = gather(grid, {"a": (-7, 7)}, own=[description]).own_maps()
    assert tuple(own["a"].array[:, 0, 0, 0]) == expected
    assert own["a"].array.shape == (2, *SHAPE)


def test_one_channel_loses_its_axis_and_what_was_not_made_is_left_out(grid):
    descriptions = [NativeMap("a", "A", "share"), NativeMap("b", "B", "share")]
    native = gather(grid, {"a": (0,), "uncertainty": (0.5,)}, own=descriptions)
    assert list(native.own_maps()) == ["a"]
    assert native.own_maps()["a"].array.shape == SHAPE
    assert native.shared_maps()["uncertainty"].shape == SHAPE
    assert "disagreement" not in native.shared_maps()


def test_a_map_of_classes_of_the_methods_own_holds_class_values(grid):
    description = NativeMap("a", "A", "classes", "classes")
    array = gather(grid, {"a": (0.1, 0.2, 0.7)}, (5, 6), [description]).own_maps()["a"].array
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.full(SHAPE, 6))
