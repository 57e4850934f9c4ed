"""The sample scans that come with the program are complete, consistent, small and repeatable."""

import importlib.util
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_semiseg import sample_data
from napari_semiseg.engine.errors import BadScan

CASES = sample_data.sample_cases()


def voxels(path: Path) -> np.ndarray:
    return np.asanyarray(nibabel.load(path).dataobj)


@pytest.fixture(scope="module")
def maker():
    """Import make_brains.py from its file, as a script."""
    pytest.importorskip("nilearn")
    path = sample_data.sample_folder() / "make_brains.py"
    spec = importlib.util.spec_from_file_location("make_brains", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_sixteen_cases_in_order() -> None:
    assert sample_data.sample_cases() == [f"brain_{number:02d}" for number in range(1, 17)]


@pytest.mark.parametrize("name", CASES)
def test_image_and_label_lie_on_one_grid_of_two_millimetres(name: str) -> None:
    image = nibabel.load(sample_data.image_path(name))
    label = nibabel.load(sample_data.label_path(name))
    assert image.shape == label.shape
    np.testing.assert_array_equal(image.affine, label.affine)
    np.testing.assert_array_equal(image.header.get_zooms(), (2, 2, 2))
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    assert image.header["sform_code"] == image.header["qform_code"] == 1
    np.testing.assert_array_equal(image.get_qform(), image.get_sform())
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8


@pytest.mark.parametrize("name", CASES)
def test_every_case_has_every_class_in_plausible_amounts(name: str) -> None:
    label = voxels(sample_data.label_path(name))
    values, counts = np.unique(label, return_counts=True)
    assert values.tolist() == [0, *(info.value for info in sample_data.CLASSES)]
    fluid, grey, white = counts[1:] * 8 / 1000
    assert 50 < fluid < 300
    assert 600 < grey < 1200
    assert 350 < white < 700


@pytest.mark.parametrize("name", CASES)
def test_brightness_rises_from_fluid_to_grey_to_white_matter(name: str) -> None:
    image = voxels(sample_data.image_path(name))
    label = voxels(sample_data.label_path(name))
    fluid, grey, white = (np.median(image[label == value]) for value in (1, 2, 3))
    assert fluid < 0.75 * grey
    assert grey < 0.95 * white
    assert not image[label == 0].any()
    assert image.max() < 512


def test_cases_differ_in_extent_and_place() -> None:
    images = [nibabel.load(sample_data.image_path(name)) for name in CASES]
    assert len({image.shape for image in images}) > 8
    assert len({tuple(image.affine[:3, 3]) for image in images}) == len(CASES)


def test_the_whole_folder_takes_less_than_eight_megabytes() -> None:
    folder = sample_data.sample_folder()
    files = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 8e6


def test_the_notices_of_the_sources_travel_with_the_data() -> None:
    notice = (sample_data.sample_folder() / "LICENSE-MNI.txt").read_text(encoding="utf-8")
    assert "Copyright (C) 1993-2009 Louis Collins" in notice
    assert "The nilearn developers" in notice


def test_an_unknown_case_is_told_in_one_sentence_with_the_known_ones() -> None:
    with pytest.raises(BadScan, match=r"no sample case 'brain_99'.*choose one of brain_01"):
        sample_data.image_path("brain_99")


@pytest.mark.trains
def test_the_script_makes_a_committed_case_again(maker) -> None:
    brain = maker.make_brain(3)
    committed = nibabel.load(sample_data.image_path("brain_03"))
    assert brain.image.shape == committed.shape
    np.testing.assert_array_equal(brain.affine, committed.affine)
    # Another processor may round a few voxels the other way.
    difference = brain.image - voxels(sample_data.image_path("brain_03")).astype(int)
    assert np.abs(difference).max() <= 2
    assert np.mean(brain.label == voxels(sample_data.label_path("brain_03"))) > 0.9999


@pytest.mark.slow
def test_the_script_makes_identical_voxels_twice(maker) -> None:
    first, second = maker.make_brain(1), maker.make_brain(1)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.label, second.label)
    assert not np.array_equal(first.image, maker.make_brain(1, seed=7).image)


def test_the_warp_folds_nowhere(maker) -> None:
    random = np.random.default_rng([maker.SEED, 9])
    there = maker.template_positions(random, maker.read_template())
    jacobian = np.stack([np.stack(np.gradient(part), axis=-1) for part in there], axis=-2)
    inside = (slice(6, -6),) * 3
    assert np.linalg.det(jacobian[inside]).min() > 0
