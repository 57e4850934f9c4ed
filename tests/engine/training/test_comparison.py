import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training.comparison import (
    CellStarted,
    compare,
    find_run,
    grid,
    measured_runs,
    twin_of,
)
from napari_semiseg.engine.training.events import Started
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.preparation import settings_of_run
from napari_semiseg.engine.training.settings import TrainingSettings
from tests.engine.small_study import make_study

pytestmark = pytest.mark.trains

TINY = {"network.filters": 4, "patch": [16, 16, 16], "network.strides": [[2, 2, 2]]}
SHARED = TrainingSettings(steps=3, device="cpu", plan_overrides=TINY)


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


def finish(study, runs):
    work, events = compare(study, runs), []
    while True:
        try:
            events.append(next(work))
        except StopIteration as finished:
            return finished.value, events


def test_a_grid_has_each_run_once_and_each_method_after_its_twin():
    runs = grid(["mean-teacher", "dtc"], ["modern", "paper"], [0, 1], SHARED)
    assert len(runs) == 2 * 2 * 3
    for index, run in enumerate(runs):
        if run.method != "supervised":
            assert twin_of(run) in runs[:index]


def test_a_twin_has_the_same_network_seed_preset_and_budget():
    run = SHARED.model_copy(
        update={"method": "dtc", "seed": 4, "method_settings": {"steepness": 100.0}}
    )
    twin = twin_of(run)
    assert (twin.method, twin.seed, twin.steps, twin.preset) == ("supervised", 4, 3, "modern")
    assert twin.plan_overrides == TINY
    assert twin.method_settings == {}


def test_a_comparison_trains_and_measures_and_takes_what_is_there_the_next_time(tmp_path):
    study = make_study(tmp_path, count=5, labelled=2, held_out=2)
    measured, events = finish(study, grid(["mean-teacher"], ["modern"], [0], SHARED))
    assert [each.settings.method for each in measured] == ["supervised", "mean-teacher"]
    assert all(each.steps == 3 and each.seconds > 0 for each in measured)
    assert all(set(each.metrics) == {"case_03", "case_04"} for each in measured)
    assert sum(isinstance(event, Started) for event in events) == 2

    more = grid(["mean-teacher"], ["modern"], [0, 1], SHARED)
    assert [each.run for each in measured_runs(study, more)] == [each.run for each in measured]
    again, events = finish(study, more)
    assert [each.run for each in again[:2]] == [each.run for each in measured]
    assert sum(isinstance(event, Started) for event in events) == 2
    assert sum(isinstance(event, CellStarted) for event in events) == 4


def test_other_labels_make_another_run(tmp_path):
    study = make_study(tmp_path, count=5, labelled=1, held_out=1)
    settings = grid(["supervised"], ["modern"], [0], SHARED)
    finish(study, settings)
    assert find_run(study, settings[0]) is not None
    study.labels.import_file("case_02", tmp_path / "labels" / "case_02.nii.gz", author="test")
    assert find_run(study, settings[0]) is None


def test_other_unlabelled_scans_make_another_run(tmp_path):
    study = make_study(tmp_path, count=5, labelled=1, held_out=1)
    settings = grid(["supervised"], ["modern"], [0], SHARED)
    finish(study, settings)
    study.remove_case("case_03")
    assert find_run(study, settings[0]) is None


def test_a_run_that_went_on_with_another_budget_is_neither(tmp_path):
    study = make_study(tmp_path, count=4, labelled=1, held_out=1)
    short = grid(["supervised"], ["modern"], [0], SHARED)[0]
    long = short.model_copy(update={"steps": 5})
    finish(study, [short])
    run = find_run(study, short)
    for _ in train(study, long, resume=run.identifier):
        pass
    assert find_run(study, short) is None
    assert find_run(study, long) is None
    assert settings_of_run(study.runs.get(run.identifier)).steps == 5


def test_a_run_with_another_network_than_its_method_wants_today_is_another_one(
    tmp_path, monkeypatch
):
    study = make_study(tmp_path, count=4, labelled=1, held_out=1)
    settings = SHARED.model_copy(update={"method": "mean-teacher", "steps": 1})
    finish(study, [settings])
    assert find_run(study, settings) is not None
    wanted = {"recipe.schedule": "poly"}
    monkeypatch.setattr(method_of("mean-teacher"), "plan_overrides", lambda preset: wanted)
    assert find_run(study, settings) is None


def test_figures_are_measured_again_after_a_held_out_label_was_corrected(tmp_path):
    study = make_study(tmp_path, count=4, labelled=1, held_out=1)
    settings = grid(["supervised"], ["modern"], [0], SHARED)
    finish(study, settings)
    assert measured_runs(study, settings)
    study.hold_out("case_03", locked=False)
    study.labels.save("case_03", study.labels.load("case_03")[::-1], state=CaseState.LABELLED)
    study.hold_out("case_03")
    assert measured_runs(study, settings) == []
    _, events = finish(study, settings)
    assert not any(isinstance(event, Started) for event in events)
    assert measured_runs(study, settings)


def test_a_held_out_scan_without_a_label_stops_no_comparison(tmp_path):
    study = make_study(tmp_path, count=5, labelled=1, held_out=1)
    study.hold_out("case_03")
    measured, _ = finish(study, grid(["supervised"], ["modern"], [0], SHARED))
    assert set(measured[0].metrics) == {"case_04"}
    assert measured_runs(study, grid(["supervised"], ["modern"], [0], SHARED))


def test_what_a_method_really_had_tells_its_runs_apart(tmp_path, monkeypatch):
    study = make_study(tmp_path, count=4, labelled=1, held_out=1)
    given = SHARED.model_copy(
        update={"method": "mean-teacher", "method_settings": {"noise": 0.2}, "steps": 1}
    )
    finish(study, [given])
    plain = given.model_copy(update={"method_settings": {}})
    assert find_run(study, plain) is None
    field = method_of("mean-teacher").Settings.model_fields["noise"]
    monkeypatch.setattr(field, "default", 0.2)
    method_of("mean-teacher").Settings.model_rebuild(force=True)
    try:
        assert find_run(study, plain) is not None
    finally:
        monkeypatch.undo()
        method_of("mean-teacher").Settings.model_rebuild(force=True)
    assert find_run(study, plain) is None


def test_a_study_without_held_out_cases_is_refused_before_anything_is_trained(tmp_path):
    study = make_study(tmp_path, count=3, labelled=2, held_out=0)
    with pytest.raises(StudyError, match="no held-out scan with a finished label"):
        finish(study, grid(["supervised"], ["modern"], [0], SHARED))
    assert study.runs.all() == []
