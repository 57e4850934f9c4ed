"""The verbs of the command line, on the main job from scans to figures."""

import platform
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import torch

from napari_semiseg.engine.inference import prediction
from napari_semiseg.engine.study import Study
from tests.cli.typed import ROOT, TINY


def test_the_main_job_from_scans_to_maps_and_figures(run, study, scans):
    trained = run("train", study, "--method", "ua-mt", "--steps", 2, "--seed", 3,
                  "--set", "passes=2", *TINY, "--json")  # fmt: skip
    assert trained.status == 0, trained.error
    assert trained.data["run"] == "001-ua-mt"
    assert trained.data["status"] == "finished"
    assert trained.data["steps"] == 2
    with Study.open(study) as opened:
        record = opened.runs.get("001-ua-mt").settings["training"]
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


def test_overlap_and_air_are_up_to_the_user(run, study, scans, monkeypatch):
    run("train", study, "--method", "supervised", "--steps", 1, *TINY)
    original, asked = prediction.blend, []

    def blend(method, image, kinds, overlap, axis, air):
        asked.append((overlap, air is not None))
        return original(method, image, kinds, overlap, axis, air)

    monkeypatch.setattr(prediction, "blend", blend)
    for words in ([], ["--overlap", 0.75, "--keep-air"]):
        predicted = run("predict", study, "--cases", "case_02", "--out", scans / "maps", *words)
        assert predicted.status == 0, predicted.error
    assert asked == [(0.5, True), (0.75, False)]
    refused = run("predict", study, "--out", scans / "maps", "--overlap", 1)
    assert refused.status == 2
    assert "--overlap" in refused.error


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


def test_doctor_tells_nothing_that_is_private(run):
    """The form for bugs asks for it."""
    told = run("doctor", "--json").out
    for private in (str(Path.home()), str(Path.cwd()), platform.node()):
        assert private not in told


def test_help_names_every_command(run):
    shown = run("--help").out
    for command in ("new", "add", "label", "train", "predict", "evaluate", "export", "methods",
                    "suggest", "compare",
                    "status", "demo", "doctor", "open"):  # fmt: skip
        assert command in shown


def test_help_does_not_load_torch():
    code = "import sys, napari_semiseg.cli.commands; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
