"""`napari-semiseg compare`, as it is typed."""

import json
import re
import sys

import pytest
import torch

from napari_semiseg.cli import commands, jobs
from napari_semiseg.cli.jobs import Place, places
from napari_semiseg.engine.planning.machine import Machine
from tests.cli.typed import TINY
from tests.engine.small_study import make_study

pytestmark = pytest.mark.trains


@pytest.fixture
def compare(monkeypatch, capsys, tmp_path):
    study = make_study(tmp_path, count=6, labelled=2, held_out=3)

    def call(*arguments):
        words = ["napari-semiseg", "compare", str(study.path), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            commands.main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


def test_one_command_makes_the_tables_and_does_not_repeat_runs(compare, tmp_path):
    out = tmp_path / "comparison.md"
    arguments = ["--methods", "mean-teacher", "--seeds", 0, 1, "--steps", 2, *TINY]
    status, text, _ = compare(*arguments, "--out", out, "--json")
    assert status == 0
    runs = json.loads(text)["runs"]
    assert [run["settings"]["method"] for run in runs] == ["supervised", "mean-teacher"] * 2
    assert all(len(run["cases"]) == 3 for run in runs)
    written = out.read_text()
    assert "--methods mean-teacher --presets modern --seeds 0 1 --steps 2" in written
    assert str(tmp_path) not in written
    _, again, _ = compare(*arguments, "--json")
    assert [run["run"] for run in json.loads(again)["runs"]] == [run["run"] for run in runs]


def test_what_is_there_can_be_shown_without_training(compare, tmp_path):
    arguments = ["--methods", "mean-teacher", "--steps", 2, *TINY, "--no-train"]
    status, _, error = compare(*arguments)
    assert status == 1
    assert "none of these runs yet" in error
    compare("--methods", "supervised", "--steps", 2, *TINY)
    status, text, _ = compare(*arguments, "--json", "--out", tmp_path / "tables.md")
    assert status == 0
    assert [run["settings"]["method"] for run in json.loads(text)["runs"]] == ["supervised"]
    assert "| supervised |" in (tmp_path / "tables.md").read_text()


def test_people_get_the_same_tables_on_the_screen(compare):
    status, text, _ = compare("--methods", "supervised", "--steps", 1, *TINY)
    assert status == 0
    assert "Preset modern, 1 steps" in text
    assert "| supervised |" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--methods", "supervised"], "--steps, --minutes or both"),
        (["--methods", "supervisd", "--steps", "1"], "supervised"),
        (["--methods", "dtc", "--steps", "1", "--presets", "fast"], "preset"),
        (["--methods", "dtc", "--steps", "0"], "steps"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(compare, arguments, words):
    status, _, error = compare(*arguments)
    assert status == 1
    assert "Traceback" not in error
    (line,) = [line for line in error.splitlines() if line.startswith("Error: ")]
    assert words in line


JOBS = ["--methods", "mean-teacher", "--steps", 2, *TINY, "--jobs", 2]


def test_several_runs_at_a_time_give_the_same_tables_and_tell_whose_line_it_is(compare, tmp_path):
    out = tmp_path / "comparison.md"
    status, text, error = compare(*JOBS, "--json", "--out", out)
    assert status == 0, error
    told = json.loads(text)
    assert told["failed"] == []
    assert [run["settings"]["method"] for run in told["runs"]] == ["supervised", "mean-teacher"]
    for name in ("supervised", "mean-teacher"):
        assert re.search(rf"^{name}, modern, seed 0, 2 steps: run \d+-{name} begins", error, re.M)
        assert f"| {name} |" in out.read_text()
    status, _, error = compare(*JOBS, "--json")
    assert status == 0
    assert "0 of 2 runs are to be trained" in error


def test_a_run_that_fails_does_not_stop_the_others(compare):
    unmendable = ["--set", "recipe.labelled=1", "--set", "network.strides=[[2,2,2]]"]
    status, text, error = compare(
        "--methods", "urpc", "--steps", 2, *TINY, *unmendable, "--jobs", 2, "--json"
    )
    assert status == 1
    told = json.loads(text)
    assert [run["settings"]["method"] for run in told["runs"]] == ["supervised"]
    assert told["failed"] == ["urpc, modern, seed 0, 2 steps"]
    assert "urpc, modern, seed 0, 2 steps: Uncertainty-rectified pyramid" in error
    assert "1 runs failed" in error


def test_graphics_cards_are_given_out_in_turn(monkeypatch):
    card = Machine("cuda", "GPU", 2**34, 8, "bf16-mixed")
    monkeypatch.setattr("napari_semiseg.engine.planning.machine.describe_machine", lambda _: card)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert places("cuda", 3) == [Place("3", 2), Place("5", 2), Place("3", 2)]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [place.card for place in places("cuda", 2)] == ["0", "1"]


def test_runs_on_the_cpu_share_its_cores(monkeypatch):
    cpu = Machine("cpu", "CPU", 2**34, 9, "32-true")
    monkeypatch.setattr("napari_semiseg.engine.planning.machine.describe_machine", lambda _: cpu)
    assert places("auto", 4) == [Place(None, 2)] * 4
    assert places("auto", 40)[0].threads == 1


def test_an_interrupt_stops_all_runs_and_the_command_can_be_repeated(compare, monkeypatch):
    original = jobs.JobRunner._tell_all

    def tell_all(runner, lines):
        original(runner, lines)
        runner.interrupted.set()

    monkeypatch.setattr(jobs.JobRunner, "_tell_all", tell_all)
    status, _, error = compare("--methods", "supervised", "--steps", 100_000, *TINY, "--jobs", 2)
    assert status == 1
    assert "run the same command to go on" in error
