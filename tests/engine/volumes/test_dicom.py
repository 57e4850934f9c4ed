from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes import read_volume

pydicom = pytest.importorskip("pydicom")

EVEN = [float(depth) for depth in np.arange(6) * 2.5 - 7.0]
TILTED_HEAD = (1.0, 0.0, 0.0, 0.0, float(np.cos(0.3)), float(np.sin(0.3)))


def test_a_series_lies_where_its_positions_say(tmp_path, write_series):
    stored = write_series(tmp_path / "scan", EVEN)
    volume = read_volume(tmp_path / "scan")
    np.testing.assert_array_equal(volume.voxels[0], stored)
    assert volume.voxels.dtype == np.int16
    assert volume.modality == "CT"
    assert volume.geometry.orientation == "LPS"
    assert volume.geometry.nifti is None
    # SliceThickness says 9 mm; PixelSpacing is (between rows, between columns).
    assert volume.geometry.spacing == pytest.approx((2.5, 0.75, 0.5))
    np.testing.assert_allclose(volume.geometry.affine @ (0, 0, 0, 1), (10.0, -20.0, -7.0, 1.0))
    np.testing.assert_allclose(volume.geometry.affine @ (2, 4, 5, 1), (9.0, -23.0, 5.5, 1.0))


def test_the_order_of_files_does_not_matter(tmp_path, write_series):
    stored = write_series(tmp_path / "scan", EVEN[::-1])
    volume = read_volume(tmp_path / "scan")
    np.testing.assert_array_equal(volume.voxels[0], stored[::-1])
    assert volume.geometry.affine[2, 3] == pytest.approx(-7.0)


def test_the_normal_and_not_the_z_axis_orders_sagittal_slices(tmp_path, write_slice):
    sagittal = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    slices = {
        x: write_slice(tmp_path / f"{x}.dcm", (x, 3.0, 4.0), orientation=sagittal)
        for x in (4.0, 1.0, 2.0, 3.0)
    }
    volume = read_volume(tmp_path)
    # Row × column is −x, so that slices run from the largest x down.
    expected = np.stack([slices[x] for x in (4.0, 3.0, 2.0, 1.0)])
    np.testing.assert_array_equal(volume.voxels[0], expected)
    assert volume.geometry.orientation == "PIR"
    assert volume.geometry.spacing == pytest.approx((1.0, 0.75, 0.5))


def test_an_oblique_series_keeps_its_direction(tmp_path, write_slice):
    normal = np.cross(TILTED_HEAD[:3], TILTED_HEAD[3:])
    for number in range(4):
        position = np.round(np.array((5.0, 6.0, 7.0)) + 1.5 * number * normal, 4)
        write_slice(tmp_path / f"{number}.dcm", position, orientation=TILTED_HEAD)
    geometry = read_volume(tmp_path).geometry
    assert geometry.is_oblique
    assert geometry.spacing[0] == pytest.approx(1.5, abs=1e-3)
    np.testing.assert_allclose(geometry.directions[:, 2], normal * (-1, -1, 1), atol=1e-3)


@pytest.mark.parametrize("storage", ["CTImageStorage", "MRImageStorage"])
@pytest.mark.parametrize("rescale", [(1.0, -1024.0), (2.5, -3.0), (0.0123, 0.0)])
def test_the_rescale_is_applied_in_every_modality(tmp_path, write_series, storage, rescale):
    write_series(tmp_path, EVEN, storage=storage, rescale=rescale)
    volume = read_volume(tmp_path)
    datasets = [pydicom.dcmread(path) for path in sorted(tmp_path.iterdir())]
    expected = [pydicom.pixels.apply_modality_lut(d.pixel_array, d) for d in datasets]
    np.testing.assert_allclose(volume.voxels[0], expected, atol=1e-4)
    assert volume.voxels.dtype == (np.int16 if rescale[0] == 1.0 else np.float32)
    assert volume.modality == storage[:2]


def test_slices_may_have_rescales_of_their_own(tmp_path, write_slice):
    one = write_slice(tmp_path / "1.dcm", (0.0, 0.0, 0.0), rescale=(1.0, 0.0))
    two = write_slice(tmp_path / "2.dcm", (0.0, 0.0, 1.0), rescale=(0.5, 0.0))
    voxels = read_volume(tmp_path).voxels[0]
    np.testing.assert_allclose(voxels, [one, two * 0.5])


def test_a_single_slice_is_a_2d_scan(tmp_path, write_slice):
    write_slice(tmp_path / "slice.dcm", (1.0, 2.0, 3.0))
    volume = read_volume(tmp_path / "slice.dcm")
    assert volume.geometry.shape == (1, 5, 7)
    assert volume.geometry.spacing == pytest.approx((1.0, 0.75, 0.5))


