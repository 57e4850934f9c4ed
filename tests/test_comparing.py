"""`napari-semiseg compare`, as it is typed."""

import json
import sys

import pytest
import torch

from napari_semiseg import cli
from tests.engine.small_study import make_study

TINY = ["--set", "network.filters=4", "--set", "patch=[16,16,16]",
        "--set", "network.strides=[[2,2,2]]", "--device", "cpu"]  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def compare(monkeypatch, capsys, tmp_path):
    study = make_study(tmp_path, count=6, labelled=2, held_out=3)

    def call(*arguments):
        words = ["napari-semiseg", "compare", str(study.path), *map(str, arguments)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
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
