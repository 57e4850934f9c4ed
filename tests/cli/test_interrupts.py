"""Ctrl-C stops with a checkpoint; a second one does not wait."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training import loop, memory_backoff
from tests.cli.typed import ROOT, TINY

pytestmark = pytest.mark.trains


@pytest.fixture
def heeds_ctrl_c():
    """A shell starts what it puts into the background with Ctrl-C ignored; undo that here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_with_a_checkpoint(run, study, monkeypatch):
    original = memory_backoff.take_step

    def step(work):
        event = original(work)
        if event.step == 2:
            signal.raise_signal(signal.SIGINT)
        return event

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(memory_backoff, "take_step", step)
    stopped = run("train", study, "--method", "supervised", "--steps", 1000, *TINY, "--json")
    assert stopped.status == 0, stopped.error
    assert (stopped.data["status"], stopped.data["steps"]) == ("stopped", 2)
    assert "Stopping" in stopped.error
    assert signal.getsignal(signal.SIGINT) is before
    with Study.open(study) as opened:
        assert opened.runs.get().status == "stopped"
        assert opened.runs.get().has_checkpoint


def test_a_second_ctrl_c_does_not_wait(run, study, monkeypatch, heeds_ctrl_c):
    original = memory_backoff.take_step

    def step(work):
        if work.step == 1:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return original(work)

    monkeypatch.setattr(memory_backoff, "take_step", step)
    assert run("train", study, "--method", "supervised", "--steps", 9, *TINY).status == 130
    with Study.open(study) as opened:
        assert opened.runs.all()[-1].status == "stopped"


def test_ctrl_c_while_scans_are_read_ends_at_once(run, study, monkeypatch):
    original = loop.prepare

    def prepare(*arguments):
        signal.raise_signal(signal.SIGINT)
        return (yield from original(*arguments))

    monkeypatch.setattr(loop, "prepare", prepare)
    run("train", study, "--steps", 9, *TINY).assert_refused("stopped while the scans")
    with Study.open(study) as opened:
        assert opened.runs.all() == []


@pytest.mark.skipif(os.name != "posix", reason="sends a signal to another process")
def test_ctrl_c_in_a_terminal_stops_with_a_checkpoint(study):
    code = (
        "import torch; torch.set_num_threads(1); "
        "from napari_semiseg.cli.commands import main; main()"
    )
    command = ["train", str(study), "--method", "supervised", "--steps", "100000", *TINY, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    given_up = threading.Timer(90, process.kill)
    given_up.start()
    try:
        heard = []
        for line in process.stderr:  # the plan's reasons are told as the first step begins
            heard.append(line)
            if line.startswith("Network:"):
                process.send_signal(signal.SIGINT)
                break
        out, error = process.communicate()
    finally:
        given_up.cancel()
    assert process.returncode == 0, "".join(heard) + error
    assert json.loads(out)["status"] == "stopped"
    with Study.open(study) as opened:
        assert opened.runs.all()[-1].status == "stopped"
        assert opened.runs.all()[-1].has_checkpoint
