"""What goes wrong in training ends in one sentence, and the last checkpoint is always unharmed."""

import errno
import math
import os

import pytest
import torch

from napari_semiseg.engine.errors import StudyError, TrainingError
from napari_semiseg.engine.methods import assembly
from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.training import events, step
from napari_semiseg.engine.training.loop import train
from tests.engine.small_study import make_study
from tests.engine.training.small_training import losses, run_training, tiny

pytestmark = pytest.mark.trains


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=5) as made:
        yield made


def weights_of(run):
    return load_checkpoint(run.folder).state["networks"]


def nan_from(step, monkeypatch):
    original = StudentMethod.training_step

    def training_step(method, batch, clock):
        if clock.step >= step:
            batch.images[:] = float("nan")
        return original(method, batch, clock)

    monkeypatch.setattr(StudentMethod, "training_step", training_step)


def test_a_loss_that_stays_non_finite_ends_the_run_and_keeps_the_last_checkpoint(
    study, monkeypatch
):
    nan_from(3, monkeypatch)
    seen = []
    with pytest.raises(TrainingError, match=r"not a finite number .*learning rate"):
        run_training(study, tiny(steps=1000, checkpoint_seconds=1e-6), answer=seen.append)
    assert len(losses(seen)) == 3 + step.MOST_SKIPPED
    run = study.runs.all()[-1]
    assert run.status == "failed"
    assert load_checkpoint(run.folder).progress["step"] >= 3
    for network in weights_of(run).values():
        assert all(value.isfinite().all() for value in network.values())


def test_single_steps_that_are_not_finite_are_passed_over(study, monkeypatch):
    original = StudentMethod.training_step

    def training_step(method, batch, clock):
        if clock.step == 1:
            batch.images[:] = float("nan")
        return original(method, batch, clock)

    monkeypatch.setattr(StudentMethod, "training_step", training_step)
    seen, run = run_training(study, tiny(steps=4))
    assert [math.isfinite(loss) for loss in losses(seen)] == [True, False, True, True]
    assert run.status == "finished"


@pytest.mark.parametrize(
    "problem",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"),
    ],
)
def test_too_little_memory_is_told_in_one_sentence(study, monkeypatch, problem):
    def training_step(method, batch, clock):
        raise problem

    monkeypatch.setattr(StudentMethod, "training_step", training_step)
    with pytest.raises(TrainingError, match=r"too little free memory .*smaller patch"):
        list(train(study, tiny()))
    assert study.runs.all()[-1].status == "failed"


def test_a_defect_keeps_its_own_error_and_marks_the_run_as_failed(study, monkeypatch):
    def training_step(method, batch, clock):
        raise RuntimeError("a defect")

    monkeypatch.setattr(StudentMethod, "training_step", training_step)
    with pytest.raises(RuntimeError, match="a defect"):
        list(train(study, tiny()))
    assert study.runs.all()[-1].status == "failed"


def test_an_interrupt_in_the_middle_of_a_step_keeps_the_last_checkpoint(study, monkeypatch):
    original = StudentMethod.training_step

    def training_step(method, batch, clock):
        if clock.step == 3:
            raise KeyboardInterrupt
        return original(method, batch, clock)

    monkeypatch.setattr(StudentMethod, "training_step", training_step)
    with pytest.raises(KeyboardInterrupt):
        list(train(study, tiny(checkpoint_seconds=1e-6)))
    run = study.runs.all()[-1]
    assert run.status == "stopped"
    assert load_checkpoint(run.folder).progress["step"] == 3


def full_disk(monkeypatch):
    def replace(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(assembly.os, "replace", replace)


def test_a_full_disk_ends_the_run_in_one_sentence_and_the_old_checkpoint_loads(study, monkeypatch):
    def answer(event):
        if isinstance(event, events.Progress) and event.step == 3:
            full_disk(monkeypatch)

    with pytest.raises(StudyError, match=r"checkpoint .* cannot be written .*free some disk"):
        run_training(study, tiny(checkpoint_seconds=1e-6), answer=answer)
    monkeypatch.undo()
    run = study.runs.all()[-1]
    assert load_checkpoint(run.folder).progress["step"] == 2
    assert [entry.name for entry in run.folder.glob("writing-*")] == []
    assert run.status == "failed"


def test_a_full_disk_while_closing_still_marks_the_run_as_stopped(study):
    with pytest.MonkeyPatch.context() as patch:
        work = train(study, tiny())
        while not isinstance(next(work), events.Progress):
            pass
        full_disk(patch)
        with pytest.raises(StudyError, match="cannot be written"):
            work.close()
    assert study.runs.all()[-1].status == "stopped"
