"""The fingerprint looks at every scan that may be trained on, and at no other."""

import nibabel
import numpy as np
import pytest

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.planning.fingerprint import take_fingerprint, turned
from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.volumes import Geometry
from tests.engine.small_study import make_study


def write_scan(folder, name, voxels, affine=None):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4) if affine is None else affine), path)
    return path


def study_of(tmp_path, *paths):
    study = Study.create(tmp_path / "s.semiseg", parse_classes("1=a"))
    for _ in study.scans.add_all(paths):
        pass
    return study


def test_shape_and_spacing_are_medians_in_anatomical_order(tmp_path):
    with make_study(tmp_path) as study:
        found = take_fingerprint(study)
    assert found.shape == found.smallest_shape == (24, 22, 20)
    assert found.spacing == (1.5, 1.0, 1.0)
    assert found.channels == 1
    assert not found.is_ct


@pytest.mark.parametrize("axes", ["RAS", "LPI", "ASR", "PIR"])
def test_a_grid_is_turned_to_superior_anterior_right_whatever_its_orientation(axes):
    shape = dict(zip("xyz", (20, 22, 24), strict=True))
    spacing = dict(zip("xyz", (1.0, 2.0, 3.0), strict=True))
    world = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for voxel_axis, letter in enumerate(axes):
        size = spacing["xyz"[world[letter]]]
        affine[world[letter], voxel_axis] = size if letter in "RAS" else -size
    extents = [shape["xyz"[world[letter]]] for letter in axes]
    geometry = Geometry(tuple(reversed(extents)), affine, None)
    found_shape, found_spacing = turned(geometry)
    assert found_shape.tolist() == [24, 22, 20]
    assert found_spacing.tolist() == pytest.approx([3.0, 2.0, 1.0])


def test_intensities_are_sampled_inside_the_labels(tmp_path):
    voxels = np.full((10, 10, 10), -1000, np.int16)
    voxels[3:7, 3:7, 3:7] = 60
    paths = []
    for index in range(3):
        voxels[0, 0, 0] = index  # no two scans are the same
        paths.append(write_scan(tmp_path / "i", f"case_{index}", voxels))
    with study_of(tmp_path, *paths) as study:
        study.labels.save("case_1", (study.scans.read("case_1").voxels[0] == 60).astype(np.uint8),
                         state=CaseState.LABELLED)  # fmt: skip
        found = take_fingerprint(study)
    assert found.is_ct
    assert found.foreground[0].min() == found.foreground[0].max() == 60


def test_without_labels_intensities_are_sampled_everywhere(tmp_path):
    with make_study(tmp_path, labelled=0) as study:
        values = take_fingerprint(study).foreground[0]
    assert np.median(values) == pytest.approx(100, abs=3)


def test_each_channel_has_its_own_intensities(tmp_path):
    with make_study(tmp_path, count=3, channels=2) as study:
        found = take_fingerprint(study)
    first, second = found.foreground
    assert found.channels == 2
    assert second.mean() == pytest.approx(2 * first.mean(), rel=0.01)


def test_held_out_scans_are_not_looked_at(tmp_path, monkeypatch):
    with make_study(tmp_path, held_out=2) as study:
        read = []
        for shelf, what in ((study.scans, "read"), (study.labels, "load")):
            original = getattr(shelf, what)
            monkeypatch.setattr(
                shelf, what, lambda name, original=original: (read.append(name), original(name))[1]
            )
        take_fingerprint(study)
        assert read
        assert not set(read) & {case.name for case in study.held_out_cases()}


def test_values_like_hounsfield_units_are_taken_for_ct(tmp_path):
    voxels = np.random.default_rng(0).normal(40, 10, (10, 10, 10)).astype(np.int16)
    voxels[:5] = -1000
    with study_of(tmp_path, write_scan(tmp_path / "i", "ct", voxels)) as study:
        assert take_fingerprint(study).is_ct


def test_a_study_without_scans_says_so(tmp_path):
    with study_of(tmp_path) as study, pytest.raises(TrainingError, match="has no scans"):
        take_fingerprint(study)
