from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own customary name

from napari_semiseg.engine.errors import BadLabel, BadScan, GeometryMismatch, ScanMissing
from napari_semiseg.engine.volumes import Geometry, ScanSource, read_label, read_volume

AFFINE = np.diag([0.7, 1.1, 2.3, 1.0])
GRID = Geometry((6, 5, 4), AFFINE)


def save(path, data, affine=AFFINE):
    nib.Nifti1Image(data, affine).to_filename(path)
    return path


def save_label(path, values=(0, 1, 2), dtype=np.uint8, affine=AFFINE, shape=(4, 5, 6)):
    return save(path, np.resize(np.array(values, dtype), shape), affine)


def test_a_missing_scan_says_what_to_do(tmp_path):
    with pytest.raises(ScanMissing, match=r"scan\.nii is not there any more; put the file back"):
        read_volume(tmp_path / "scan.nii")


def test_an_unknown_format_names_the_readable_ones(tmp_path):
    (tmp_path / "scan.txt").write_text("hello")
    with pytest.raises(BadScan, match="DICOM"):
        read_volume(tmp_path / "scan.txt")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadScan, match="is empty"):
        read_volume(tmp_path)


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd"])
def test_nan_and_infinite_voxels_are_counted_and_placed(tmp_path, ending):
    data = np.zeros((6, 5, 4), np.float32)
    data[2, 3, 1], data[5, 0, 0] = np.nan, np.inf
    path = tmp_path / f"scan{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(data), str(path))
    with pytest.raises(BadScan, match=r"scan.* has 2 voxels .* first at x 1, y 3, z 2 "):
        read_volume(path)


def test_channel_files_become_channels(tmp_path):
    paths = tuple(
        save(tmp_path / f"a_000{number}.nii", np.full((4, 5, 6), number, np.int16))
        for number in range(3)
    )
    volume = read_volume(ScanSource("a", paths, "channels"))
    assert volume.voxels[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert volume.channel_names == ("channel 1", "channel 2", "channel 3")


def test_channel_files_on_another_grid_are_named(tmp_path):
    one = save(tmp_path / "a_0000.nii", np.zeros((4, 5, 6), np.int16))
    two = save(tmp_path / "a_0001.nii", np.zeros((4, 5, 7), np.int16))
    with pytest.raises(BadScan, match=r"a_0001\.nii .*7.* that of a_0000\.nii is 4 × 5 × 6"):
        read_volume(ScanSource("a", (one, two), "channels"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_whole_numbers_of_any_type_are_a_label(tmp_path, dtype):
    label = read_label(save_label(tmp_path / "label.nii", dtype=dtype), GRID, allowed={1, 2})
    assert label.voxels.dtype == np.uint8
    assert label.voxels.shape == (6, 5, 4)
    assert label.geometry is GRID
    assert np.unique(label.voxels).tolist() == [0, 1, 2]


def test_values_above_255_want_sixteen_bits(tmp_path):
    label = read_label(save_label(tmp_path / "label.nii", (0, 300), np.int16))
    assert label.voxels.dtype == np.uint16


@pytest.mark.parametrize(
    ("values", "dtype", "words"),
    [
        ((0, 0.5), np.float32, r"60 voxels that are not whole numbers \(0.5"),
        ((0, np.nan), np.float32, "not whole numbers"),
        ((0, np.inf), np.float32, "value inf"),
        ((0, -1), np.int16, "value -1"),
        ((0, 70000), np.int32, "value 70000"),
    ],
)
def test_values_that_are_no_classes_are_refused(tmp_path, values, dtype, words):
    with pytest.raises(BadLabel, match=words):
        read_label(save_label(tmp_path / "label.nii", values, dtype))


def test_values_without_a_class_are_named(tmp_path):
    with pytest.raises(BadLabel, match=r"values 3, 7 that .* classes are 1, 2\); add the classes"):
        read_label(save_label(tmp_path / "label.nii", (0, 1, 3, 7)), allowed=[2, 1])


def test_a_label_with_channels_is_refused(tmp_path):
    with pytest.raises(BadLabel, match="2 channels"):
        read_label(save_label(tmp_path / "label.nii", shape=(4, 5, 6, 2)))


def test_a_missing_label_is_named(tmp_path):
    with pytest.raises(ScanMissing, match=r"label\.nii does not exist"):
        read_label(tmp_path / "label.nii")


def test_a_damaged_label_is_a_bad_label(tmp_path):
    (tmp_path / "label.nii.gz").write_bytes(b"not a label")
    with pytest.raises(BadLabel, match="truncated or damaged"):
        read_label(tmp_path / "label.nii.gz")


def moved(by):
    affine = AFFINE.copy()
    affine[:3, 3] = by
    return affine


def test_rounding_noise_takes_the_geometry_of_the_scan(tmp_path):
    path = save_label(tmp_path / "label.nii", affine=moved((5e-4, 0.0, -5e-4)))
    assert read_label(path, GRID).geometry is GRID


@pytest.mark.parametrize(
    ("affine", "shape", "words"),
    [
        (AFFINE, (5, 4, 6), "shape"),
        (AFFINE * [[1.01], [1], [1], [1]], (4, 5, 6), "voxel size"),
        (moved((0.35, 0.55, 1.15)), (4, 5, 6), "half-voxel shift"),
        (AFFINE @ np.diag([-1, 1, 1, 1]), (4, 5, 6), "x axis is flipped"),
        (AFFINE[[2, 0, 1, 3]], (4, 5, 6), "orientation"),
    ],
)
def test_a_label_of_another_grid_is_refused_with_the_property(tmp_path, affine, shape, words):
    path = save_label(tmp_path / "label.nii", affine=affine, shape=shape)
    with pytest.raises(GeometryMismatch, match=rf"label\.nii .*{words}"):
        read_label(path, GRID)


def test_without_a_scan_the_label_keeps_its_own_grid(tmp_path):
    path = save_label(tmp_path / "label.nii", affine=moved((1.0, 2.0, 3.0)))
    assert read_label(path).geometry.affine[:3, 3].tolist() == [1.0, 2.0, 3.0]
