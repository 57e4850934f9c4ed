"""A study and its scans, and commands as people type them."""

import sys

import pytest

from napari_semiseg.cli import commands
from tests.cli.typed import Answer
from tests.engine.small_study import write_scans


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command as `napari-semiseg` would."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-semiseg", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            commands.main()
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
