"""Training as its callers see it: events in order, requests that are heeded, runs that go on."""

import itertools
import math
import time

import pytest
import torch

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training import events, loop
from napari_semiseg.engine.training.loop import train
from tests.engine.small_study import make_study
from tests.engine.training.small_training import losses, of_kind, run_training, tiny

pytestmark = pytest.mark.trains

MUCH_STATE = ("supervised", "ua-mt", "dan", "reciprocal", "self-training", "temporal-ensembling")
"""One method of each kind of state; every method's next loss is in test_every_method_in_a_study."""


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=5) as made:
        yield made


def stop_at(step):
    """Answer that asks for a stop once ``step`` steps are done."""

    def answer(event):
        return events.Stop() if getattr(event, "step", 0) == step else None

    return answer


def weights_of(run):
    return load_checkpoint(run.folder).state["networks"]


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for name in first:
        for key, value in first[name].items():
            assert torch.equal(value, second[name][key]), f"{name} {key}"


def test_events_come_in_order(study):
    seen, run = run_training(study, tiny(steps=4))
    assert [kind.__name__ for kind, _ in itertools.groupby(seen, key=type)] == [
        "Preparing", "Started", "Progress", "Preparing", "Saved", "Finished",
    ]  # fmt: skip
    progress = of_kind(seen, events.Progress)
    assert [event.step for event in progress] == [1, 2, 3, 4]
    assert [event.share for event in progress] == [0.25, 0.5, 0.75, 1.0]
    assert all(math.isfinite(value) for event in progress for value in event.scalars.values())
    seconds = [event.seconds for event in progress]
    assert seconds == sorted(seconds)
    finished = seen[-1]
    assert (finished.run, finished.status, finished.steps) == (run.identifier, "finished", 4)
    assert run.status == "finished"
    assert run.finished


def test_the_run_is_recorded_as_running_while_it_trains(study):
    work = train(study, tiny())
    while not isinstance(next(work), events.Started):
        pass
    assert study.runs.all()[-1].status == "running"
    work.close()


def test_the_loss_falls(study):
    fast = {"recipe.learning_rate": 0.05, "recipe.augmentation": "mirror"}
    seen, _ = run_training(study, tiny("supervised", steps=30, plan_overrides=fast))
    curve = losses(seen)
    assert sum(curve[-5:]) < 0.8 * sum(curve[:5])


GOLDEN = {
    "supervised": (0.9230, 0.9185, 0.8146, 0.7981, 0.7694, 0.7485),
    "mean-teacher": (0.9230, 0.9185, 0.8146, 0.8422, 0.6982, 0.6836),
    "ua-mt": (0.9255, 0.9235, 0.8213, 0.8506, 0.7053, 0.6923),
}


@pytest.mark.parametrize("key", GOLDEN)
def test_the_loss_curve_of_a_seed_does_not_change_silently(study, monkeypatch, key):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")  # float32
    fast = {"recipe.learning_rate": 0.2}
    seen, _ = run_training(study, tiny(key, seed=1, plan_overrides=fast))
    assert losses(seen) == pytest.approx(GOLDEN[key], rel=1e-2)


