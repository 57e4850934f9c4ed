from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_semiseg.engine.volumes.geometry import Geometry, NiftiForms, describe_difference
from napari_semiseg.engine.volumes.nifti import read_nifti

SHAPE = (4, 5, 6)


def grid(spacing=(2.0, 3.0, 5.0), angles=(0.0, 0.0, 0.0), origin=(7.0, -8.0, 9.0), shape=SHAPE):
    """Spacing, angles and origin along x, y, z."""
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine[:3, 3] = origin
    return Geometry(shape, affine)


finite = st.floats(-1e4, 1e4, allow_nan=False)
geometries = st.builds(
    grid,
    spacing=st.tuples(*[st.floats(0.01, 50.0)] * 3),
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    origin=st.tuples(finite, finite, finite),
    shape=st.tuples(*[st.integers(1, 600)] * 3),
)
float32s = st.floats(width=32, allow_nan=False, allow_infinity=False)
forms = st.builds(
    NiftiForms,
    version=st.sampled_from([1, 2]),
    dimensions=st.sampled_from([2, 3]),
    sform_code=st.integers(0, 5),
    qform_code=st.integers(0, 5),
    sform=st.tuples(*[float32s] * 12),
    quaternion=st.tuples(*[float32s] * 3),
    offset=st.tuples(*[float32s] * 3),
    pixdim=st.tuples(*[float32s] * 8),
    units=st.integers(0, 63),
)


@settings(max_examples=60, deadline=None)
@given(geometry=geometries, nifti=st.none() | forms)
def test_a_geometry_keeps_every_bit_through_json(geometry, nifti):
    geometry = replace(geometry, nifti=nifti)
    again = Geometry.from_dict(json.loads(json.dumps(geometry.to_dict())))
    assert again.shape == geometry.shape
    assert again.affine.tobytes() == geometry.affine.tobytes()
    assert again.nifti == geometry.nifti


@settings(max_examples=40, deadline=None)
@given(geometry=geometries)
def test_spacing_and_volume_do_not_depend_on_rotation(geometry):
    z, y, x = geometry.spacing
    np.testing.assert_allclose((x, y, z), nib.affines.voxel_sizes(geometry.affine), rtol=1e-12)
    assert geometry.voxel_volume_ml == pytest.approx(x * y * z / 1000.0, rel=1e-9)


def test_spacing_is_told_in_the_order_of_the_voxel_array():
    assert grid().spacing == (5.0, 3.0, 2.0)


def test_only_axes_off_the_world_axes_are_oblique():
    assert not grid().is_oblique
    assert not grid(angles=(90.0, 180.0, 0.0)).is_oblique
    assert not grid(angles=(0.05, 0.0, 0.0)).is_oblique
    assert grid(angles=(0.1, 0.0, 0.0)).is_oblique


def test_orientation_names_where_the_index_axes_run():
    assert grid().orientation == "RAS"
    assert Geometry(SHAPE, np.diag([-1.0, -1.0, 1.0, 1.0])).orientation == "LPS"


def test_corner_distance_is_that_of_the_furthest_corner():
    one, two = grid(spacing=(1.0, 1.0, 1.0)), grid(spacing=(1.0, 1.0, 1.1))
    assert one.corner_distance_mm(two) == pytest.approx(0.3)
    assert one.matches(two, tolerance_mm=0.31)
    assert not one.matches(two)
    assert not one.matches(grid(spacing=(1.0, 1.0, 1.0), shape=(4, 5, 7)), tolerance_mm=100.0)


def test_an_affine_is_a_private_read_only_copy():
    affine = np.eye(4)
    geometry = Geometry(SHAPE, affine)
    affine[0, 0] = 9.0
    assert geometry.affine[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        geometry.affine[0, 0] = 2.0


@pytest.mark.parametrize(
    "affine", [np.zeros((4, 4)), np.diag([1.0, 1.0, 0.0, 1.0]), np.full((4, 4), np.nan), np.eye(3)]
)
def test_a_grid_without_extent_is_refused(affine):
    with pytest.raises(ValueError, match="affine"):
        Geometry(SHAPE, affine)


def test_a_shape_without_voxels_is_refused():
    with pytest.raises(ValueError, match="voxel"):
        Geometry((0, 5, 6), np.eye(4))


def test_voxels_of_micrometres_are_no_flat_grid():
    assert Geometry(SHAPE, np.diag([1e-4, 1e-4, 1e-4, 1.0])).spacing[0] == pytest.approx(1e-4)


def test_rounding_noise_is_no_difference():
    assert describe_difference(grid(origin=(7.0004, -8.0, 9.0)), grid()) is None


def test_small_differences_that_add_up_are_told_at_the_corners():
    label = grid(angles=(0.0, 0.0, 0.0012), origin=(6.9992, -8.0, 9.0), shape=(2, 9, 9))
    difference = describe_difference(label, grid(shape=(2, 9, 9)))
    assert difference is not None
    assert difference.startswith("its corner voxels lie 0.001")


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (grid(shape=(4, 5, 7)), ["shape is 7 × 5 × 4", "scan's is 6 × 5 × 4"]),
        (grid(shape=(6, 5, 4)), ["shape is 4 × 5 × 6", "axes in another order"]),
        (grid(spacing=(2.0, 3.0, 5.01)), ["voxel size (spacing) is 2 × 3 × 5.01 mm"]),
        (grid(origin=(8.0, -6.5, 11.5)), ["origin", "(0.5, 0.5, 0.5)", "half-voxel"]),
        (grid(origin=(7.0, -8.0, 6.5)), ["origin", "(0, 0, -0.5)", "half-voxel"]),
        (grid(origin=(17.0, -8.0, 9.0)), ["origin is shifted by (5, 0, 0) voxels"]),
        (grid(angles=(0.0, 0.0, 2.0)), ["orientation is turned by 2°"]),
        (Geometry(SHAPE, grid().affine @ np.diag([1, -1, 1, 1])), ["y axis is flipped", "RPS"]),
        (Geometry(SHAPE, grid().affine @ np.diag([-1, -1, 1, 1])), ["x and y axis", "LPS"]),
    ],
)
def test_a_difference_is_named_by_its_property(label, words):
    difference = describe_difference(label, grid())
    assert difference is not None
    for word in words:
        assert word in difference


def test_axes_in_another_order_are_called_another_orientation():
    scan = Geometry((5, 5, 5), np.eye(4))
    label = Geometry((5, 5, 5), np.eye(4)[[1, 0, 2, 3]])
    assert describe_difference(label, scan) == "its orientation is ARS and the scan's is RAS"


def test_the_forms_of_a_header_are_kept_exactly(tmp_path: Path):
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.uint8), grid(angles=(5.0, 6.0, 7.0)).affine)
    nib.save(image, tmp_path / "scan.nii")
    _, geometry = read_nifti(tmp_path / "scan.nii")
    header = nib.load(tmp_path / "scan.nii").header
    assert geometry.nifti is not None
    assert geometry.nifti.sform[:4] == tuple(header["srow_x"].tolist())
    assert geometry.nifti.pixdim == tuple(header["pixdim"].tolist())
