import itertools

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from napari_semiseg.engine.sampling.model_grid import ModelGrid
from napari_semiseg.engine.volumes import Geometry

ORIENTATIONS = [
    "".join(codes)
    for pairs in itertools.permutations([("R", "L"), ("A", "P"), ("S", "I")])
    for codes in itertools.product(*pairs)
]


def reoriented(codes, shape=(6, 8, 10), spacing=(1.0, 2.0, 3.0)):
    """Return a RAS image (x, y, z) and the same image stored with axes ``codes``."""
    base = nibabel.Nifti1Image(
        np.arange(np.prod(shape), dtype=np.float32).reshape(shape), np.diag([*spacing, 1.0])
    )
    ornt = nibabel.orientations.ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(codes))
    voxels = nibabel.orientations.apply_orientation(base.get_fdata(), ornt)
    affine = base.affine @ inv_ornt_aff(ornt, shape)
    return base.get_fdata(), voxels, affine


def geometry(voxels_xyz, affine):
    return Geometry(shape=voxels_xyz.shape[::-1], affine=affine, nifti=None)


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_every_orientation_is_turned_to_superior_anterior_right(codes):
    base, voxels, affine = reoriented(codes)
    grid = ModelGrid.of(geometry(voxels, affine), (3.0, 2.0, 1.0))
    np.testing.assert_array_equal(grid.turn(voxels.transpose(2, 1, 0)), base.transpose(2, 1, 0))
    assert grid.shape == (10, 8, 6)
    assert grid.spacing == pytest.approx((3.0, 2.0, 1.0))


@pytest.mark.parametrize("codes", ["RAS", "LPI", "ASR", "IPL"])
@pytest.mark.parametrize("spacing", [(3.0, 2.0, 1.0), (4.1, 2.0, 1.6)])
def test_maps_come_back_to_the_native_grid_of_any_orientation(codes, spacing):
    _, voxels, affine = reoriented(codes, shape=(16, 18, 20))
    z, y, x = np.meshgrid(*[np.linspace(0, 1, n) for n in voxels.shape[::-1]], indexing="ij")
    smooth = (z + 2 * y + 3 * x).astype(np.float32)
    grid = ModelGrid.of(geometry(voxels, affine), spacing)
    model = grid.resample_image(smooth[None])
    native = np.zeros(grid.native_shape, np.float32)
    for slab in grid.slabs_to_native(model, voxels=700):
        grid.turn(native)[slab.rows] = slab.values[0]
    inner = (slice(3, -3),) * 3
    np.testing.assert_allclose(native[inner], smooth[inner], atol=0.03)


def test_the_same_spacing_changes_no_voxel():
    _, voxels, affine = reoriented("RAS")
    native = voxels.transpose(2, 1, 0)
    grid = ModelGrid.of(geometry(voxels, affine), (3.0, 2.0, 1.0))
    np.testing.assert_array_equal(grid.resample_image(native[None])[0], native)


def test_labels_keep_their_values_and_their_volume_when_resampled():
    axes = np.meshgrid(*[np.arange(60) - 29.3] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    label = (radius < 25).astype(np.uint8) + (radius < 16)
    grid = ModelGrid.of(Geometry(label.shape, np.eye(4), None), (1.7, 1.7, 1.7))
    resampled = grid.resample_label(label, 3)
    assert set(np.unique(resampled)) == {0, 1, 2}
    for value in (1, 2):
        volume = (resampled == value).sum() * np.prod(grid.spacing)
        assert volume == pytest.approx((label == value).sum(), rel=0.05)


def test_ignored_voxels_stay_ignored():
    label = np.zeros((10, 10, 10), np.uint8)
    label[5:] = 255
    grid = ModelGrid.of(Geometry(label.shape, np.eye(4), None), (2.0, 2.0, 2.0))
    assert set(np.unique(grid.resample_label(label, 2))) == {0, 255}


def test_a_single_slice_stays_a_single_slice():
    geometry_2d = Geometry((1, 30, 40), np.diag([1.0, 1.0, 5.0, 1.0]), None)
    assert ModelGrid.of(geometry_2d, (1.0, 2.0, 2.0)).shape == (1, 15, 20)
