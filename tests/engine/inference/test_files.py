"""The files of the maps lie on the scan's grid exactly; nibabel is the judge."""

import json

import nibabel
import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.files import NOTICE, write_maps
from napari_semiseg.engine.inference.maps import MAP_KINDS, every_kind
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.volumes import read_volume
from tests.engine.inference.known_answers import TwoAnswers, affine_of, blob, finish, make_plan

CLASSES = {2: "shell", 9: "core"}


@pytest.fixture(params=["RAS", "LPI", "ASR", "oblique"])
def scan(request, tmp_path):
    affine = affine_of("RAS" if request.param == "oblique" else request.param, (0.7, 1.1, 2.3))
    if request.param == "oblique":
        angle = 0.15
        turn = np.eye(4)
        turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        affine = turn @ affine
    mask = blob()
    image = (mask + (blob() & np.roll(mask, 1, 0))).transpose().astype(np.float32)
    path = tmp_path / "patient.nii.gz"
    nibabel.save(nibabel.Nifti1Image(image, affine), path)
    return path, image


@pytest.fixture
def maps(scan):
    volume = read_volume(scan[0])
    plan = make_plan(spacing=(2.3, 1.1, 0.7), class_values=(2, 9))
    if nibabel.aff2axcodes(nibabel.load(scan[0]).affine)[0] == "A":
        plan = make_plan(spacing=(1.1, 0.7, 2.3), class_values=(2, 9))
    method = TwoAnswers(plan, (0.5, 1.5))
    return finish(predict_case(method, "patient", volume, every_kind()))[1]


def test_each_map_is_a_file_on_the_scans_affine(tmp_path, scan, maps):
    path, image = scan
    files = write_maps(tmp_path / "new" / "out", maps, CLASSES)
    assert {kind: file.name for kind, file in files.items()} == {
        kind: f"patient_{kind}.nii.gz" for kind in (*MAP_KINDS, *maps.native)
    }
    original = nibabel.load(path)
    shapes = {"signed_distance": (2,), "similarity": (3,), "mask": (2,), "border": (2,)}
    shapes["likeness"] = (3,)
    for kind, file in files.items():
        written = nibabel.load(file)
        np.testing.assert_array_equal(written.affine, original.affine)
        assert written.header["sform_code"] == original.header["sform_code"]
        assert written.header["qform_code"] == original.header["qform_code"]
        assert written.shape == image.shape + shapes.get(kind, ())
    for kind in ("prediction", "second_answer"):  # the two answers agree on whole numbers
        values = np.asanyarray(nibabel.load(files[kind]).dataobj)
        assert values.dtype == np.uint8
        np.testing.assert_array_equal(values, np.choose(image.astype(int), [0, 2, 9]))


def test_channels_are_the_fourth_axis(tmp_path, maps):
    files = write_maps(tmp_path / "out", maps, CLASSES)
    for kind in ("similarity", "border"):
        written = nibabel.load(files[kind]).get_fdata()
        for index, channel in enumerate(maps.arrays()[kind]):
            np.testing.assert_allclose(written[..., index].transpose(), channel, atol=1e-6)


def test_class_names_and_a_notice_lie_beside_the_files(tmp_path, maps):
    write_maps(tmp_path / "out", maps, CLASSES)
    for kind in ("prediction", "second_answer"):
        names = json.loads((tmp_path / "out" / f"patient_{kind}.json").read_text())
        assert names["labels"]["core"] == 9
    assert "research use only" in (tmp_path / "out" / NOTICE).read_text()


def test_a_folder_that_cannot_be_made_is_refused_in_one_sentence(tmp_path, maps):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StudyError, match=r"cannot be written .*choose another"):
        write_maps(tmp_path / "file", maps, CLASSES)
