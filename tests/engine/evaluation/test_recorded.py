"""Figures hold for the weights and the label that they were measured with, and for no others."""

import numpy as np
import pytest

from napari_semiseg.engine.evaluation.metrics import measure_case
from napari_semiseg.engine.evaluation.recorded import record_case, recorded_metrics
from tests.engine.small_study import make_study


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=3, held_out=1) as made:
        yield made


@pytest.fixture
def run(study):
    made = study.runs.create("supervised", {}, 0)
    return study.runs.update(made.identifier, status="finished")


def held_out(study):
    return study.held_out_cases()[0]


@pytest.fixture
def metrics(study):
    label = study.labels.load(held_out(study).name)
    return measure_case(label, label, [1], (1.0, 1.0, 1.0))


def test_what_was_recorded_is_read_again(study, run, metrics):
    record_case(study, run, held_out(study), metrics)
    recorded = recorded_metrics(study, run, study.held_out_cases())
    assert recorded.current == {held_out(study).name: metrics}
    assert recorded.outdated == ()


def test_a_run_that_was_trained_further_is_to_be_measured_again(study, run, metrics, monkeypatch):
    record_case(study, run, held_out(study), metrics)
    study.runs.update(run.identifier, status="running")
    monkeypatch.setattr(
        "napari_semiseg.engine.study.runs.runs.now", lambda: "2100-01-01T00:00:00+00:00"
    )
    later = study.runs.update(run.identifier, status="finished")
    recorded = recorded_metrics(study, later, study.held_out_cases())
    assert recorded.current == {}
    assert recorded.outdated == (held_out(study).name,)


def test_a_corrected_label_is_to_be_measured_again(study, run, metrics):
    name = held_out(study).name
    record_case(study, run, held_out(study), metrics)
    voxels = np.array(study.labels.load(name))
    voxels[0] = 1
    study.labels.save(name, voxels, state="labelled")
    assert recorded_metrics(study, run, study.held_out_cases()).outdated == (name,)


def test_figures_of_before_that_do_not_tell_are_taken_for_current(study, run, metrics):
    study.runs.record_metrics(run.identifier, held_out(study).name, metrics.to_dict())
    assert recorded_metrics(study, run, study.held_out_cases()).outdated == ()
