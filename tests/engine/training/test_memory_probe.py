"""A trial step makes the plan fit before a run begins, and leaves no trace in it."""

from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.methods.registry import available_methods, method_of
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.training import events, memory_probe, preparation
from tests.engine.small_study import make_study
from tests.engine.training.small_training import losses, of_kind, run_training, tiny

pytestmark = pytest.mark.trains

TWO_LEVELS = {"network.strides": [[2, 2, 2]] * 2}


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=5) as made:
        yield made


@pytest.fixture
def _always_tried(monkeypatch):
    monkeypatch.setattr(memory_probe, "WIDE_MARGIN", 0.0)


def tried(seen):
    return [event for event in of_kind(seen, events.Preparing) if "memory" in event.what]


def test_nothing_is_tried_where_the_estimate_leaves_a_wide_margin(study):
    seen, _ = run_training(study, tiny(steps=1))
    assert not tried(seen)
    assert not of_kind(seen, events.Warned)


@pytest.mark.usefixtures("_always_tried")
@pytest.mark.parametrize("key", ["ua-mt", "dan", "reciprocal", "self-training"])
def test_a_trial_step_leaves_no_trace(study, monkeypatch, key):
    tested, first = run_training(study, tiny(key))
    assert tried(tested)
    monkeypatch.setattr(memory_probe, "WIDE_MARGIN", 1e9)
    untested, second = run_training(study, tiny(key))
    assert not tried(untested)
    assert losses(tested) == losses(untested)
    mine, theirs = (load_checkpoint(run.folder) for run in (first, second))
    assert mine.progress["streams"] == theirs.progress["streams"]
    for name, weights in mine.state["networks"].items():
        for entry, value in weights.items():
            assert torch.equal(value, theirs.state["networks"][name][entry])


@pytest.mark.usefixtures("_always_tried")
def test_a_trial_step_leaves_the_random_numbers_alone(study, monkeypatch):
    states, original = [], memory_probe.trial_peak

    def trial_peak(*arguments):
        states.append(torch.get_rng_state())
        peak = original(*arguments)
        states.append(torch.get_rng_state())
        return peak

    monkeypatch.setattr(memory_probe, "trial_peak", trial_peak)
    run_training(study, tiny(steps=1))
    before, after = states
    assert torch.equal(before, after)


@pytest.mark.usefixtures("_always_tried")
def test_a_plan_whose_step_does_not_fit_is_made_smaller_before_the_run(study, monkeypatch):
    original = StudentMethod.training_step

    def training_step(method, batch, clock):
        if len(batch.images) > 1 and batch.images.shape[-1] > 12:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(method, batch, clock)

    monkeypatch.setattr(StudentMethod, "training_step", training_step)
    seen, run = run_training(study, tiny(steps=4))
    sentences = [event.sentence for event in of_kind(seen, events.Warned)]
    assert len(sentences) >= 2
    assert all(text.startswith("The plan needs more memory than is free") for text in sentences)
    assert run.status == "finished"
    assert run.settings["plan"]["patch"][-1] <= 12
    assert of_kind(seen, events.Started)[0].plan["reasons"][-1].startswith("Memory: ")


@pytest.mark.usefixtures("_always_tried")
def test_a_step_that_takes_nearly_all_that_is_free_does_not_fit(study, monkeypatch):
    needs = iter([0.9, 0.5])

    def trial_peak(trial, plan, machine):
        return next(needs) * describe_machine("cpu").free_memory

    monkeypatch.setattr(memory_probe, "trial_peak", trial_peak)
    seen, _ = run_training(study, tiny(steps=1))
    assert len(of_kind(seen, events.Warned)) == 1


def test_a_cpu_is_spared_a_step_for_which_the_system_would_end_the_program(study, monkeypatch):
    def never(trial, plan, machine):
        raise AssertionError("it was tried")

    small = replace(describe_machine("cpu"), free_memory=10_000)
    monkeypatch.setattr(memory_probe, "describe_machine", lambda device: small)
    monkeypatch.setattr(preparation, "describe_machine", lambda device: small)
    monkeypatch.setattr(memory_probe, "trial_peak", never)
    seen, run = run_training(study, tiny(steps=1))
    assert of_kind(seen, events.Warned)
    assert run.status == "finished"


@pytest.mark.usefixtures("_always_tried")
def test_a_defect_in_the_trial_step_is_not_taken_for_a_lack_of_memory(study, monkeypatch):
    def training_step(method, batch, clock):
        raise RuntimeError("a defect")

    monkeypatch.setattr(StudentMethod, "training_step", training_step)
    with pytest.raises(RuntimeError, match="a defect"):
        run_training(study, tiny(steps=1))
    assert study.runs.all() == []


@pytest.mark.usefixtures("_always_tried")
@pytest.mark.parametrize("key", available_methods())
def test_every_method_can_be_tried(study, monkeypatch, key):
    taken = []
    original = method_of(key).training_step

    def training_step(method, batch, clock):
        taken.append((batch.labelled, batch.unlabelled))
        return original(method, batch, clock)

    monkeypatch.setattr(method_of(key), "training_step", training_step)
    seen = list(preparation.prepare(study, tiny(key, plan_overrides=TWO_LEVELS), None))
    assert tried(seen)
    assert not of_kind(seen, events.Warned)
    assert taken


def test_a_network_of_monai_is_always_tried():
    machine = replace(describe_machine("cpu"), free_memory=2**50)
    plan = _plan("monai:UNet")
    assert not memory_probe.has_wide_margin("supervised", plan, machine)
    assert memory_probe.has_wide_margin("supervised", _plan("unet"), machine)


def _plan(name):
    from tests.engine.methods.conftest import make_plan

    plan = make_plan()
    return plan.model_copy(update={"network": plan.network.model_copy(update={"name": name})})


def test_the_peak_of_a_block_is_what_it_takes_at_most():
    with memory_probe._peak("cpu") as peak:
        for _ in range(20):
            torch.ones(2**26).sum()
    assert 0.5 * 2**28 < peak[0] < 2 * 2**28
