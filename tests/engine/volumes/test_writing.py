from __future__ import annotations

import errno
import json
import os

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own customary name

from napari_semiseg.engine.errors import BadLabel, GeometryMismatch, StudyError
from napari_semiseg.engine.volumes import (
    Geometry,
    read_label,
    read_volume,
    write_label,
    write_map,
    writing,
)

GRID = Geometry((6, 5, 4), np.diag([0.7, 1.1, 2.3, 1.0]))
LABEL = np.random.default_rng(0).integers(0, 3, GRID.shape, dtype=np.uint8)
ENDINGS = [".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha", ".mhd"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_label_comes_back_with_its_class_names(tmp_path, ending):
    path = tmp_path / "new folder" / f"label{ending}"
    names = {1: "anterior", 2: "Flügel hinten"}
    write_label(path, LABEL, GRID, names)
    label = read_label(path, GRID, allowed=[1, 2])
    np.testing.assert_array_equal(label.voxels, LABEL)
    assert label.class_names == names
    assert not list(path.parent.glob(".writing-*"))


def test_class_names_lie_in_the_nrrd_header_itself(tmp_path):
    write_label(tmp_path / "label.nrrd", LABEL, GRID, {1: "heart"})
    image = sitk.ReadImage(str(tmp_path / "label.nrrd"))
    assert image.GetMetaData("Segment0_Name") == "heart"
    assert image.GetMetaData("Segment0_LabelValue") == "1"
    assert os.listdir(tmp_path) == ["label.nrrd"]


def test_class_names_lie_beside_a_nifti_file(tmp_path):
    write_label(tmp_path / "case.nii.gz", LABEL, GRID, {0: "background", 1: "heart"})
    content = json.loads((tmp_path / "case.json").read_text(encoding="utf-8"))
    assert content == {"labels": {"background": 0, "heart": 1}}


def test_without_class_names_no_sidecar_is_written(tmp_path):
    write_label(tmp_path / "case.nii.gz", LABEL, GRID)
    assert os.listdir(tmp_path) == ["case.nii.gz"]


@pytest.mark.parametrize(
    ("voxels", "stored"),
    [(LABEL > 0, np.uint8), (LABEL.astype(np.int64), np.uint8), (LABEL * 150.0, None)],
    ids=["bool", "int64", "float"],
)
def test_integers_of_any_type_are_stored_small(tmp_path, voxels, stored):
    path = tmp_path / "label.nii"
    if stored is None:
        with pytest.raises(BadLabel, match="integers, not float64"):
            write_label(path, voxels, GRID)
    else:
        write_label(path, voxels, GRID)
        assert nib.load(path).get_data_dtype() == stored


def test_values_above_255_are_stored_in_sixteen_bits(tmp_path):
    write_label(tmp_path / "label.nii", LABEL.astype(int) * 200, GRID)
    assert nib.load(tmp_path / "label.nii").get_data_dtype() == np.uint16
    assert read_label(tmp_path / "label.nii").voxels.max() == 400


@pytest.mark.parametrize("value", [-1, 65536])
def test_values_that_do_not_fit_are_refused(tmp_path, value):
    with pytest.raises(BadLabel, match=f"class value {value}"):
        write_label(tmp_path / "label.nii", np.full(GRID.shape, value), GRID)


def test_voxels_of_another_shape_are_refused(tmp_path):
    with pytest.raises(GeometryMismatch, match="shape"):
        write_label(tmp_path / "label.nii", LABEL.T, GRID)
    with pytest.raises(GeometryMismatch, match="shape"):
        write_map(tmp_path / "map.nii", np.zeros((2, 4, 5, 6)), GRID)


@pytest.mark.parametrize("name", ["label.png", "label", "label.nhdr"])
def test_an_unknown_ending_names_the_known_ones(tmp_path, name):
    with pytest.raises(StudyError, match=r"ends with \.nii\.gz"):
        write_label(tmp_path / name, LABEL, GRID)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch, ending):
    path = tmp_path / f"label{ending}"
    write_label(path, LABEL, GRID)
    before = {file: (tmp_path / file).read_bytes() for file in os.listdir(tmp_path)}

    def no_space(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing, "_flush_to_disk", no_space)
    with pytest.raises(StudyError, match=r"could not be written .* \(No space left on device\)"):
        write_label(path, 2 - LABEL, GRID, {1: "new"})
    assert {file: (tmp_path / file).read_bytes() for file in os.listdir(tmp_path)} == before


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "folder").write_text("a file where a folder should be")
    with pytest.raises(StudyError, match="check that its folder is writable"):
        write_label(tmp_path / "folder" / "label.nii.gz", LABEL, GRID)


def test_a_foreign_sidecar_is_not_overwritten(tmp_path):
    (tmp_path / "case.json").write_text("{broken")
    with pytest.raises(BadLabel, match=r"case\.json"):
        write_label(tmp_path / "case.nii", LABEL, GRID, {1: "heart"})
    assert os.listdir(tmp_path) == ["case.json"]


def test_a_written_file_has_the_usual_permissions(tmp_path):
    write_label(tmp_path / "case.nii", LABEL, GRID)
    (tmp_path / "other").touch()
    assert (tmp_path / "case.nii").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_map_of_one_channel_keeps_its_numbers(tmp_path, ending):
    values = np.random.default_rng(0).normal(size=GRID.shape)
    write_map(tmp_path / f"map{ending}", values, GRID)
    volume = read_volume(tmp_path / f"map{ending}")
    assert volume.geometry.matches(GRID)
    np.testing.assert_array_equal(volume.voxels[0], values.astype(np.float32))
