"""The command line: every spelling, one JSON object, and one sentence for each problem."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from napari_semiseg import cli
from napari_semiseg.arguments import spread
from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.training import loop, memory_backoff
from tests.engine.small_study import write_scans

ROOT = Path(__file__).parents[1]
TINY = ["--set", "network.filters=4", "--set", "patch=[16,16,16]",
        "--set", "network.strides=[[2,2,2]]", "--device", "cpu"]  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Answer:
    def __init__(self, status, out, error):
        self.status, self.out, self.error = status, out, error

    @property
    def data(self):
        """The one JSON object on standard output."""
        return json.loads(self.out)

    def assert_refused(self, *words):
        assert self.status == 1, self.error
        assert "Traceback" not in self.error
        lines = [line for line in self.error.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, self.error
        for word in words:
            assert word in lines[0]


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command as `napari-semiseg` would."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-semiseg", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, error = capsys.readouterr()
        return Answer(ended.value.code or 0, out, error)

    return call


@pytest.fixture
def scans(tmp_path):
    write_scans(tmp_path, 5)
    (tmp_path / "train.list").write_text("case_00\ncase_01\n")
    (tmp_path / "test.list").write_text("case_04\n")
    return tmp_path


@pytest.fixture
def study(run, scans):
    path = scans / "demo.semiseg"
    assert run("new", path, "--classes", "1=shell,2=core").status == 0
    added = run(
        "add", path, scans / "images", "--labels", scans / "labels",
        "--labelled", scans / "train.list", "--held-out", scans / "test.list",
    )  # fmt: skip
    assert added.status == 0, added.error
    return path


def save_image(path, voxels, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([1.0, 1.0, 1.5, 1.0]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return path


# the main job


def test_the_main_job_from_scans_to_maps_and_figures(run, study, scans):
    trained = run("train", study, "--method", "ua-mt", "--steps", 2, "--seed", 3,
                  "--set", "passes=2", *TINY, "--json")  # fmt: skip
    assert trained.status == 0, trained.error
    assert trained.data["run"] == "001-ua-mt"
    assert trained.data["status"] == "finished"
    assert trained.data["steps"] == 2
    with Study.open(study) as opened:
        record = opened.run("001-ua-mt").settings["training"]
    assert record["method_settings"] == {"passes": 2}
    assert record["plan_overrides"]["network.filters"] == 4
    assert record["seed"] == 3

    out = scans / "maps"
    predicted = run("predict", study, "--run", "001-ua-mt", "--cases", "case_02", "case_03",
                    "--out", out, "--json")  # fmt: skip
    assert predicted.status == 0, predicted.error
    assert list(predicted.data["cases"]) == ["case_02", "case_03"]
    original = nibabel.load(scans / "images" / "case_02.nii.gz")
    for kind in ("prediction", "uncertainty", "signed_distance", "similarity"):
        file = out / f"case_02_{kind}.nii.gz"
        assert str(file) == predicted.data["cases"]["case_02"][kind]
        np.testing.assert_array_equal(nibabel.load(file).affine, original.affine)

    measured = run("evaluate", study, "--run", "001-ua-mt", "--json")
    assert measured.status == 0, measured.error
    assert list(measured.data["cases"]) == ["case_04"]
    assert 0 <= measured.data["dice"] <= 1
    assert set(measured.data["mean"]) == {"shell", "core", "all"}

    exported = run("export", study, "--out", scans / "labels out", "--json")
    assert exported.status == 0, exported.error
    names = {Path(file).name for file in exported.data["files"]}
    assert {"case_00.nii.gz", "case_01.nii.gz"} <= names
    assert not any("case_02" in name for name in names)

    shown = run("status", study, "--json").data
    assert shown["cases"]["case_02"] == "predicted"
    assert shown["cases"]["case_04"] == "held-out"
    assert (shown["labelled"], shown["unlabelled"], shown["held_out"]) == (2, 2, 1)
    assert shown["runs"][0]["run"] == "001-ua-mt"


def test_the_same_verbs_speak_to_people_too(run, study, scans):
    trained = run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    assert "Run 001-supervised finished: 1 steps" in trained.out
    assert "Voxel size: as scanned." in trained.error
    predicted = run("predict", study, "--out", scans / "maps")
    assert "Wrote the maps of 2 cases" in predicted.out
    assert "core" in run("evaluate", study).out
    assert "held-out" in run("status", study).out


def test_a_resumed_run_keeps_its_method_and_settings(run, study):
    run("train", study, "--method", "supervised", "--steps", 1)
    again = ("train", study, "--resume", "001-supervised", "--steps", 2)
    run(*again, "--method", "dtc").assert_refused("leave them out")
    run(*again, "--set", "recipe.learning_rate=1").assert_refused("leave them out")
    assert run(*again, "--method", "supervised").status == 0


def test_a_stopped_run_is_resumed_with_a_new_budget(run, study):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    again = run("train", study, "--resume", "001-supervised", "--steps", 3, "--json")
    assert again.status == 0, again.error
    assert (again.data["run"], again.data["steps"]) == ("001-supervised", 3)
    run("train", study, "--resume", "001-supervised", "--steps", 3).assert_refused(
        "used its budget"
    )
    assert run("status", study, "--json").data["runs"][0]["status"] == "finished"


def test_a_run_starts_with_the_networks_and_settings_of_another(run, study):
    run("train", study, "--method", "supervised", "--preset", "paper", "--steps", 1, *TINY)
    again = ("train", study, "--start-from", "001-supervised", "--steps", 2)
    trained = run(*again, "--json")
    assert trained.status == 0, trained.error
    assert (trained.data["run"], trained.data["steps"]) == ("002-supervised", 2)
    assert trained.data["plan"]["preset"] == "paper"
    assert "001-supervised" in trained.data["plan"]["reasons"][-1]
    run(*again, "--method", "dtc").assert_refused("choose supervised")
    run(*again, "--preset", "modern").assert_refused("preset “paper”")
    run(*again, "--resume", "001-supervised").assert_refused("not both")


def test_suggestions_name_scans_without_a_label_and_say_why(run, study):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    found = run("suggest", study, "--count", 1, "--json").data["suggestions"]
    assert [each["case"] for each in found] in (["case_02"], ["case_03"])
    assert "as far from what is labelled" in found[0]["reason"]
    assert "begin with" in run("suggest", study).out
    run("suggest", study, "--run", "009-dtc").assert_refused("009-dtc")


def test_minutes_may_be_the_budget(run, study):
    trained = run("train", study, "--method", "supervised", "--minutes", 0.002, *TINY, "--json")
    assert trained.data["status"] == "finished"


def test_one_label_is_taken_over_by_name(run, study, scans):
    done = run("label", study, "case_02", scans / "labels" / "case_02.nii.gz", "--json")
    assert done.data == {"case": "case_02", "state": "labelled"}


def test_new_tells_the_study_and_its_classes(run, tmp_path):
    made = run("new", tmp_path / "brain", "--classes", "1=anterior,2=posterior", "--json")
    assert made.data["classes"] == {"1": "anterior", "2": "posterior"}
    assert Path(made.data["study"]) == tmp_path / "brain.semiseg"


def test_methods_lists_every_method_with_its_settings(run):
    listed = run("methods", "--json").data["methods"]
    assert {"supervised", "mean-teacher", "ua-mt", "dtc"} <= set(listed)
    assert listed["ua-mt"]["settings"]["passes"]["default"] == 8
    assert listed["ua-mt"]["year"] == 2019
    assert "Yu" in listed["ua-mt"]["paper"]
    assert listed["ua-mt"]["cost"] == 2.5  # 11 forward and 2 backward passes for 2 and 2
    assert "ua-mt" in run("methods").out


def test_doctor_finds_what_there_is(run):
    found = run("doctor", "--json").data
    assert torch.__version__.startswith(found["facts"]["torch"])
    assert "training device" in found["facts"]
    assert isinstance(found["fixes"], list)


def test_help_names_every_command(run):
    shown = run("--help").out
    for command in ("new", "add", "label", "train", "predict", "evaluate", "export", "methods",
                    "suggest", "compare",
                    "status", "demo", "doctor", "open"):  # fmt: skip
        assert command in shown


def test_help_does_not_load_torch():
    code = "import sys, napari_semiseg.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--cases", "a", "b", "--out", "o"], ["--cases", "a", "--cases", "b", "--out", "o"]),
        (["--out", "o", "--cases", "a"], ["--out", "o", "--cases", "a"]),
        (["--cases", "a", "--cases", "b"], ["--cases", "a", "--cases", "b"]),
        (["predict", "s"], ["predict", "s"]),
    ],
)
def test_several_values_may_follow_one_option(arguments, expected):
    assert spread(arguments, ("--cases", "--seeds")) == expected


# standard output and standard error


def test_json_is_all_that_standard_output_gets(study):
    """In a process of its own: nothing that a library prints may slip in."""
    code = "from napari_semiseg.cli import main; main()"
    command = [sys.executable, "-c", code, "train", study, "--method", "supervised", "--steps", "1"]
    done = subprocess.run(
        [*map(str, command), *TINY, "--json"],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"
    assert "Voxel size" in done.stderr


def test_a_problem_is_told_as_json_too(run, tmp_path):
    refused = run("status", tmp_path / "none.semiseg", "--json")
    refused.assert_refused("none.semiseg")
    assert set(refused.data) == {"error"}


def test_paths_that_look_like_markup_are_told_word_for_word(run, tmp_path):
    refused = run("status", tmp_path / "[old]" / "[/red].semiseg")
    refused.assert_refused("[old]", "[/red]")


# problems


@pytest.fixture
def empty(run, tmp_path):
    path = tmp_path / "empty.semiseg"
    run("new", path, "--classes", "1=shell,2=core")
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
        assert opened.runs() == []


def test_an_unknown_case_is_refused_before_anything_is_predicted(run, study, scans):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    answer = run("predict", study, "--cases", "case_02", "case_77", "--out", scans / "out")
    answer.assert_refused("case_77")
    assert not (scans / "out").exists()


@pytest.mark.parametrize("option", ["--steps", "--minutes"])
def test_a_run_cannot_be_resumed_with_an_impossible_budget(run, study, option):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    run("train", study, "--resume", "001-supervised", option, "0").assert_refused(
        option.removeprefix("--")
    )


def test_a_list_of_labels_without_their_folder_is_refused(run, empty, scans):
    answer = run("add", empty, scans / "images", "--labelled", scans / "train.list")
    answer.assert_refused("--labels")


# Ctrl-C


@pytest.fixture
def heeds_ctrl_c():
    """A shell starts what it puts into the background with Ctrl-C ignored; undo that here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_with_a_checkpoint(run, study, monkeypatch):
    original = memory_backoff.take_step

    def step(work):
        event = original(work)
        if event.step == 2:
            signal.raise_signal(signal.SIGINT)
        return event

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(memory_backoff, "take_step", step)
    stopped = run("train", study, "--method", "supervised", "--steps", 1000, *TINY, "--json")
    assert stopped.status == 0, stopped.error
    assert (stopped.data["status"], stopped.data["steps"]) == ("stopped", 2)
    assert "Stopping" in stopped.error
    assert signal.getsignal(signal.SIGINT) is before
    with Study.open(study) as opened:
        assert opened.run().status == "stopped"
        assert opened.run().has_checkpoint


