from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Layer

from napari_semiseg.engine.errors import BadScan, StudyError
from napari_semiseg.engine.study import Study, parse_classes
from napari_semiseg.engine.volumes import Geometry, find_scans, read_label, write_label, write_map
from napari_semiseg.gui.hooks import readers

SHAPE = (4, 6, 8)
GRID = Geometry(shape=SHAPE, affine=np.diag([0.5, 1.5, 3.0, 1.0]), nifti=None)


@pytest.fixture
def scan(tmp_path):
    path = tmp_path / "knee.nii.gz"
    write_map(path, np.random.default_rng(0).normal(size=SHAPE), GRID)
    return path


@pytest.fixture
def label(tmp_path):
    path = tmp_path / "knee_seg.nrrd"
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[1:3, 2:4, 2:6] = 3
    write_label(path, voxels, GRID, {3: "cartilage"})
    return path


@pytest.fixture
def study(tmp_path, scan, label):
    with Study.create(tmp_path / "knees", parse_classes("3=cartilage")) as made:
        made.scans.add(find_scans([scan])[0])
        made.labels.import_file("knee", label)
        return made.path


def read(path):
    reader = readers.get_scan_reader(path)
    assert reader is not None
    return reader(path)


def test_a_scan_opens_as_an_image_with_its_spacing_in_millimetres(scan):
    [(voxels, arguments, kind)] = read(str(scan))
    layer = Layer.create(voxels, arguments, kind)
    assert (kind, layer.name) == ("image", "knee")
    np.testing.assert_allclose(layer.scale, (3.0, 1.5, 0.5))
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3


def test_a_label_with_class_names_opens_as_labels_with_those_names(label):
    [(voxels, arguments, kind)] = read(label)
    assert kind == "labels"
    assert arguments["features"] == {"index": [0, 3], "class": ["background", "cartilage"]}
    np.testing.assert_array_equal(voxels, read_label(label).voxels)


def test_a_file_of_few_whole_numbers_opens_as_labels(tmp_path):
    path = tmp_path / "mask.mha"
    write_label(path, np.eye(6, 8, dtype=np.uint8)[None].repeat(4, 0), GRID)
    assert read(path)[0][2] == "labels"


def test_a_file_of_many_whole_numbers_opens_as_an_image(tmp_path):
    path = tmp_path / "ct.nii.gz"
    write_label(path, np.arange(np.prod(SHAPE)).reshape(SHAPE), GRID)
    assert read(path)[0][2] == "image"


def test_channel_files_opened_together_are_one_scan(tmp_path):
    paths = [tmp_path / f"head_000{channel}.nii.gz" for channel in (0, 1)]
    for path in paths:
        write_map(path, np.random.default_rng(1).normal(size=SHAPE), GRID)
    names = [arguments["name"] for _, arguments, _ in read([str(path) for path in paths])]
    assert names == ["head · channel 1", "head · channel 2"]


def test_other_files_are_declined(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no scan")
    assert readers.get_scan_reader(text) is None


def test_a_folder_without_dicom_files_is_declined(tmp_path, scan):
    assert readers.get_folder_reader(tmp_path) is None


def test_a_folder_of_dicom_files_is_taken(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert readers.get_folder_reader(str(tmp_path)) is readers.read_scans


def test_a_broken_file_is_told_in_a_sentence_with_its_path(tmp_path):
    path = tmp_path / "broken.nii.gz"
    path.write_bytes(b"not an image")
    with pytest.raises(BadScan, match=r"broken\.nii\.gz"):
        read(path)


def test_a_study_without_a_window_gives_its_first_case_with_its_label(study):
    assert readers.get_folder_reader(study) is readers.read_study
    [scan, label] = readers.read_study(study)
    assert (scan[1]["name"], scan[2]) == ("knee", "image")
    assert (label[1]["name"], label[2]) == ("knee label", "labels")
    assert set(np.unique(label[0])) == {0, 3}


def test_a_study_in_a_window_opens_in_the_dock_and_adds_no_layers_of_its_own(study, monkeypatch):
    opened = []
    widget = SimpleNamespace(
        session=SimpleNamespace(open_study=SimpleNamespace(open=opened.append))
    )
    window = SimpleNamespace(add_plugin_dock_widget=lambda plugin, name: (None, widget))
    monkeypatch.setattr("napari.current_viewer", lambda: SimpleNamespace(window=window))
    assert readers.read_study(str(study)) == [(None,)]
    assert opened == [study]


def test_a_study_without_scans_says_so(tmp_path):
    with Study.create(tmp_path / "empty", parse_classes("1=a")) as made:
        path = made.path
    with pytest.raises(StudyError, match="no scans yet"):
        readers.read_study(path)


def test_what_napari_loads_at_start_up_loads_neither_torch_nor_qt():
    program = (
        "import sys, napari_semiseg.gui.hooks.readers, napari_semiseg.gui.hooks.writers\n"
        "import napari_semiseg.gui.hooks.samples, napari_semiseg.gui.viewer.layer_data\n"
        "print([name for name in ('torch', 'monai', 'qtpy', 'napari') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
