from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.inference.maps import MAPS
from napari_semiseg.engine.methods.native_maps import LOOKS, NativeMap
from napari_semiseg.gui.viewer.colours import map_colormap


def test_every_shared_map_has_a_look_that_napari_can_draw():
    for item in MAPS.values():
        assert item.look in LOOKS
        assert item.look == "classes" or map_colormap(item)


@pytest.mark.parametrize("kind", ["uncertainty", "disagreement"])
def test_a_clear_table_hides_nothing_at_zero_and_is_never_as_pale_as_bright_tissue(kind):
    colours = map_colormap(MAPS[kind]).map(np.linspace(0, 1, 101))
    assert colours[0, 3] == 0
    assert (np.diff(colours[:, 3]) >= 0).all()
    assert (colours[50:, 3] > 0.98).all()
    assert colours[:, :3].min(axis=1).max() < 0.6
    lightness = colours[:, :3] @ (0.2126, 0.7152, 0.0722)
    assert (np.diff(lightness) > -1e-3).all(), "higher is brighter"


def test_napari_keeps_its_own_tables():
    from napari.utils.colormaps import ensure_colormap

    map_colormap(MAPS["uncertainty"])
    np.testing.assert_allclose(ensure_colormap("magma").map([0.0])[0, 3], 1)


@pytest.mark.parametrize(
    ("look", "limit", "expected"),
    [
        ("share", 1.0, ("magma", (0, 1), True)),
        ("share", 0.5, ("magma", (0, 0.5), True)),
        ("distance", 15.0, ("PiYG", (-15, 15), False)),
        ("similarity", 1.0, ("viridis", (-1, 1), False)),
    ],
)
def test_a_map_of_a_methods_own_is_drawn_as_what_it_is(look, limit, expected):
    drawn = NativeMap("a", "A map", look, limit=limit, unit="mm")
    assert (drawn.colours, drawn.limits, drawn.drawn.clear) == expected


def test_a_look_of_another_version_is_drawn_as_a_share():
    drawn = NativeMap("a", "A map", "of the future", limit=2.0)
    assert (drawn.colours, drawn.limits) == ("magma", (0.0, 2.0))
