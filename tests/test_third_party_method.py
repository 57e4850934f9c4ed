"""A method from outside the package, as the documentation shows it: command line, training and maps."""

import json
import sys

import pytest
import torch

from napari_semiseg.cli import commands
from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.registry import available_methods, method_of
from tests import documented_method
from tests.engine.small_study import make_study

TINY = ["--set", "network.filters=4", "--set", "patch=[16,16,16]",
        "--set", "network.strides=[[2,2,2]]", "--device", "cpu"]  # fmt: skip


@pytest.fixture
def installed(tmp_path, monkeypatch):
    site = tmp_path / "site"
    site.mkdir()
    documented_method.install(site)
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "my_methods", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    available_methods.cache_clear()
    yield site
    available_methods.cache_clear()
    torch.set_num_threads(before)


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-semiseg", *map(str, arguments), "--json"])
        with pytest.raises(SystemExit) as ended:
            commands.main()
        out, error = capsys.readouterr()
        assert not ended.value.code, error
        return json.loads(out)

    return call


def test_a_whole_method_is_short():
    assert len(documented_method.source().splitlines()) <= documented_method.MOST_LINES


def test_the_test_that_authors_are_shown_passes(installed):
    shown = {}
    exec(documented_method.code("a test of the method"), shown)
    shown["test_it_learns_from_unlabelled_crops_and_answers"]()


@pytest.mark.trains
def test_a_method_from_outside_is_listed_trained_measured_and_predicts(installed, run, tmp_path):
    listed = run("methods")["methods"]["mirror-agreement"]
    assert listed["settings"]["weight"]["maximum"] == 10
    study = make_study(tmp_path / "study", count=5, labelled=2, held_out=1)
    trained = run("train", study.path, "--method", "mirror-agreement", "--steps", 4,
                  "--set", "weight=0.5", *TINY)  # fmt: skip
    assert trained["status"] == "finished"
    assert study.runs.get(trained["run"]).settings["training"]["method_settings"] == {"weight": 0.5}
    assert run("evaluate", study.path)["run"] == trained["run"]
    maps = run("predict", study.path, "--out", tmp_path / "maps", "--cases", "case_02")
    kinds = {"prediction", "uncertainty", "signed_distance", "similarity"}
    assert kinds <= set(maps["cases"]["case_02"])


def test_a_package_that_cannot_be_loaded_takes_no_other_method_away(installed, caplog):
    (installed / "my_methods.py").write_text("import a_package_that_is_not_there\n")
    available_methods.cache_clear()
    assert "supervised" in available_methods()
    assert "my_methods:MirrorAgreement" in caplog.text
    assert "a_package_that_is_not_there" in caplog.text
    with pytest.raises(SettingsError, match="no method “mirror-agreement”"):
        method_of("mirror-agreement")


def test_what_is_no_method_is_left_out(installed, caplog):
    (installed / "my_methods.py").write_text("MirrorAgreement = 3\n")
    available_methods.cache_clear()
    assert "mirror-agreement" not in available_methods()
    assert "is not a method" in caplog.text
