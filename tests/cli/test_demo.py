"""The demo."""

from pathlib import Path

import pytest

from napari_semiseg.engine.study import CaseState, Study


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
            assert opened.runs.get().status == "finished"
            assert CaseState.PREDICTED in {case.state for case in opened.cases()}
