from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels, Points
from napari.utils.colormaps import DirectLabelColormap

from napari_semiseg.gui.viewer.planes.slice_pictures import can_be_cut, slice_picture

SPACING = (3.0, 2.0, 1.0)
SHAPE = (4, 5, 6)


def scan(**more):
    voxels = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE)
    return Image(voxels, scale=SPACING, contrast_limits=(0, 119), colormap="gray", **more)


def marked(dtype=np.uint8, **more):
    voxels = np.zeros(SHAPE, dtype)
    voxels[1:, 1:4, 2:5] = 1
    colours = {None: "transparent", 0: "transparent", 1: "red", 2: "#0000ff"}
    return Labels(
        voxels, scale=SPACING, colormap=DirectLabelColormap(color_dict=colours), opacity=1, **more
    )


@pytest.mark.parametrize(
    ("order", "index", "expected"),
    [((0, 1, 2), 2, np.s_[2]), ((1, 0, 2), 3, np.s_[:, 3]), ((2, 0, 1), 4, np.s_[:, :, 4])],
)
def test_grey_values_are_those_of_the_slice_within_the_contrast(order, index, expected):
    layer = scan()
    point = [0.0, 0.0, 0.0]
    point[order[0]] = index * SPACING[order[0]]
    picture = slice_picture(layer, order, point)
    shades = np.round(255 * layer.data[expected] / 119)
    np.testing.assert_allclose(picture.colours[..., 0], shades, atol=1)
    assert (picture.colours[..., 3] == 255).all()


def test_a_vertical_axis_that_comes_later_in_the_array_turns_the_slice():
    upright = slice_picture(scan(), (0, 2, 1), (0.0, 0.0, 0.0))
    np.testing.assert_array_equal(
        upright.colours[..., 0], slice_picture(scan(), (0, 1, 2), (0, 0, 0)).colours[..., 0].T
    )


def test_a_picture_lies_where_the_borders_of_its_voxels_are():
    picture = slice_picture(scan(translate=(10, 20, 30)), (0, 1, 2), (13.0, 0.0, 0.0))
    place = (picture.top, picture.left, picture.height, picture.width)
    assert place == (19.0, 29.5, 10.0, 6.0)


def test_beside_the_layer_there_is_no_picture():
    for z in (-2.0, 11.0):
        assert slice_picture(scan(), (0, 1, 2), (z, 0.0, 0.0)) is None


def test_opacity_gamma_and_blending_are_those_of_the_layer():
    faint = slice_picture(scan(opacity=0.4, gamma=2.0), (0, 1, 2), (6.0, 0.0, 0.0))
    assert (faint.colours[..., 3] == 102).all()
    plain = slice_picture(scan(), (0, 1, 2), (6.0, 0.0, 0.0))
    assert (faint.colours[..., 0] < plain.colours[..., 0]).all()
    assert slice_picture(scan(blending="additive"), (0, 1, 2), (0.0, 0.0, 0.0)).adds_up
    assert not plain.adds_up


def test_values_that_are_no_numbers_are_dark():
    layer = scan()
    layer.data[0, 0, 0] = np.nan
    assert slice_picture(layer, (0, 1, 2), (0.0, 0.0, 0.0)).colours[0, 0, 0] == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_classes_have_their_colours_and_the_background_is_clear(dtype):
    colours = slice_picture(marked(dtype), (0, 1, 2), (6.0, 0.0, 0.0)).colours
    np.testing.assert_array_equal(colours[2, 3], (255, 0, 0, 255))
    assert colours[0, 0, 3] == 0


def test_a_contour_leaves_the_inside_clear():
    layer = marked()
    layer.contour = 1
    alpha = slice_picture(layer, (0, 1, 2), (6.0, 0.0, 0.0)).colours[..., 3]
    assert alpha[2, 3] == 0
    assert np.count_nonzero(alpha) == 8


def test_only_the_selected_class_shows_where_the_layer_says_so():
    layer = marked()
    layer.data[2, 2, 3] = 2
    layer.selected_label, layer.show_selected_label = 2, True
    alpha = slice_picture(layer, (0, 1, 2), (6.0, 0.0, 0.0)).colours[..., 3]
    assert np.argwhere(alpha).tolist() == [[2, 3]]


def test_what_has_no_slices_is_passed_over():
    assert can_be_cut(scan())
    assert can_be_cut(marked())
    assert not can_be_cut(Points(np.zeros((1, 3))))
    assert not can_be_cut(Image(np.zeros((4, 5, 6, 3)), rgb=True))
    assert not can_be_cut(Image(np.zeros((5, 6))))
    assert not can_be_cut(scan(rotate=30))
