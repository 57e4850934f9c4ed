"""When memory runs out in the middle of a run, it goes on with less, says so, and loses nothing."""

import pytest
import torch

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.parts.adversarial import Adversary
from napari_semiseg.engine.training import events, memory_backoff
from tests.engine.small_study import make_study
from tests.engine.training.small_training import losses, of_kind, run_training, tiny

pytestmark = pytest.mark.trains

PROBLEMS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    "cpu": RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate"),
    "python": MemoryError(),
}


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=5) as made:
        yield made


def run_out(monkeypatch, problem, step, times=1, place=StudentMethod, what="training_step"):
    """Let memory run out at a step, a number of times."""
    original, left = getattr(place, what), [times]

    def method(self, *arguments):
        clock = arguments[-1] if what == "training_step" else None
        if left[0] and (clock is None or clock.step == step):
            left[0] -= 1
            raise problem
        return original(self, *arguments)

    monkeypatch.setattr(place, what, method)


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_training_goes_on_with_fewer_crops_and_says_so(study, monkeypatch, problem):
    run_out(monkeypatch, problem, step=2)
    seen, run = run_training(study, tiny(steps=5))
    (warned,) = of_kind(seen, events.Warned)
    assert warned.sentence.startswith("Memory ran out at step 3: training goes on with 1 + 1 crops")
    assert len(losses(seen)) == 5
    assert run.status == "finished"
    assert run.details["savings"] == [warned.sentence]
    assert run.details["plan"]["recipe"]["labelled_alone"] == 1
    plan = load_checkpoint(run.folder).plan
    assert plan.recipe.labelled_alone == 1
    assert plan.reasons[-1].startswith("Memory: 1 + 1 crops")


def test_the_second_time_the_patch_shrinks(study, monkeypatch):
    run_out(monkeypatch, PROBLEMS["cuda"], step=1, times=2)
    seen, run = run_training(study, tiny(steps=3))
    assert [w.sentence.split(" with ")[1][:7] for w in of_kind(seen, events.Warned)] == [
        "1 + 1 c", "a patch",
    ]  # fmt: skip
    patch = load_checkpoint(run.folder).plan.patch
    assert patch != (16, 16, 16)
    assert all(extent % 2 == 0 for extent in patch)


def test_weights_and_optimiser_go_on_as_they_were(study, monkeypatch):
    """A plan that asks for less of what it does not take gives the very same curve."""
    settings = tiny(steps=6, plan_overrides={"recipe.labelled_alone": 1, "recipe.labelled": 1,
                                             "recipe.unlabelled": 1})  # fmt: skip
    whole, uninterrupted = run_training(study, settings)

    def same_plan(plan, machine, *arguments):
        return memory_backoff.Saving(plan, machine.precision, "what it has")

    monkeypatch.setattr(memory_backoff, "smaller_plan", same_plan)
    run_out(monkeypatch, PROBLEMS["cuda"], step=4)
    seen, run = run_training(study, settings)
    assert len(of_kind(seen, events.Warned)) == 1
    assert losses(seen) == losses(whole)
    mine, theirs = (load_checkpoint(r.folder).state["networks"] for r in (run, uninterrupted))
    for name, weights in mine.items():
        for key, value in weights.items():
            assert torch.equal(value, theirs[name][key])


def test_it_ends_with_a_sentence_when_nothing_is_left_to_save(study, monkeypatch):
    run_out(monkeypatch, PROBLEMS["cuda"], step=1, times=1000)
    seen = []
    with pytest.raises(TrainingError, match=r"too little free memory .*smaller patch"):
        run_training(study, tiny(), answer=seen.append)
    assert 1 < len(of_kind(seen, events.Warned)) <= memory_backoff.MOST_SAVINGS
    assert study.runs.all()[-1].status == "failed"


def test_savings_are_bounded_even_if_there_were_always_one_more(study, monkeypatch):
    def once_more(plan, machine, *arguments):
        return memory_backoff.Saving(plan, machine.precision, "as much")

    monkeypatch.setattr(memory_backoff, "smaller_plan", once_more)
    run_out(monkeypatch, PROBLEMS["cpu"], step=0, times=1000)
    seen = []
    with pytest.raises(TrainingError, match="too little free memory"):
        run_training(study, tiny(), answer=seen.append)
    assert len(of_kind(seen, events.Warned)) == memory_backoff.MOST_SAVINGS


def test_a_defect_is_no_reason_to_save_memory(study, monkeypatch):
    run_out(monkeypatch, RuntimeError("a defect"), step=1)
    seen = []
    with pytest.raises(RuntimeError, match="a defect"):
        run_training(study, tiny(), answer=seen.append)
    assert not of_kind(seen, events.Warned)


def test_a_step_that_stops_half_way_can_be_gone_on_from(study, monkeypatch):
    """The student has stepped and its discriminator has not."""
    run_out(monkeypatch, PROBLEMS["cuda"], 0, place=Adversary, what="learn")
    seen, run = run_training(study, tiny("dan", steps=6))
    assert len(of_kind(seen, events.Warned)) == 1
    assert run.status == "finished"


def test_what_an_optimiser_has_only_begun_to_remember_is_forgotten(study, monkeypatch):
    original = torch.optim.AdamW.step
    left = [1]

    def step(optimiser, closure=None):
        done = original(optimiser, closure)
        if left[0]:
            left[0] -= 1
            first = next(iter(optimiser.state))
            del optimiser.state[first]["exp_avg_sq"]
            raise PROBLEMS["cuda"]
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    _, run = run_training(study, tiny("supervised", steps=3))
    assert run.status == "finished"


@pytest.mark.parametrize("key", available_methods())
def test_every_method_goes_on(study, monkeypatch, key):
    original, left = memory_backoff.take_step, [1]

    def take_step(work):
        event = original(work)
        if left[0] and work.step == 5:
            left[0] -= 1
            work.step -= 1
            raise PROBLEMS["cuda"]
        return event

    monkeypatch.setattr(memory_backoff, "take_step", take_step)
    two_levels = {"network.strides": [[2, 2, 2]] * 2}
    seen, run = run_training(study, tiny(key, steps=6, plan_overrides=two_levels))
    assert len(of_kind(seen, events.Warned)) == 1
    assert len(losses(seen)) == 6
    assert run.status == "finished"