def test_the_same_seed_gives_the_same_curve_and_another_one_another(study):
    first, second, other = (
        losses(run_training(study, tiny(steps=3, seed=seed))[0]) for seed in (0, 0, 1)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize("key", MUCH_STATE)
@pytest.mark.parametrize("step", [1, 4])
def test_a_stopped_run_goes_on_exactly_as_if_it_had_never_stopped(study, key, step):
    whole, uninterrupted = run_training(study, tiny(key))
    before, stopped = run_training(study, tiny(key), answer=stop_at(step))
    assert stopped.status == "stopped"
    after, resumed = run_training(study, tiny(key), stopped.identifier)
    assert resumed.identifier == stopped.identifier
    assert resumed.status == "finished"
    assert losses(before) + losses(after) == losses(whole)
    assert_same_weights(weights_of(uninterrupted), weights_of(resumed))


def test_a_stop_takes_effect_within_one_step(study):
    seen, run = run_training(study, tiny(steps=50), answer=stop_at(2))
    assert seen[-1].status == run.status == "stopped"
    assert seen[-1].steps == 2
    assert of_kind(seen, events.Saved)
    assert study.runs.get().identifier == run.identifier


def test_a_stop_after_the_last_step_has_come_too_late(study):
    _, run = run_training(study, tiny(steps=2), answer=stop_at(2))
    assert run.status == "finished"


def test_a_stop_while_scans_are_read_leaves_no_run_behind(study):
    work = train(study, tiny())
    next(work)
    with pytest.raises(TrainingError, match="stopped while the scans were being read"):
        work.send(events.Stop())
    assert study.runs.all() == []


def test_closing_the_generator_leaves_a_checkpoint_and_a_stopped_run(study):
    whole, uninterrupted = run_training(study, tiny())
    work, before = train(study, tiny()), []
    while len(losses(before)) < 3:
        before.append(next(work))
    work.close()
    run = study.runs.all()[-1]
    assert run.status == "stopped"
    assert load_checkpoint(run.folder).progress["step"] == 3
    after, resumed = run_training(study, tiny(), run.identifier)
    assert losses(before) + losses(after) == losses(whole)
    assert_same_weights(weights_of(uninterrupted), weights_of(resumed))


def test_closing_before_the_first_step_leaves_a_run_without_a_checkpoint(study):
    work = train(study, tiny())
    while not isinstance(next(work), events.Started):
        pass
    work.close()
    run = study.runs.all()[-1]
    assert run.status == "stopped"
    assert not run.has_checkpoint


def test_a_release_is_answered_and_training_goes_on_with_the_same_curve(study):
    whole, _ = run_training(study, tiny())

    def answer(event):
        return events.Release() if isinstance(event, events.Progress) and event.step == 2 else None

    seen, run = run_training(study, tiny(), answer=answer)
    released = of_kind(seen, events.Released)
    assert [event.step for event in released] == [2]
    assert losses(seen) == losses(whole)
    assert run.status == "finished"


def test_a_paused_training_can_be_stopped(study):
    def answer(event):
        if isinstance(event, events.Released):
            return events.Stop()
        return events.Release() if isinstance(event, events.Progress) else None

    seen, run = run_training(study, tiny(), answer=answer)
    assert len(losses(seen)) == 1
    assert run.status == "stopped"
    assert load_checkpoint(run.folder).progress["step"] == 1


def test_a_paused_training_can_be_closed(study):
    work = train(study, tiny())
    event = next(work)
    while not isinstance(event, events.Released):
        event = work.send(events.Release() if isinstance(event, events.Progress) else None)
    work.close()
    assert study.runs.all()[-1].status == "stopped"
    assert load_checkpoint(study.runs.all()[-1].folder).progress["step"] == 1


def show(name, at=events.Started):
    return lambda event: events.ShowCase(name) if isinstance(event, at) else None


@pytest.fixture
def _previews_soon(monkeypatch):
    monkeypatch.setattr(loop, "PREVIEW_SECONDS", 0.0)


@pytest.mark.usefixtures("_previews_soon")
@pytest.mark.parametrize("moment", [events.Preparing, events.Started, events.Progress])
def test_a_case_that_is_shown_is_previewed(study, moment):
    seen, _ = run_training(study, tiny(), answer=show("case_03", moment))
    preview = of_kind(seen, events.Preview)[0]
    assert (preview.case, preview.maps.case) == ("case_03", "case_03")
    assert preview.step >= 1
    assert preview.maps.prediction.shape == study.case("case_03").geometry.shape
    assert preview.maps.uncertainty is not None
    assert study.case("case_03").state == CaseState.UNLABELLED
    assert study.runs.maps.kinds(study.runs.get(), "case_03") == []


@pytest.mark.usefixtures("_previews_soon")
def test_previews_do_not_change_the_loss_curve(study, monkeypatch):
    whole, _ = run_training(study, tiny())
    monkeypatch.setattr(loop, "SIDE_WORK_SHARE", 1e9)
    seen, _ = run_training(study, tiny(), answer=show("case_03"))
    assert len(of_kind(seen, events.Preview)) == 6
    assert losses(seen) == losses(whole)


def show_all(event):
    kinds = ("prediction", "uncertainty", "signed_distance", "similarity")
    return events.ShowCase("case_03", kinds) if isinstance(event, events.Started) else None


@pytest.mark.usefixtures("_previews_soon")
def test_a_preview_has_the_maps_that_were_asked_for_and_changes_no_loss(study, monkeypatch):
    whole, _ = run_training(study, tiny(steps=3))
    monkeypatch.setattr(loop, "SIDE_WORK_SHARE", 1e9)
    seen, _ = run_training(study, tiny(steps=3), answer=show_all)
    previews = of_kind(seen, events.Preview)
    assert len(previews) == 3
    for preview in previews:
        assert preview.maps.signed_distance.shape[0] == 2
        assert preview.maps.similarity.shape[0] == 3
    assert losses(seen) == losses(whole)


@pytest.mark.usefixtures("_previews_soon")
def test_prototypes_of_previews_are_of_few_cases_rare_and_never_in_a_checkpoint(study, monkeypatch):
    monkeypatch.setattr(loop, "SIDE_WORK_SHARE", 1e9)
    measured, original = [], loop.measure_prototypes

    def measure(method, cases):
        measured.append(len(cases))
        return original(method, cases)

    monkeypatch.setattr(loop, "measure_prototypes", measure)
    monkeypatch.setattr(loop, "PREVIEW_PROTOTYPE_CASES", 1)
    work, seen = train(study, tiny(steps=3)), []
    request = None
    while len(of_kind(seen, events.Preview)) < 2:
        seen.append(work.send(request))
        request = show_all(seen[-1])
    assert measured == [1]
    while not isinstance(seen[-1], events.Preparing):  # in the middle of the third preview
        seen.append(next(work))
    work.close()
    assert load_checkpoint(study.runs.all()[-1].folder).state["prototypes"] is None


def test_a_run_records_its_pace(study):
    seen, run = run_training(study, tiny(steps=2))
    assert run.details["steps"] == 2
    assert run.details["seconds"] == pytest.approx(seen[-1].seconds, abs=1e-3)
    assert run.details["device"] == of_kind(seen, events.Started)[0].device


@pytest.mark.usefixtures("_previews_soon")
def test_previews_are_spaced_so_that_they_take_a_small_share_of_the_time(study, monkeypatch):
    monkeypatch.setattr(loop, "SIDE_WORK_SHARE", 1e-9)
    seen, _ = run_training(study, tiny(steps=10), answer=show("case_03"))
    assert len(of_kind(seen, events.Preview)) == 1


def test_there_is_no_preview_in_the_first_seconds(study):
    seen, _ = run_training(study, tiny(), answer=show("case_03"))
    assert not of_kind(seen, events.Preview)


@pytest.mark.usefixtures("_previews_soon")
@pytest.mark.parametrize("name", ["case_03", "no such case"])
def test_a_preview_that_fails_is_a_warning_and_not_the_end(study, name):
    def answer(event):
        if not isinstance(event, events.Started):
            return None
        (study.path.parent / "images" / "case_03.nii.gz").unlink()
        return events.ShowCase(name)

    seen, run = run_training(study, tiny(), answer=answer)
    warned = of_kind(seen, events.Warned)
    assert len(warned) == 1
    assert f"No preview of “{name}”" in warned[0].sentence
    assert run.status == "finished"


@pytest.mark.usefixtures("_previews_soon")
def test_a_stop_in_the_middle_of_a_preview_takes_effect_at_once(study):
    def answer(event):
        if isinstance(event, events.Started):
            return events.ShowCase("case_03")
        return events.Stop() if getattr(event, "what", "") == "preview" else None

    seen, run = run_training(study, tiny(), answer=answer)
    assert not of_kind(seen, events.Preview)
    assert run.status == "stopped"
    assert seen[-1].steps == 1


def test_validation_follows_the_dice_of_cases_set_aside(study, monkeypatch):
    monkeypatch.setattr(loop, "VALIDATION_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SIDE_WORK_SHARE", 1e9)
    seen, _ = run_training(study, tiny(steps=3, validation_cases=1))
    assert [event.step for event in of_kind(seen, events.Validated)] == [1, 2, 3, 3]


def test_checkpoints_are_written_at_their_interval(study):
    seen, _ = run_training(study, tiny(steps=4, checkpoint_seconds=1e-6))
    assert [event.step for event in of_kind(seen, events.Saved)] == [1, 2, 3, 4, 4]
    seen, _ = run_training(study, tiny(steps=4))
    assert [event.step for event in of_kind(seen, events.Saved)] == [4]


class Ticking:
    """A clock on which every look takes half a second."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.5
        return self.now


def test_a_budget_of_minutes_counts_optimiser_time(study, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", Ticking())
    seen, run = run_training(study, tiny(minutes=0.1))
    progress = of_kind(seen, events.Progress)
    assert len(progress) == 12  # six seconds, half a second a step
    assert progress[0].remaining == pytest.approx(5.5)
    assert progress[-1].share == 1.0
    assert run.status == "finished"


def test_a_run_with_minutes_left_goes_on_where_it_stood(study, monkeypatch):
    monkeypatch.setattr(time, "perf_counter", Ticking())
    _, run = run_training(study, tiny(minutes=0.1), answer=stop_at(4))
    seen, run = run_training(study, tiny(minutes=0.1), run.identifier)
    assert [event.step for event in of_kind(seen, events.Progress)] == list(range(5, 13))


def test_labels_are_read_as_they_are_when_training_starts(study):
    work = train(study, tiny())
    while not isinstance(next(work), events.Started):
        pass
    first = study.runs.all()[-1].label_hash
    study.labels.save("case_02", study.labels.load("case_00"), state=CaseState.LABELLED)
    work.close()
    _, run = run_training(study, tiny(steps=1))
    assert run.label_hash == study.labels.snapshot_hash() != first
    assert run.labelled == ("case_00", "case_01", "case_02")