def test_several_series_are_named_and_refused(tmp_path, write_series):
    write_series(tmp_path / "a", EVEN, series="1.2.1", SeriesDescription="T1", SeriesNumber=3)
    write_series(tmp_path / "b", EVEN[:3], series="1.2.2", SeriesDescription="T2", SeriesNumber=4)
    with pytest.raises(BadScan, match=r"2 DICOM series \(“3 T1” with 6 .* “4 T2” with 3 slices"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("depths", "words"),
    [
        ([0, 2, 4, 8, 10], r"misses 1 slice, .* slice_02\.dcm and slice_03\.dcm"),
        ([0, 2, 4, 10, 12, 16, 18, 20], "misses 3 slices"),
        ([0, 2, 4, 4, 6], r"same position \(once\), such as slice_02\.dcm and slice_03\.dcm"),
        ([0, 2, 4, 0, 2, 4], r"same position \(3 times\)"),
        ([0, 2, 4.8, 6, 8], "uneven distances between its slices, from 1.2 to 2.8 mm"),
        ([0, 1, 2, 3.5, 5, 6.5], "uneven distances"),
    ],
)
def test_slices_that_make_no_even_volume_are_refused(tmp_path, write_series, depths, words):
    write_series(tmp_path, depths)
    with pytest.raises(BadScan, match=words):
        read_volume(tmp_path)


def test_rounded_positions_are_even_enough(tmp_path, write_series):
    write_series(tmp_path, np.round(np.arange(40) * 0.6667, 2))
    assert read_volume(tmp_path).geometry.spacing[0] == pytest.approx(0.6667, abs=1e-3)


def test_a_gantry_tilt_is_refused_with_its_angle(tmp_path, write_slice):
    for number in range(5):
        write_slice(tmp_path / f"{number}.dcm", (0.0, 0.0, 3.0 * number), orientation=TILTED_HEAD)
    with pytest.raises(BadScan, match=r"gantry tilt of 17\.2°"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": (5, 8)}, r"mixed sizes \(columns, rows\): .*\(7, 5\).*\(8, 5\)"),
        ({"spacing": (0.8, 0.5)}, "mixed pixel spacings"),
        ({"orientation": TILTED_HEAD}, "mixed orientations"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient missing"),
        ({"PixelSpacing": None, "ImageOrientationPatient": None}, "does not say where it lies"),
    ],
)
def test_slices_unlike_the_others_are_refused(tmp_path, write_series, write_slice, options, words):
    write_series(tmp_path, EVEN)
    write_slice(tmp_path / "slice_99.dcm", (-10.0, 20.0, EVEN[-1] + 2.5), **options)
    with pytest.raises(BadScan, match=words):
        read_volume(tmp_path)


@pytest.mark.parametrize("kept", [0.5, 0.97])
def test_a_truncated_slice_is_named_and_never_left_out(tmp_path, write_series, kept):
    write_series(tmp_path, EVEN)
    last = tmp_path / "slice_05.dcm"
    content = last.read_bytes()
    last.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(BadScan, match=r"slice_05\.dcm cannot be read, it may be truncated"):
        read_volume(tmp_path)


def test_several_frames_in_one_file_are_refused(tmp_path, write_slice):
    path = tmp_path / "frames.dcm"
    write_slice(path, (0.0, 0.0, 0.0))
    dataset = pydicom.dcmread(path)
    dataset.NumberOfFrames = 2
    dataset.PixelData = dataset.PixelData * 2
    dataset.save_as(path)
    with pytest.raises(BadScan, match="2 frames in one file"):
        read_volume(path)


def test_colours_are_refused(tmp_path, write_slice):
    path = tmp_path / "colours.dcm"
    write_slice(path, (0.0, 0.0, 0.0))
    dataset = pydicom.dcmread(path)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "RGB"
    dataset.PlanarConfiguration, dataset.PixelRepresentation = 0, 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelData = 7, bytes(5 * 7 * 3 + 1)
    dataset.save_as(path)
    with pytest.raises(BadScan, match="colour image"):
        read_volume(path)


def test_objects_that_are_no_scans_are_left_out(tmp_path, write_series):
    write_series(tmp_path, EVEN)
    report = pydicom.dcmread(tmp_path / "slice_00.dcm")
    report.file_meta.MediaStorageSOPClassUID = pydicom.uid.BasicTextSRStorage
    report.SOPClassUID, report.SeriesInstanceUID = pydicom.uid.BasicTextSRStorage, "1.2.9"
    report.SOPInstanceUID = "1.2.9.1"
    del report.PixelData
    report.save_as(tmp_path / "report.dcm")
    (tmp_path / "notes.txt").write_text("patient was calm")
    assert read_volume(tmp_path).geometry.shape == (6, 5, 7)
