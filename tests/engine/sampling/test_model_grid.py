import itertools

import nibabel
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, inv_ornt_aff

from napari_semiseg.engine.sampling.model_grid import ModelGrid, WayBack
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
@pytest.mark.parametrize("spacing", [(3.0, 2.0, 1.0), (4.1, 2.0, 1.6), (2.2, 1.5, 0.7)])
@pytest.mark.parametrize("step", [1, 3, 100])
def test_maps_come_back_to_the_native_grid_of_any_orientation(codes, spacing, step):
    _, voxels, affine = reoriented(codes, shape=(16, 18, 20))
    z, y, x = np.meshgrid(*[np.linspace(0, 1, n) for n in voxels.shape[::-1]], indexing="ij")
    smooth = (z + 2 * y + 3 * x).astype(np.float32)
    grid = ModelGrid.of(geometry(voxels, affine), spacing)
    model = grid.resample_image(smooth[None])
    native = np.zeros(grid.native_shape, np.float32)
    rows, way_back = grid.slices_first(model), WayBack(grid, 700)
    for first in range(0, rows.shape[1], step):
        for slab in way_back.add(rows[:, first : first + step]):
            slab.place(grid, native, slab.values[0].numpy())
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


@pytest.mark.parametrize("coarsening", [1.5, 1.9, 2.0, 2.4, 3.0])
def test_slices_that_are_labelled_one_by_one_survive_a_coarser_grid(coarsening):
    label = np.full((60, 30, 30), 255, np.uint8)
    label[5::10] = 0
    label[5::10, 10:20, 10:20] = 1
    grid = ModelGrid.of(Geometry(label.shape, np.eye(4), None), (coarsening,) * 3)
    resampled = grid.resample_label(label, 2)
    middle = resampled.shape[1] // 2
    for done in range(5, 60, 10):
        around = resampled[[int(done / grid.spacing[0]), int((done + 0.99) / grid.spacing[0])]]
        assert 1 in around[:, middle, middle]
        assert 0 in around[:, 1, 1]
    assert (resampled == 255).mean() > 0.5
    inside = (resampled == 1).sum() / (resampled != 255).sum()
    assert inside == pytest.approx(1 / 9, abs=0.03)


def test_a_single_slice_stays_a_single_slice():
    geometry_2d = Geometry((1, 30, 40), np.diag([1.0, 1.0, 5.0, 1.0]), None)
    assert ModelGrid.of(geometry_2d, (1.0, 2.0, 2.0)).shape == (1, 15, 20)


@pytest.mark.parametrize("step", [1, 2, 5, 50])
@pytest.mark.parametrize("spacing", [(0.6, 1.0, 1.0), (1.0, 1.0, 1.0), (2.9, 1.3, 1.0)])
def test_rows_that_come_in_parts_give_the_same_slices_as_all_at_once(step, spacing):
    grid = ModelGrid.of(Geometry((23, 8, 9), np.eye(4), None), spacing)
    maps = np.random.default_rng(0).random((3, *grid.shape)).astype(np.float32)
    (whole,) = WayBack(grid).add(maps)
    way_back = WayBack(grid)
    parts = [
        slab
        for first in range(0, grid.shape[0], step)
        for slab in way_back.add(maps[:, first : first + step])
    ]
    rows = np.concatenate([np.arange(23)[part.rows] for part in parts])
    np.testing.assert_array_equal(rows, np.arange(23))
    found = np.concatenate([part.values for part in parts], axis=1)
    np.testing.assert_allclose(found, whole.values, rtol=1e-6)


@pytest.mark.parametrize("spacing", [(2.9, 1.3, 1.0), (0.6, 2.0, 0.7), (5.0, 4.0, 3.1)])
def test_the_size_of_the_slabs_changes_not_a_single_bit_of_an_image(spacing):
    grid = ModelGrid.of(Geometry((45, 38, 51), np.eye(4), None), spacing)
    image = np.random.default_rng(0).normal(size=(2, 45, 38, 51)).astype(np.float32)
    whole = grid.resample_image(image)
    for numbers in (1, 9_000, 70_000):
        np.testing.assert_array_equal(grid.resample_image(image, numbers=numbers), whole)


def test_a_coarser_voxel_is_the_mean_of_what_it_covers():
    grid = ModelGrid.of(Geometry((6, 4, 4), np.eye(4), None), (3.0, 2.0, 2.0))
    image = np.random.default_rng(0).normal(size=(1, 6, 4, 4)).astype(np.float32)
    means = image.reshape(1, 2, 3, 2, 2, 2, 2).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(grid.resample_image(image), means, atol=1e-6)
