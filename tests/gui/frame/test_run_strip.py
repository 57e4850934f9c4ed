from __future__ import annotations

import pytest

from napari_semiseg.engine.training.events import Preparing, Progress, Started
from napari_semiseg.gui.frame.run_strip import training_text
from napari_semiseg.gui.train.training import TrainingProgress
from tests.gui.parts_of_the_desk import run_strip


@pytest.fixture
def strip(qtbot, desk):
    strip = run_strip(desk)
    qtbot.addWidget(strip)
    return strip


def begin(worker):
    worker.state = "running"
    worker.event.emit(Started("001", "UA-MT", "CPU", "32", 1, 3, {}))
    worker.event.emit(Progress(812, 0.4, 60.0, 100.0, {"loss": 1.0}))


def test_the_line_tells_method_step_and_time_left():
    progress = TrainingProgress(method_title="UA-MT", step=812, remaining=100)
    assert training_text(progress, "running") == "UA-MT · step 812 · 1:40 left"
    assert training_text(progress, "paused") == "UA-MT · step 812 · paused"
    progress.preparing = "validation"
    assert training_text(progress, "running") == "UA-MT · step 812 · validation"


def test_it_hides_while_nothing_is_under_way(strip):
    assert strip.isHidden()


def test_it_shows_training_and_pauses_and_stops_it(strip, desk, worker):
    begin(worker)
    strip.refresh()
    assert not strip.isHidden()
    assert strip.training.bar.value() == 400
    strip.pause.click()
    assert worker.state == "paused"
    assert strip.pause.text() == "Resume"
    strip.pause.click()
    assert worker.state == "running"
    strip.stop.click()
    assert not strip.stop.isEnabled()
    assert "about to stop" in strip.stop.toolTip()
    worker.end()
    assert strip.isHidden()


def test_pause_waits_for_the_first_step_and_says_so(strip, worker):
    worker.state = "running"
    worker.event.emit(Preparing(1, 4, "reading scans"))
    strip.refresh()
    assert not strip.pause.isEnabled()
    assert "not begun" in strip.pause.toolTip()
    assert strip.training.bar.value() == 250
    worker.end()


def test_a_long_job_shows_and_stops(strip, desk, background, scan_folder):
    desk.scans.add([scan_folder])
    assert not strip.isHidden()
    assert "Adding scans" in strip.job.text.text()
    strip.cancel.click()
    assert desk.open_study.job is None
    assert strip.isHidden()
