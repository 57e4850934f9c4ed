from __future__ import annotations

import pytest

from napari_semiseg.engine.study import Study
from napari_semiseg.gui.compare.figures import compare_runs
from tests.gui.comparable_runs import HELD_OUT, add_run, hold_out, measure


@pytest.fixture
def study(study_path):
    with Study.open(study_path) as opened:
        hold_out(opened)
        yield opened


def verdicts(comparison):
    return {each.figures.identifier: each.verdict for each in comparison.columns}


def test_each_run_is_compared_with_its_own_supervised_twin(study):
    add_run(study, "supervised", shrunk=2)
    add_run(study, "supervised", shrunk=0, seed=1)
    run = add_run(study, "ua-mt", shrunk=1)
    comparison = compare_runs(study, None, None)
    assert [each.figures.identifier for each in comparison.columns] == [
        run.identifier,
        "001-supervised",
    ]
    assert "003 UA-MT helped: +0." in verdicts(comparison)[run.identifier]
    assert "measured against it" in verdicts(comparison)["001-supervised"]
    assert comparison.notes == ()
    assert comparison.to_measure == ()


def test_a_twin_has_the_same_labels_and_time(study):
    add_run(study, "supervised", shrunk=0, steps=50)
    add_run(study, "ua-mt", shrunk=1)
    comparison = compare_runs(study, None, None)
    assert "train “Supervised only”" in verdicts(comparison)["002-ua-mt"]
    assert (
        "terms are not equal" in verdicts(compare_runs(study, None, "001-supervised"))["002-ua-mt"]
    )


def test_a_run_picked_as_yardstick_is_named(study):
    add_run(study, "supervised", shrunk=1)
    add_run(study, "ua-mt", shrunk=0)
    chosen = ("001-supervised", "002-ua-mt")
    said = verdicts(compare_runs(study, chosen, "002-ua-mt"))
    assert said["001-supervised"].startswith("001 Supervised only is worse than 002 UA-MT: -0.")
    assert "measured against" in said["002-ua-mt"]


def test_a_run_that_was_stopped_is_said_to_have_had_less(study):
    add_run(study, "supervised", shrunk=1)
    add_run(study, "ua-mt", shrunk=0, status="stopped")
    assert "stopped early" in verdicts(compare_runs(study, None, None))["002-ua-mt"]


def test_what_is_not_measured_is_to_be_measured_with_its_twin(study):
    add_run(study, "supervised")
    add_run(study, "ua-mt")
    add_run(study, "ua-mt", seed=1, status="running")
    comparison = compare_runs(study, ("002-ua-mt", "003-ua-mt"), None)
    assert comparison.to_measure == ("002-ua-mt", "001-supervised")
    assert "not measured yet" in verdicts(comparison)["002-ua-mt"]
    training = comparison.column("003-ua-mt")
    assert "still training" in training.figures.why_not
    assert comparison.measured == ()


def test_means_are_over_the_scans_that_all_were_measured_on(study):
    whole = add_run(study, "supervised", shrunk=1)
    part = add_run(study, "ua-mt")
    measure(study, part, 0, HELD_OUT[:2])
    comparison = compare_runs(study, (whole.identifier, part.identifier), None)
    assert [list(each.metrics) for each in comparison.columns] == [["scan_1", "scan_2"]] * 2
    assert "over the 2 of 3 held-out scans" in comparison.notes[0]
    assert comparison.to_measure == (part.identifier,)
    assert "too few to tell" in verdicts(comparison)[part.identifier]


def test_a_scan_that_a_run_learnt_from_does_not_count(study):
    study.hold_out("scan_3", locked=False)
    add_run(study, "supervised", shrunk=1)
    add_run(study, "ua-mt", shrunk=0)
    study.hold_out("scan_3")
    comparison = compare_runs(study, None, None)
    assert all(list(each.metrics) == ["scan_1", "scan_2"] for each in comparison.columns)
    assert any("learnt from the labels of 1 scan" in note for note in comparison.notes)


def test_a_structure_that_was_missed_is_told(study):
    run = add_run(study, "ua-mt")
    add_run(study, "supervised", shrunk=0)
    measure(study, run, 6)
    comparison = compare_runs(study, ("001-ua-mt", "002-supervised"), None)
    assert any("3 times: Dice 0" in note for note in comparison.notes)


def test_a_run_of_another_version_has_figures_but_no_twin(study):
    run = study.runs.create("no longer installed", {}, 0)
    (run.folder / "checkpoint.pt").write_bytes(b"")
    run = study.runs.update(run.identifier, status="finished")
    measure(study, run, 1)
    comparison = compare_runs(study, None, None)
    assert comparison.columns[0].figures.title == "no longer installed"
    assert "train “Supervised only”" in comparison.columns[0].verdict
