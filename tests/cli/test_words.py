"""How a command is spelled, and what goes to standard output and to standard error."""

import json
import os
import subprocess
import sys

import pytest

from napari_semiseg.cli.arguments import spread
from tests.cli.typed import ROOT, TINY

pytestmark = pytest.mark.trains


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
    code = "from napari_semiseg.cli.commands import main; main()"
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
