from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.volumes import Geometry, LabelVolume, Volume

GRID = Geometry((2, 3, 4), np.eye(4))


def test_channels_without_names_are_numbered():
    assert Volume(np.zeros((1, 2, 3, 4)), GRID).channel_names == ("image",)
    assert Volume(np.zeros((2, 2, 3, 4)), GRID).channel_names == ("channel 1", "channel 2")


def test_voxels_off_the_grid_are_refused():
    with pytest.raises(ValueError, match="grid"):
        Volume(np.zeros((1, 4, 3, 2)), GRID)
    with pytest.raises(ValueError, match="grid"):
        LabelVolume(np.zeros((4, 3, 2), np.uint8), GRID)


def test_each_channel_wants_one_name():
    with pytest.raises(ValueError, match="names"):
        Volume(np.zeros((2, 2, 3, 4)), GRID, channel_names=("T1",))


def test_a_label_is_stored_in_small_integers():
    with pytest.raises(ValueError, match="uint8"):
        LabelVolume(np.zeros((2, 3, 4), np.int64), GRID)
