"""nibabel is the judge of what a NIfTI file says; it shares no code with the fields we keep."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes import (
    Geometry,
    large_arrays,
    read_label,
    read_volume,
    write_label,
    write_map,
)
from napari_semiseg.engine.volumes.nifti import nifti_image, read_nifti, save_nifti

SHAPE_XYZ = (4, 5, 6)
LABEL = np.random.default_rng(1).integers(0, 3, SHAPE_XYZ[::-1], dtype=np.uint8)


def axis_orientations() -> list[np.ndarray]:
    """All 48: six orders of the axes, each with eight combinations of signs."""
    affines = []
    for order, signs in product(permutations(range(3)), product((1, -1), repeat=3)):
        affine = np.eye(4)
        affine[:3, :3] = np.eye(3)[:, order] * signs * (0.7, 1.1, 2.3)
        affine[:3, 3] = (-31.7, 12.9, 101.3)
        affines.append(affine)
    return affines


def oblique_affines() -> list[np.ndarray]:
    affines = []
    for angles, mirror in product([(3, 5, 7), (40, -50, 60), (179, 1, 91)], (1, -1)):
        affine = np.eye(4)
        turned = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
        affine[:3, :3] = turned * (0.7 * mirror, 1.1, 2.3)
        affine[:3, 3] = (-31.7, 12.9, 101.3)
        affines.append(affine)
    sheared = affines[0].copy()
    sheared[0, 2] += 0.4
    return [*affines, sheared]


def save_scan(path: Path, affine=None, sform=1, qform=1, dtype=np.int16, shape=SHAPE_XYZ):
    data = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    affine = np.diag([0.7, 1.1, 2.3, 1.0]) if affine is None else affine
    is_flat = not affine[:3, :3].any(axis=0).all()
    header = nib.Nifti1Image(data, np.eye(4) if is_flat else affine).header
    header["srow_x"], header["srow_y"], header["srow_z"] = affine[:3]
    header["sform_code"], header["qform_code"] = sform, qform
    header.set_xyzt_units("mm", "sec")
    nib.Nifti1Image(data, None, header).to_filename(path)
    return data


def assert_same_grid(label: Path, scan: Path) -> None:
    one, two = nib.load(label), nib.load(scan)
    assert one.affine.tobytes() == two.affine.tobytes()
    assert one.shape == two.shape[:3]
    for name in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b"):
        assert one.header[name].tobytes() == two.header[name].tobytes()
    for name in ("quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "pixdim"):
        assert one.header[name].tobytes() == two.header[name].tobytes()
    assert one.header["xyzt_units"] == two.header["xyzt_units"]
    corner = np.array([*(*one.shape, 1)[:3], 1.0])
    assert (one.affine @ corner == two.affine @ corner).all()
    assert nib.aff2axcodes(one.affine) == nib.aff2axcodes(two.affine)


@pytest.mark.parametrize("codes", [(1, 1), (2, 0), (0, 1), (4, 2), (0, 0)], ids=str)
def test_a_label_lies_on_the_grid_of_its_scan_in_every_orientation(tmp_path, codes):
    scan, label = tmp_path / "scan.nii", tmp_path / "label.nii"
    for affine in [*axis_orientations(), *oblique_affines()]:
        data = save_scan(scan, affine, *codes)
        volume = read_volume(scan)
        assert volume.geometry.affine.tobytes() == nib.load(scan).affine.tobytes()
        np.testing.assert_array_equal(volume.voxels[0], data.T)
        write_label(label, LABEL, volume.geometry)
        assert_same_grid(label, scan)
        assert nib.load(label).get_data_dtype() == np.uint8
        np.testing.assert_array_equal(np.asarray(nib.load(label).dataobj), LABEL.T)
        assert read_label(label, volume.geometry).geometry is volume.geometry


def test_a_geometry_from_json_still_writes_the_exact_header(tmp_path):
    scan, label = tmp_path / "scan.nii.gz", tmp_path / "label.nii.gz"
    save_scan(scan, oblique_affines()[1], sform=0, qform=1)
    write_label(label, LABEL, Geometry.from_dict(read_volume(scan).geometry.to_dict()))
    assert_same_grid(label, scan)


def test_a_moved_geometry_does_not_repeat_the_old_header(tmp_path):
    save_scan(tmp_path / "scan.nii")
    geometry = read_volume(tmp_path / "scan.nii").geometry
    affine = geometry.affine.copy()
    affine[:3, 3] += 5.0
    write_label(tmp_path / "label.nii", LABEL, Geometry(geometry.shape, affine, geometry.nifti))
    np.testing.assert_allclose(nib.load(tmp_path / "label.nii").affine, affine, atol=1e-5)


def test_a_nifti2_file_keeps_its_double_precision(tmp_path):
    affine = oblique_affines()[2]
    nib.Nifti2Image(np.zeros(SHAPE_XYZ, np.uint8), affine).to_filename(tmp_path / "scan.nii")
    write_label(tmp_path / "label.nii", LABEL, read_volume(tmp_path / "scan.nii").geometry)
    label = nib.load(tmp_path / "label.nii")
    assert isinstance(label, nib.Nifti2Image)
    assert label.affine.tobytes() == affine.tobytes()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    angles=st.tuples(*[st.floats(-180.0, 180.0)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 10.0)] * 3),
    origin=st.tuples(*[st.floats(-500.0, 500.0)] * 3),
    mirrored=st.booleans(),
)
def test_any_grid_comes_back_from_a_file(tmp_path, angles, spacing, origin, mirrored):
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() * spacing
    affine[:3, 0] *= -1.0 if mirrored else 1.0
    affine[:3, 3] = origin
    geometry = Geometry(LABEL.shape, affine)
    write_label(tmp_path / "label.nii", LABEL, geometry)
    once = read_label(tmp_path / "label.nii")
    assert once.geometry.matches(geometry)
    write_label(tmp_path / "again.nii", LABEL, once.geometry)
    assert_same_grid(tmp_path / "again.nii", tmp_path / "label.nii")


def test_a_2d_image_has_one_section_and_is_written_back_as_2d(tmp_path):
    data = save_scan(tmp_path / "scan.nii.gz", shape=(4, 5))
    volume = read_volume(tmp_path / "scan.nii.gz")
    assert volume.voxels.shape == (1, 1, 5, 4)
    np.testing.assert_array_equal(volume.voxels[0, 0], data.T)
    write_label(tmp_path / "label.nii.gz", np.ones((1, 5, 4), int), volume.geometry)
    assert_same_grid(tmp_path / "label.nii.gz", tmp_path / "scan.nii.gz")
    assert read_label(tmp_path / "label.nii.gz", volume.geometry).voxels.shape == (1, 5, 4)


def test_a_2d_image_without_a_size_along_z_gets_one(tmp_path):
    save_scan(tmp_path / "scan.nii", np.diag([0.5, 0.5, 0.0, 1.0]), shape=(4, 5), qform=0)
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.geometry.spacing == (1.0, 0.5, 0.5)
    write_label(tmp_path / "label.nii", np.ones((1, 5, 4), int), volume.geometry)
    assert_same_grid(tmp_path / "label.nii", tmp_path / "scan.nii")


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (4, 5, 6, 1, 3)])
def test_the_last_dimension_holds_channels(tmp_path, shape):
    data = save_scan(tmp_path / "scan.nii", shape=shape).reshape(4, 5, 6, 3)
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.voxels.shape == (3, 6, 5, 4)
    assert volume.voxels.flags.c_contiguous
    np.testing.assert_array_equal(volume.voxels[2], data[..., 2].T)


def test_a_map_is_written_with_channels_last(tmp_path):
    save_scan(tmp_path / "scan.nii")
    geometry = read_volume(tmp_path / "scan.nii").geometry
    values = np.random.default_rng(0).random((2, 6, 5, 4))
    write_map(tmp_path / "map.nii.gz", values, geometry)
    image = nib.load(tmp_path / "map.nii.gz")
    assert image.shape == (4, 5, 6, 2)
    assert image.get_data_dtype() == np.float32
    assert image.affine.tobytes() == geometry.affine.tobytes()
    np.testing.assert_array_equal(read_volume(tmp_path / "map.nii.gz").voxels, np.float32(values))


@pytest.mark.parametrize("dtype", ["uint8", ">i2", "uint16", "int32"])
def test_stored_integers_keep_their_type(tmp_path, dtype):
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    data = np.arange(120).reshape(SHAPE_XYZ).astype(dtype)
    nib.Nifti1Image(data, np.eye(4), header).to_filename(tmp_path / "scan.nii")
    voxels = read_volume(tmp_path / "scan.nii").voxels
    assert voxels.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(voxels[0], data.T)


def test_a_slope_and_intercept_are_applied(tmp_path):
    stored = save_scan(tmp_path / "scan.nii")
    with (tmp_path / "scan.nii").open("r+b") as stream:
        header = nib.Nifti1Header.from_fileobj(stream)
        header["scl_slope"], header["scl_inter"] = 0.5, -3.0
        stream.seek(0)
        stream.write(header.binaryblock)
    data = stored * 0.5 - 3.0
    voxels = read_volume(tmp_path / "scan.nii").voxels
    assert voxels.dtype == np.float32
    np.testing.assert_array_equal(voxels[0], data.T)


def test_doubles_become_single_precision(tmp_path):
    save_scan(tmp_path / "scan.nii", dtype=np.float64)
    assert read_volume(tmp_path / "scan.nii").voxels.dtype == np.float32


@pytest.mark.parametrize(("unit", "millimetres"), [("meter", 1000.0), ("micron", 0.001)])
def test_other_units_of_length_become_millimetres(tmp_path, unit, millimetres):
    scan, label = tmp_path / "scan.nii", tmp_path / "label.nii"
    image = nib.Nifti1Image(np.zeros(SHAPE_XYZ, np.uint8), np.diag([0.7, 1.1, 2.3, 1.0]))
    image.header.set_xyzt_units(unit)
    image.to_filename(scan)
    geometry = read_volume(scan).geometry
    assert geometry.spacing == pytest.approx(np.multiply((2.3, 1.1, 0.7), millimetres))
    write_label(label, LABEL, geometry)
    assert_same_grid(label, scan)


def test_colours_are_refused(tmp_path):
    colours = np.zeros(SHAPE_XYZ, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nib.Nifti1Image(colours, np.eye(4)).to_filename(tmp_path / "scan.nii")
    with pytest.raises(BadScan, match=r"scan\.nii holds colours"):
        read_volume(tmp_path / "scan.nii")


def test_complex_numbers_are_refused(tmp_path):
    nib.Nifti1Image(np.zeros(SHAPE_XYZ, np.complex64), np.eye(4)).to_filename(tmp_path / "s.nii")
    with pytest.raises(BadScan, match="complex"):
        read_volume(tmp_path / "s.nii")


def test_two_extra_dimensions_are_refused(tmp_path):
    save_scan(tmp_path / "scan.nii", shape=(4, 5, 6, 2, 3))
    with pytest.raises(BadScan, match="4 × 5 × 6 × 2 × 3"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_truncated_file_is_one_sentence(tmp_path, ending, kept):
    scan = tmp_path / f"scan{ending}"
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 16), dtype=np.uint8)
    nib.Nifti1Image(noise, np.eye(4)).to_filename(scan)
    content = scan.read_bytes()
    scan.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadScan, match="truncated or damaged"):
        read_volume(scan)


def test_a_header_without_a_grid_is_refused(tmp_path):
    save_scan(tmp_path / "scan.nii", np.diag([1.0, 0.0, 1.0, 1.0]), qform=0)
    with pytest.raises(BadScan, match="usable voxel grid"):
        read_volume(tmp_path / "scan.nii")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("slope", [None, (0.5, -1024.0)])
def test_slabs_and_files_change_no_number(tmp_path, monkeypatch, suffix, slope):
    values = np.random.default_rng(0).integers(-900, 900, (7, 9, 11, 2)).astype(">i2")
    image = nib.Nifti1Image(values, np.eye(4))
    if slope is not None:
        image.header.set_slope_inter(*slope)
    path = tmp_path / f"scan{suffix}"
    nib.save(image, path)
    whole, _ = read_nifti(path)
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 100)
    monkeypatch.setattr(large_arrays.slabs, "__defaults__", (0, 100))
    slabs, geometry = read_nifti(path)
    np.testing.assert_array_equal(slabs, whole)
    assert slabs.dtype == whole.dtype
    expected = np.asarray(nib.load(path).dataobj, np.float32).transpose()
    np.testing.assert_array_equal(whole, expected)
    save_nifti(tmp_path / "again.nii.gz", slabs, geometry)
    np.testing.assert_array_equal(read_nifti(tmp_path / "again.nii.gz")[0], whole)
    with nib.openers.ImageOpener(str(tmp_path / "again.nii.gz")) as stream:
        written = stream.read()
    plain = tmp_path / "plain.nii"
    nib.save(nifti_image(slabs, geometry), plain)
    assert written == plain.read_bytes()
