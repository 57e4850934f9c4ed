from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari_semiseg.sample_data import image_path, label_path
from npe2 import PluginManager, PluginManifest

import napari_semiseg
from napari_semiseg.engine.volumes import read_label
from napari_semiseg.engine.volumes.formats import patterns, writable_endings

PLUGIN = "napari-semiseg"
FILE = Path(napari_semiseg.__file__).with_name("napari.yaml")


@pytest.fixture(scope="module")
def manifest():
    return PluginManifest.from_file(FILE)


@pytest.fixture
def plugin(npe2pm, manifest):
    with npe2pm.tmp_plugin(manifest=manifest) as temporary:
        yield temporary


def test_it_is_found_under_its_name_and_title(manifest):
    assert manifest.name == PLUGIN
    assert manifest.display_name == "Semi-supervised segmentation"
    assert set(manifest.categories) == {"Segmentation", "Annotation"}


def test_every_command_leads_to_something_that_can_be_called(manifest):
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_titles_read_as_sentences_in_the_command_palette(manifest):
    for command in manifest.contributions.commands:
        words = command.title.split()
        assert len(words) >= 4
        assert command.title[0].isupper()
        assert not command.title.endswith(".")


def test_the_dock_is_in_the_menu_for_segmentation(manifest):
    [item] = manifest.contributions.menus["napari/layers/segment"]
    assert item.command == manifest.contributions.widgets[0].command


@pytest.mark.parametrize(
    "name", ["a.nii", "a.nii.gz", "A.NII.GZ", "a.b.nii.gz", "a.seg.nrrd", "a.mha", "a.mhd", "a.dcm"]
)
def test_medical_files_are_offered_to_its_reader(plugin, npe2pm, name):
    readers = list(npe2pm.iter_compatible_readers([name]))
    assert [reader.command for reader in readers] == [f"{PLUGIN}.read_scans"]


def test_it_names_the_endings_of_the_table_of_file_types(manifest):
    reader = manifest.contributions.readers[0]
    assert reader.command == f"{PLUGIN}.read_scans"
    assert reader.filename_patterns == patterns()
    [writer] = manifest.contributions.writers
    assert writer.filename_extensions == writable_endings()


@pytest.mark.parametrize("ending", writable_endings())
def test_a_label_is_saved_through_napari_as_every_type_that_can_be_written(
    plugin, qapp, tmp_path, ending
):
    viewer = ViewerModel()
    viewer.open(label_path("brain_02"), plugin=PLUGIN)
    path = tmp_path / f"saved{ending}"
    assert viewer.layers[0].save(str(path), plugin=PLUGIN) == [str(path)]
    np.testing.assert_array_equal(read_label(path).voxels, viewer.layers[0].data)


def test_other_files_are_not_offered_to_it(plugin, npe2pm):
    assert not list(npe2pm.iter_compatible_readers(["cells.tif"]))


def test_a_scan_and_its_saved_label_go_through_napari(plugin, qapp, tmp_path):
    viewer = ViewerModel()
    viewer.open(image_path("brain_02"), plugin=PLUGIN)
    viewer.open(label_path("brain_02"), plugin=PLUGIN)
    scan, label = viewer.layers
    assert (scan._type_string, label._type_string) == ("image", "labels")
    path = tmp_path / "saved.nii.gz"
    assert label.save(str(path), plugin=PLUGIN) == [str(path)]
    np.testing.assert_array_equal(read_label(path).voxels, label.data)


def test_the_sample_brain_opens_through_napari(plugin, qapp):
    viewer = ViewerModel()
    viewer.open_sample(PLUGIN, "brain")
    assert [layer.name for layer in viewer.layers] == ["brain_01", "brain_01 label"]


def test_the_installed_plugin_manager_accepts_the_manifest(manifest):
    manager = PluginManager()
    manager.register(manifest)
    assert manager.get_manifest(PLUGIN) is manifest
