from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own customary name
from scipy.spatial.transform import Rotation

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes import Geometry, read_label, read_volume, write_label, write_map

SHAPE = (6, 5, 4)
DATA = np.arange(120, dtype=np.int16).reshape(SHAPE)


def oblique(mirror: float = 1.0) -> np.ndarray:
    affine = np.eye(4)
    turned = Rotation.from_euler("xyz", (20, -30, 140), degrees=True).as_matrix()
    affine[:3, :3] = turned * (0.7 * mirror, 1.1, 2.3)
    affine[:3, 3] = (-31.7, 12.9, 101.3)
    return affine


AFFINES = [np.eye(4), np.diag([-2.0, 1.0, 3.0, 1.0]), oblique(), oblique(-1.0)]


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd"])
@pytest.mark.parametrize("affine", AFFINES, ids=["RAS", "LAS", "oblique", "mirrored"])
def test_the_same_image_has_the_same_world_positions_in_every_format(tmp_path, affine, ending):
    nib.Nifti1Image(DATA.T, affine).to_filename(tmp_path / "scan.nii")
    # SimpleITK converts the file on its own, so that neither of our readers is the judge.
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "scan.nii")), str(tmp_path / f"scan{ending}"))
    nifti, other = (read_volume(tmp_path / f"scan{end}") for end in (".nii", ending))
    assert other.geometry.matches(nifti.geometry)
    assert other.geometry.orientation == nifti.geometry.orientation
    assert other.geometry.nifti is None
    np.testing.assert_array_equal(other.voxels, nifti.voxels)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd", ".nii.gz"])
@pytest.mark.parametrize("affine", AFFINES, ids=["RAS", "LAS", "oblique", "mirrored"])
def test_simpleitk_sees_our_labels_where_they_are(tmp_path, affine, ending):
    geometry = Geometry(SHAPE, affine)
    write_label(tmp_path / f"label{ending}", DATA % 3, geometry)
    image = sitk.ReadImage(str(tmp_path / f"label{ending}"))
    x, y, z = image.TransformIndexToPhysicalPoint((3, 2, 5))
    expected = affine @ (3.0, 2.0, 5.0, 1.0)
    np.testing.assert_allclose((-x, -y, z), expected[:3], atol=1e-4)
    assert image.GetPixelID() == sitk.sitkUInt8
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), DATA % 3)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_grid_survives_almost_to_the_last_bit(tmp_path, ending):
    geometry = Geometry(SHAPE, oblique())
    write_label(tmp_path / f"label{ending}", DATA % 3, geometry)
    again = read_label(tmp_path / f"label{ending}").geometry
    np.testing.assert_allclose(again.affine, geometry.affine, rtol=0, atol=1e-10)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_components_are_channels(tmp_path, ending):
    values = np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)
    write_map(tmp_path / f"map{ending}", values, Geometry(SHAPE, oblique()))
    volume = read_volume(tmp_path / f"map{ending}")
    np.testing.assert_array_equal(volume.voxels, values)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_fourth_dimension_holds_channels(tmp_path, ending):
    data = np.random.default_rng(0).integers(0, 99, (2, *SHAPE), dtype=np.int16)
    image = sitk.GetImageFromArray(data, isVector=False)
    image.SetSpacing((0.5, 0.6, 0.7, 2.0))
    sitk.WriteImage(image, str(tmp_path / f"scan{ending}"))
    volume = read_volume(tmp_path / f"scan{ending}")
    np.testing.assert_array_equal(volume.voxels, data)
    assert volume.geometry.spacing == pytest.approx((0.7, 0.6, 0.5))


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_2d_image_has_one_section(tmp_path, ending):
    image = sitk.GetImageFromArray(DATA[0])
    image.SetSpacing((0.5, 0.6))
    sitk.WriteImage(image, str(tmp_path / f"scan{ending}"))
    volume = read_volume(tmp_path / f"scan{ending}")
    assert volume.voxels.shape == (1, 1, 5, 4)
    assert volume.geometry.spacing == pytest.approx((1.0, 0.6, 0.5))


def test_integers_stay_and_doubles_become_single_precision(tmp_path):
    for dtype, expected in [(np.uint8, np.uint8), (np.uint16, np.uint16), (float, np.float32)]:
        sitk.WriteImage(sitk.GetImageFromArray(DATA.astype(dtype)), str(tmp_path / "scan.nrrd"))
        assert read_volume(tmp_path / "scan.nrrd").voxels.dtype == expected


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.98])
def test_a_truncated_file_is_one_sentence(tmp_path, ending, compressed, kept):
    scan = tmp_path / f"scan{ending}"
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 16), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(noise), str(scan), useCompression=compressed)
    content = scan.read_bytes()
    scan.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadScan, match="truncated, damaged"):
        read_volume(scan)


def test_a_header_without_its_data_file_is_one_sentence(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(DATA), str(tmp_path / "scan.mhd"))
    (tmp_path / "scan.raw").unlink()
    with pytest.raises(BadScan, match="without its data file"):
        read_volume(tmp_path / "scan.mhd")
