from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.inference.prediction import CasePredicted, Predicting
from napari_semiseg.engine.study import Study
from napari_semiseg.gui.compare import pairs
from napari_semiseg.gui.compare.figures import compare_runs
from napari_semiseg.gui.compare.pairs import measure_runs, read_pair, save_comparison
from napari_semiseg.gui.open_study.records import JobStep
from tests.gui.comparable_runs import add_run, hold_out, label_of
from tests.gui.conftest import yield_all


@pytest.fixture
def study(study_path):
    with Study.open(study_path) as opened:
        hold_out(opened)
        yield opened


def test_the_pair_of_a_scan_is_read_and_its_differences_measured(study):
    first, second = add_run(study, "supervised", shrunk=0), add_run(study, "ua-mt", shrunk=2)
    runs = (first.identifier, second.identifier)
    pair = yield_all(read_pair(study, "scan_1", runs), None)
    differing = label_of(1) != label_of(1, 2)
    np.testing.assert_array_equal(pair.differences.voxels, differing)
    voxel_ml = study.case("scan_1").geometry.voxel_volume_ml
    assert pair.differences.millilitres == pytest.approx(differing.sum() * voxel_ml)
    other = pairs.differences_of(pair.case, pair.predictions, 2)
    assert other.millilitres == 0
    assert other.marked == pytest.approx((label_of(1) == 2).sum() * voxel_ml)


def test_a_scan_is_predicted_once_and_again_after_more_training(study, monkeypatch):
    asked = []

    def predict(study, run, cases, kinds, store):
        asked.append((run, tuple(cases)))
        case = study.case(cases[0])
        yield Predicting(case.name, 0, 1, 0.5)
        maps = CaseMaps(case.name, case.geometry, {"prediction": label_of(1)})
        yield CasePredicted(case.name, maps)

    monkeypatch.setattr("napari_semiseg.engine.inference.prediction.predict", predict)
    first, second = add_run(study, "supervised", shrunk=0), add_run(study, "ua-mt")
    runs = (first.identifier, second.identifier)
    steps = []
    yield_all(read_pair(study, "scan_1", runs), steps.append)
    yield_all(read_pair(study, "scan_1", runs), steps.append)
    assert asked == [(second.identifier, ("scan_1",))]
    assert steps[-1] == JobStep(0.5, f"predicting scan_1 with {second.identifier}")
    study.runs.update(second.identifier, status="running")
    monkeypatch.setattr(
        "napari_semiseg.engine.study.runs.runs.now", lambda: "2100-01-01T00:00:00+00:00"
    )
    study.runs.update(second.identifier, status="finished")
    yield_all(read_pair(study, "scan_1", runs), steps.append)
    assert len(asked) == 2
    assert study.case("scan_1").held_out, "looking at a scan leaves it locked"


def test_measuring_tells_how_far_all_runs_are(study, monkeypatch):
    def evaluate(study, run):
        yield Predicting("scan_1", 0, 2, 0.5)
        yield Predicting("scan_2", 1, 2, 1.0)

    monkeypatch.setattr("napari_semiseg.engine.evaluation.held_out.evaluate", evaluate)
    steps = []
    assert yield_all(measure_runs(study, ["a", "b"]), steps.append) == 2
    assert [step.share for step in steps] == [0, 0.125, 0.5, 0.5, 0.625, 1]
    assert steps[1].detail == "a, scan 1 of 2"


def test_the_saved_table_has_the_tables_by_method_too(study, tmp_path, monkeypatch):
    class Checkpoint:
        progress = {"step": 100, "seconds": 50.0}  # noqa: RUF012

    monkeypatch.setattr(
        "napari_semiseg.engine.methods.assembly.load_checkpoint", lambda folder: Checkpoint
    )
    add_run(study, "supervised", shrunk=2)
    add_run(study, "ua-mt", shrunk=1)
    comparison = compare_runs(study, None, None)
    markdown, values = save_comparison(study, comparison, tmp_path / "table.md")
    text = markdown.read_text(encoding="utf-8")
    assert "### Preset modern, 100 steps" in text
    assert "002 UA-MT helped" in text
    assert "research use only" in text
    assert len(values.read_text(encoding="utf-8").splitlines()) == 1 + 2 * 3 * 2
