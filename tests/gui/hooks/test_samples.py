from __future__ import annotations

import itertools

import numpy as np
import pytest
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QTimer

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes import Geometry, downloads, write_label, write_map
from napari_semiseg.gui.hooks import samples


def test_the_brain_opens_with_its_label_on_the_same_grid():
    scan, label = (Layer.create(*data) for data in samples.brain())
    assert scan.data.shape == label.data.shape
    np.testing.assert_array_equal(scan.scale, label.scale)
    assert label.name == "brain_01 label"
    assert "white matter" in list(label.features["class"])


@pytest.fixture
def hippocampi(tmp_path):
    """A data set of one scan."""
    grid = Geometry(shape=(4, 6, 8), affine=np.eye(4), nifti=None)
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    voxels = np.random.default_rng(0).normal(size=grid.shape)
    write_map(tmp_path / "imagesTr" / "hippocampus_001.nii.gz", voxels, grid)
    write_label(tmp_path / "labelsTr" / "hippocampus_001.nii.gz", voxels > 0, grid)
    return tmp_path


def test_the_hippocampus_comes_from_the_downloaded_data_set(hippocampi, monkeypatch):
    monkeypatch.setattr(samples, "downloaded_hippocampus", lambda: hippocampi)
    scan, label = samples.hippocampus()
    assert (scan[1]["name"], scan[2]) == ("hippocampus_001", "image")
    assert label[1]["features"]["class"][1:] == ["anterior hippocampus", "posterior hippocampus"]


def test_an_incomplete_download_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "downloaded_hippocampus", lambda: tmp_path)
    with pytest.raises(BadScan, match="delete the folder"):
        samples.hippocampus()


@pytest.fixture
def not_downloaded(monkeypatch, qapp):
    """Nothing is there yet; a test says how the download goes."""
    monkeypatch.setattr(samples, "downloaded_hippocampus", lambda: None)

    def goes(*shares, ends=None, fails=None):
        def fetch():
            yield from shares
            if fails is not None:
                raise fails
            return ends

        monkeypatch.setattr(downloads, "fetch_hippocampus", fetch)

    return goes


def test_the_window_lives_on_during_the_download(not_downloaded, hippocampi):
    ticks = []
    timer = QTimer()
    timer.timeout.connect(lambda: ticks.append(1))
    timer.start(0)
    not_downloaded(0.0, 0.5, 1.0, ends=hippocampi)
    scan, _ = samples.hippocampus()
    timer.stop()
    assert scan[1]["name"] == "hippocampus_001"
    assert ticks, "the event loop went round"


def test_a_download_that_fails_is_told(not_downloaded):
    not_downloaded(0.0, fails=BadScan("no network"))
    with pytest.raises(BadScan, match="no network"):
        samples.hippocampus()


def test_a_download_can_be_stopped(not_downloaded, monkeypatch):
    not_downloaded(*itertools.repeat(0.1, 10_000))
    before = len(notification_manager.records)
    QTimer.singleShot(0, lambda: notification_manager.records[before].actions[0][1](None))
    with pytest.raises(BadScan, match="was stopped"):
        samples.hippocampus()


def test_only_one_download_runs_at_a_time(not_downloaded, hippocampi):
    not_downloaded(0.0, ends=hippocampi)
    problems = []

    def again():
        try:
            samples.hippocampus()
        except BadScan as problem:
            problems.append(str(problem))

    QTimer.singleShot(0, again)
    samples.hippocampus()
    assert "already" in problems[0]


def test_a_real_hippocampus_opens_with_its_label(real_scans):
    folder = real_scans / "hippocampus"
    image = sorted((folder / "images").glob("*.nii.gz"))[0]
    label = folder / "labels" / image.name
    layers = samples.labelled_scan(image.name, image, label, samples.HIPPOCAMPUS_CLASSES)
    assert [kind for _, _, kind in layers] == ["image", "labels"]
    assert set(np.unique(layers[1][0])) == {0, 1, 2}
