"""What cannot be done is told in one sentence, and nothing is lost."""

import nibabel
import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState, Study
from tests.cli.typed import TINY


@pytest.fixture
def empty(run, tmp_path):
    path = tmp_path / "empty.semiseg"
    run("new", path, "--classes", "1=shell,2=core")
    return path


def save_image(path, voxels, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.0, 1.0, 1.5, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


def assert_not_added(answer, study, *words):
    assert answer.status == 1
    assert "Traceback" not in answer.error
    for word in words:
        assert word in answer.error
    with Study.open(study) as opened:
        assert opened.cases() == []


@pytest.mark.parametrize(
    "command",
    [
        ["add", "STUDY", "images"],
        ["label", "STUDY", "case_00", "label.nii.gz"],
        ["train", "STUDY", "--steps", "1"],
        ["predict", "STUDY", "--out", "out"],
        ["evaluate", "STUDY"],
        ["export", "STUDY", "--out", "out"],
        ["status", "STUDY"],
    ],
)
def test_a_missing_study_is_named(run, tmp_path, command):
    path = tmp_path / "missing.semiseg"
    refused = run(*[path if word == "STUDY" else word for word in command])
    refused.assert_refused("missing")
    assert not path.exists()


@pytest.mark.parametrize("classes", ["", "anterior", "1=a,1=b", "0=background", "300=x", "x=1"])
def test_classes_that_contradict_each_other_make_no_study(run, tmp_path, classes):
    run("new", tmp_path / "s", "--classes", classes).assert_refused()
    assert not (tmp_path / "s.semiseg").exists()


def test_a_truncated_scan_is_refused(run, empty, scans):
    path = scans / "images" / "case_00.nii.gz"
    path.write_bytes(path.read_bytes()[:3000])
    assert_not_added(run("add", empty, path), empty, "case_00")


def test_voxels_without_a_value_are_refused(run, empty, tmp_path):
    voxels = np.zeros((8, 8, 8), np.float32)
    voxels[4, 4, 4] = np.nan
    path = save_image(tmp_path / "nan.nii.gz", voxels)
    assert_not_added(run("add", empty, path), empty, "nan.nii.gz", "not a number")


def test_an_empty_folder_is_refused(run, empty, tmp_path):
    (tmp_path / "nothing").mkdir()
    assert_not_added(run("add", empty, tmp_path / "nothing"), empty, "nothing")


def test_a_scan_that_is_not_there_is_refused(run, empty, tmp_path):
    assert_not_added(run("add", empty, tmp_path / "gone.nii.gz"), empty, "gone")


def test_a_dicom_folder_with_slices_of_two_grids_is_refused(run, empty, tmp_path):
    write_mixed_series(tmp_path / "dicom")
    assert_not_added(run("add", empty, tmp_path / "dicom"), empty)


def write_mixed_series(folder):
    """Write one series whose second half has other pixels than its first."""
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    series, study = generate_uid(), generate_uid()
    for index in range(6):
        size = 16 if index < 3 else 12
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        slice_ = pydicom.dataset.FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        slice_.SeriesInstanceUID, slice_.StudyInstanceUID = series, study
        slice_.Modality, slice_.SeriesNumber, slice_.InstanceNumber = "CT", 1, index + 1
        slice_.PatientID, slice_.PatientName = "1", "Nobody"
        slice_.ImagePositionPatient = [0, 0, float(index)]
        slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        slice_.PixelSpacing, slice_.SliceThickness = [1, 1], 1
        slice_.Rows = slice_.Columns = size
        slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
        slice_.BitsAllocated = slice_.BitsStored = 16
        slice_.HighBit, slice_.PixelRepresentation = 15, 1
        slice_.RescaleSlope, slice_.RescaleIntercept = 1, -1024
        slice_.PixelData = np.zeros((size, size), np.int16).tobytes()
        slice_.save_as(folder / f"{index}.dcm", enforce_file_format=True)


def test_one_bad_scan_among_others_is_told_and_the_others_are_added(run, empty, scans):
    path = scans / "images" / "case_01.nii.gz"
    path.write_bytes(path.read_bytes()[:3000])
    answer = run("add", empty, scans / "images", "--json")
    assert answer.status == 1
    assert answer.data["added"] == 4
    assert len(answer.data["problems"]) == 1
    assert answer.data["problems"][0] in answer.error


def test_a_label_of_another_geometry_is_refused(run, study, scans):
    shape = nibabel.load(scans / "images" / "case_02.nii.gz").shape
    shifted = np.diag([1.0, 1.0, 1.5, 1.0])
    shifted[0, 3] = 0.5
    path = save_image(scans / "shifted.nii.gz", np.ones(shape, np.uint8), shifted)
    run("label", study, "case_02", path).assert_refused("shifted")
    path = save_image(scans / "small.nii.gz", np.ones((4, 4, 4), np.uint8))
    run("label", study, "case_02", path).assert_refused("small")
    with Study.open(study) as opened:
        assert opened.case("case_02").state == CaseState.UNLABELLED


def test_a_label_value_without_a_class_is_refused(run, study, scans):
    shape = nibabel.load(scans / "images" / "case_02.nii.gz").shape
    path = save_image(scans / "seven.nii.gz", np.full(shape, 7, np.uint8))
    run("label", study, "case_02", path).assert_refused("7")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", "--method", "uamt"], ["“uamt”", "“ua-mt”"]),
        (["train", "--minutes", "1", "--steps", "5"], ["--minutes or --steps"]),
        (["train", "--steps", "0"], ["“steps”"]),
        (["train", "--minutes", "-1"], ["“minutes”"]),
        (["train", "--preset", "fast"], ["“preset”"]),
        (["train", "--device", "tpu"], ["“tpu”"]),
        (["train", "--device", "cpu", "--devices", "9999"], ["CPU cores, not 9999"]),
        (["train", "--set", "passes"], ["NAME=VALUE"]),
        (["train", "--set", "passes=1"], ["“passes”"]),
        (["train", "--set", "pases=4"], ["“pases”"]),
        (["train", "--set", "patch=large"], ["patch"]),
        (["train", "--resume", "009-dtc"], ["009-dtc"]),
        (["label", "case_99", "label.nii.gz"], ["case_99"]),
        (["label", "case_02", "gone.nii.gz"], ["gone.nii.gz"]),
        (["predict", "--out", "OUT"], ["train first"]),
        (["predict", "--run", "009-dtc", "--out", "OUT"], ["009-dtc"]),
        (["evaluate"], ["train first"]),
        (["evaluate", "--run", "009-dtc"], ["009-dtc"]),
    ],
)
def test_a_request_that_is_not_possible_is_refused_in_one_sentence(
    run, study, scans, command, words
):
    verb, *rest = command
    answer = run(verb, study, *[scans / "out" if word == "OUT" else word for word in rest])
    answer.assert_refused(*words)
    assert answer.out == ""
    with Study.open(study) as opened:
        assert opened.runs.all() == []


def test_an_unknown_case_is_refused_before_anything_is_predicted(run, study, scans):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    answer = run("predict", study, "--cases", "case_02", "case_77", "--out", scans / "out")
    answer.assert_refused("case_77")
    assert not (scans / "out").exists()


@pytest.mark.trains
@pytest.mark.parametrize("option", ["--steps", "--minutes"])
def test_a_run_cannot_be_resumed_with_an_impossible_budget(run, study, option):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    run("train", study, "--resume", "001-supervised", option, "0").assert_refused(
        option.removeprefix("--")
    )


def test_a_list_of_labels_without_their_folder_is_refused(run, empty, scans):
    answer = run("add", empty, scans / "images", "--labelled", scans / "train.list")
    answer.assert_refused("--labels")