def test_a_second_ctrl_c_does_not_wait(run, study, monkeypatch, heeds_ctrl_c):
    original = memory_backoff.take_step

    def step(work):
        if work.step == 1:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return original(work)

    monkeypatch.setattr(memory_backoff, "take_step", step)
    assert run("train", study, "--method", "supervised", "--steps", 9, *TINY).status == 130
    with Study.open(study) as opened:
        assert opened.runs()[-1].status == "stopped"


def test_ctrl_c_while_scans_are_read_ends_at_once(run, study, monkeypatch):
    original = loop.prepare

    def prepare(*arguments):
        signal.raise_signal(signal.SIGINT)
        return (yield from original(*arguments))

    monkeypatch.setattr(loop, "prepare", prepare)
    run("train", study, "--steps", 9, *TINY).assert_refused("stopped while the scans")
    with Study.open(study) as opened:
        assert opened.runs() == []


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to another process")
def test_ctrl_c_in_a_terminal_stops_with_a_checkpoint(study):
    code = "import torch; torch.set_num_threads(1); from napari_semiseg.cli import main; main()"
    command = ["train", str(study), "--method", "supervised", "--steps", "100000", *TINY, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    given_up = threading.Timer(90, process.kill)
    given_up.start()
    try:
        heard = []
        for line in process.stderr:  # the plan's reasons are told as the first step begins
            heard.append(line)
            if line.startswith("Network:"):
                process.send_signal(signal.SIGINT)
                break
        out, error = process.communicate()
    finally:
        given_up.cancel()
    assert process.returncode == 0, "".join(heard) + error
    assert json.loads(out)["status"] == "stopped"
    with Study.open(study) as opened:
        assert opened.runs()[-1].status == "stopped"
        assert opened.runs()[-1].has_checkpoint


# the demo


def test_the_demo_replaces_nothing_but_a_former_demo(run, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    run("demo", "--out", tmp_path, "--no-open").assert_refused("is not empty", "--out")
    run("demo", "--out", tmp_path / "thesis.txt", "--no-open").assert_refused("--out")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_demo_refuses_an_impossible_time_before_it_starts(run, tmp_path):
    run("demo", "--out", tmp_path / "demo", "--minutes", "0").assert_refused("“minutes”")
    assert not (tmp_path / "demo").exists()


@pytest.mark.slow
def test_the_demo_runs_from_scans_to_a_picture_and_again(run, tmp_path):
    out = tmp_path / "demo"
    for _ in range(2):
        done = run("demo", "--out", out, "--minutes", "0.05", "--json")
        assert done.status == 0, done.error
        assert 0 <= done.data["dice"] <= 1
        assert done.data["labelled"] == 3
        assert Path(done.data["picture"]).stat().st_size > 10_000
        kinds = {path.name.split("_", 2)[2] for path in Path(done.data["maps"]).glob("*.nii.gz")}
        assert kinds >= {
            f"{kind}.nii.gz"
            for kind in ("prediction", "uncertainty", "signed_distance", "similarity")
        }
        with Study.open(done.data["study"]) as opened:
            assert opened.run().status == "finished"
            assert CaseState.PREDICTED in {case.state for case in opened.cases()}
