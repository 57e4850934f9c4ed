"""A training by two processes from the command line: one record, and no process outlives the others."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.study import Study
from tests.engine.small_study import make_study

ROOT = Path(__file__).parents[3]
PATIENCE = 120  # seconds until a test that hears nothing gives up
SCRIPT = """
import torch
from napari_semiseg.cli.commands import main

if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
"""
TINY = ["--set", "network.filters=4", "--set", "patch=[16,16,16]",
        "--set", "network.strides=[[2,2,2]]", "--device", "cpu", "--json"]  # fmt: skip

pytestmark = [
    pytest.mark.trains,
    pytest.mark.skipif(os.name != "posix", reason="sends signals to other processes"),
]


class Training:
    """A training by two processes that is under way."""

    def __init__(self, folder):
        self.path = make_study(folder, count=5).path
        script = folder / "train.py"
        script.write_text(SCRIPT)
        command = ["train", str(self.path), "--method", "mean-teacher", "--steps", "100000"]
        self.first = subprocess.Popen(
            [sys.executable, str(script), *command, "--devices", "2", *TINY],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.given_up = threading.Timer(PATIENCE, self.first.kill)
        self.given_up.start()
        self.heard = []
        for line in self.first.stderr:  # the plan's reasons are told as the first step begins
            self.heard.append(line)
            if line.startswith("Network:"):
                break
        (self.second,) = psutil.Process(self.first.pid).children()

    def end(self):
        """Wait for the first process; return its status, output and remarks."""
        out, error = self.first.communicate()
        self.given_up.cancel()
        return self.first.returncode, out, "".join(self.heard) + error

    def run(self):
        with Study.open(self.path) as study:
            (run,) = study.runs.all()
            return run


@pytest.fixture
def training(tmp_path):
    started = Training(tmp_path)
    yield started
    started.given_up.cancel()
    if started.first.poll() is None:
        started.first.kill()
        started.first.communicate()


def wait_until_gone(process):
    deadline = time.monotonic() + PATIENCE
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "it outlives the others"
        time.sleep(0.05)


def test_ctrl_c_stops_both_and_leaves_one_run_with_a_checkpoint(training):
    for process in (training.first, training.second):  # a terminal sends it to all
        process.send_signal(signal.SIGINT)
    status, out, error = training.end()
    assert status == 0, error
    assert json.loads(out)["status"] == "stopped"
    wait_until_gone(training.second)
    run = training.run()
    assert run.status == "stopped"
    assert load_checkpoint(run.folder).progress["step"] == run.details["steps"]
    assert run.settings["training"]["devices"] == 2


def test_when_the_second_process_is_killed_the_first_ends_with_a_sentence(training):
    training.second.kill()
    status, _, error = training.end()
    assert status == 1, error
    assert "Another process of run 001-mean-teacher has ended" in error
    assert training.run().status == "failed"


def test_when_the_first_process_is_killed_the_second_ends_too(training):
    training.first.kill()
    wait_until_gone(training.second)
    training.end()
