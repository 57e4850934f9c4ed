"""A training that is killed at any moment goes on from its last checkpoint."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_semiseg.engine.methods import assembly
from napari_semiseg.engine.methods.assembly import CHECKPOINT, load_checkpoint
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training import events
from napari_semiseg.engine.training.preparation import settings_of_run
from tests.engine.small_study import make_study
from tests.engine.training.small_training import of_kind, run_training, tiny

pytestmark = pytest.mark.trains

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
import torch
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.loop import train
from tests.engine.training.small_training import tiny

torch.set_num_threads(1)
for event in train(Study.open(sys.argv[1]), tiny(steps=100_000, checkpoint_seconds=0.05)):
    pass
"""
PATIENCE = 60  # seconds until a test that hears nothing gives up


def wait_for(happened, process):
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.002)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a signal that cannot be caught")
def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path):
    path = make_study(tmp_path, count=4).path
    checkpoint = path / "runs" / "001-ua-mt" / CHECKPOINT
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(checkpoint.exists, process)
        first = checkpoint.stat().st_mtime_ns
        wait_for(lambda: checkpoint.stat().st_mtime_ns != first, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    with Study.open(path) as study:
        run = study.runs.all()[-1]
        reached = load_checkpoint(run.folder).progress["step"]
        assert reached >= 2
        settings = settings_of_run(run).model_copy(update={"steps": reached + 3})
        seen, run = run_training(study, settings, run.identifier)
        steps = [event.step for event in of_kind(seen, events.Progress)]
        assert steps == [reached + 1, reached + 2, reached + 3]
        assert run.status == "finished"
        assert [case.name for case in study.cases()] == ["case_00", "case_01", "case_02", "case_03"]


def test_a_kill_at_any_moment_of_writing_leaves_a_checkpoint_that_loads(tmp_path):
    """Every write that a checkpoint makes is cut off once, as a power cut would."""

    class PowerCut(BaseException):
        pass

    for stage in ("save", "fsync", "replace"):
        with make_study(tmp_path / stage, count=4) as study:
            _, run = run_training(study, tiny(steps=2))
            with pytest.MonkeyPatch.context() as patch:

                def cut(*arguments, **named):
                    raise PowerCut

                patch.setattr(assembly.torch if stage == "save" else assembly.os, stage, cut)
                with pytest.raises(PowerCut):
                    run_training(study, tiny(steps=3), run.identifier)
            assert load_checkpoint(run.folder).progress["step"] == 2
            _, run = run_training(study, tiny(steps=3), run.identifier)
            assert load_checkpoint(run.folder).progress["step"] == 3
