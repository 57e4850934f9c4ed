from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from napari.layers import Labels, Layer

from napari_semiseg.engine.errors import GeometryMismatch
from napari_semiseg.engine.study import parse_classes
from napari_semiseg.engine.volumes import read_label, read_volume
from napari_semiseg.gui.hooks.readers import read_scans
from napari_semiseg.gui.hooks.writers import write_labels
from napari_semiseg.gui.viewer.layer_data import label_layer

SHAPE = (4, 6, 8)
CLASSES = parse_classes("1=bone,2=cartilage")


@pytest.fixture
def oblique_scan(tmp_path):
    """Return a scan whose sform turns by 10 degrees and flips an axis."""
    angle = np.radians(10)
    affine = np.array(
        [
            [-0.5, 0, 0, 10],
            [0, 1.5 * np.cos(angle), -3 * np.sin(angle), -20],
            [0, 1.5 * np.sin(angle), 3 * np.cos(angle), 30],
            [0, 0, 0, 1],
        ]
    )
    image = nib.Nifti1Image(np.random.default_rng(0).normal(size=SHAPE[::-1]), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=4)
    path = tmp_path / "knee.nii.gz"
    nib.save(image, path)
    return path


@pytest.fixture
def layer(oblique_scan):
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[1:3, 2:4, 2:6] = 2
    voxels[0, 0, 0] = 1
    return Layer.create(*label_layer("knee", voxels, read_volume(oblique_scan).geometry, CLASSES))


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha", ".mhd"])
def test_a_label_comes_back_on_the_grid_of_its_scan_with_its_class_names(
    layer, oblique_scan, tmp_path, ending
):
    path = str(tmp_path / f"label{ending}")
    data, attributes, _ = layer.as_layer_data_tuple()
    assert write_labels(path, data, attributes) == [path]
    label = read_label(path, scan=read_volume(oblique_scan).geometry)
    np.testing.assert_array_equal(label.voxels, layer.data)
    assert label.class_names == {1: "bone", 2: "cartilage"}


def test_a_nifti_label_has_exactly_the_forms_of_its_scan(layer, oblique_scan, tmp_path):
    data, attributes, _ = layer.as_layer_data_tuple()
    [path] = write_labels(str(tmp_path / "label.nii.gz"), data, attributes)
    written, scan = nib.load(path).header, nib.load(oblique_scan).header
    for field in ("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "pixdim"):
        np.testing.assert_array_equal(written[field], scan[field])


def test_a_scan_moved_on_the_screen_is_still_saved_at_its_place(layer, oblique_scan, tmp_path):
    layer.translate = (100, 0, 0)
    data, attributes, _ = layer.as_layer_data_tuple()
    [path] = write_labels(str(tmp_path / "label.nii.gz"), data, attributes)
    read_label(path, scan=read_volume(oblique_scan).geometry)


def test_a_saved_label_opens_again_as_labels(layer, tmp_path):
    data, attributes, _ = layer.as_layer_data_tuple()
    [path] = write_labels(str(tmp_path / "label.nii.gz"), data, attributes)
    [(voxels, again, kind)] = read_scans(path)
    assert kind == "labels"
    assert again["features"]["class"] == ["background", "bone", "cartilage"]
    np.testing.assert_array_equal(voxels, layer.data)


def test_a_layer_that_knows_no_grid_is_refused_in_a_sentence(tmp_path):
    data, attributes, _ = Labels(np.zeros(SHAPE, np.uint8), name="cells").as_layer_data_tuple()
    with pytest.raises(GeometryMismatch, match="“cells” was not saved"):
        write_labels(str(tmp_path / "cells.nii.gz"), data, attributes)
    assert not list(tmp_path.iterdir())


def test_a_layer_of_another_shape_than_its_scan_is_refused(layer, tmp_path):
    _, attributes, _ = layer.as_layer_data_tuple()
    with pytest.raises(GeometryMismatch, match="shape"):
        write_labels(str(tmp_path / "label.nii.gz"), np.zeros((2, 2, 2), np.uint8), attributes)
