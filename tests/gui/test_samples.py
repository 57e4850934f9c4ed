from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes import Geometry, write_label, write_map
from napari_semiseg.gui import samples


def test_the_brain_opens_with_its_label_on_the_same_grid():
    scan, label = (Layer.create(*data) for data in samples.brain())
    assert scan.data.shape == label.data.shape
    np.testing.assert_array_equal(scan.scale, label.scale)
    assert label.name == "brain_01 label"
    assert "white matter" in list(label.features["class"])


def test_the_hippocampus_comes_from_the_downloaded_data_set(tmp_path, monkeypatch):
    grid = Geometry(shape=(4, 6, 8), affine=np.eye(4), nifti=None)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    voxels = np.random.default_rng(0).normal(size=grid.shape)
    write_map(tmp_path / "imagesTr" / "hippocampus_001.nii.gz", voxels, grid)
    write_label(tmp_path / "labelsTr" / "hippocampus_001.nii.gz", voxels > 0, grid)
    monkeypatch.setattr(samples, "hippocampus_folder", lambda: tmp_path)
    scan, label = samples.hippocampus()
    assert (scan[1]["name"], scan[2]) == ("hippocampus_001", "image")
    assert label[1]["features"]["class"][1:] == ["anterior hippocampus", "posterior hippocampus"]


def test_an_incomplete_download_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "hippocampus_folder", lambda: tmp_path)
    with pytest.raises(BadScan, match="delete the folder"):
        samples.hippocampus()


def test_a_real_hippocampus_opens_with_its_label(real_scans):
    folder = real_scans / "hippocampus"
    image = sorted((folder / "images").glob("*.nii.gz"))[0]
    label = folder / "labels" / image.name
    layers = samples.labelled_scan(image.name, image, label, samples.HIPPOCAMPUS_CLASSES)
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    assert set(np.unique(layers[1][0])) == {0, 1, 2}
