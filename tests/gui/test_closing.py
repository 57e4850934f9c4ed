"""A user closes the window while a model trains: napari asks, and both answers are kept."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QDialog

from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.open_study.background import LEAST_THREADS

PATIENCE = 60_000
SMALL = {"patch": (8, 8, 8), "network.filters": 2, "network.strides": [[2, 2, 2]]}
ASKED = "napari._qt.qt_main_window.ConfirmCloseDialog"


class ClosedByTheUser(QCloseEvent):
    """What the window hears when its close button is pressed."""

    def spontaneous(self):
        return True


@pytest.fixture
def questions(monkeypatch):
    """What was asked, and the answer to give."""
    asked = {"texts": [], "answer": QDialog.DialogCode.Rejected}

    class Question:
        def __init__(self, parent, close_app, extra_info="", **more):
            asked["texts"].append(extra_info)

        def exec_(self):
            return asked["answer"]

    monkeypatch.setattr(ASKED, Question)
    return asked


def docked(viewer, qtbot, recent, study_path):
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    widget.session.open_study.open(study_path)
    session = widget.session
    qtbot.waitUntil(
        lambda: bool(session.open_study.study and session.open_study.methods), timeout=PATIENCE
    )
    return widget


def train(session, qtbot, steps):
    qtbot.waitUntil(lambda: session.training.progress.step >= steps, timeout=PATIENCE)


def press_close(viewer):
    """Press the close button of the window; return whether it closes."""
    event = ClosedByTheUser()
    viewer.window._qt_window.closeEvent(event)
    return event.isAccepted()


def test_cancelling_lets_training_go_on(make_napari_viewer, qtbot, recent, study_path, questions):
    viewer = make_napari_viewer()
    session = docked(viewer, qtbot, recent, study_path).session
    session.training.start(TrainingSettings(minutes=5, device="cpu", plan_overrides=SMALL))
    train(session, qtbot, 2)
    assert not press_close(viewer)
    assert "training on the study boxes" in questions["texts"][0]
    train(session, qtbot, session.training.progress.step + 2)
    assert session.training.state == "running"
    session.close()


def test_closing_stops_with_a_checkpoint_from_which_the_run_goes_on(
    make_napari_viewer, qtbot, recent, study_path, questions
):
    viewer = make_napari_viewer()
    widget = docked(viewer, qtbot, recent, study_path)
    budget = TrainingSettings(steps=2000, device="cpu", plan_overrides=SMALL)
    widget.session.training.start(budget)
    train(widget.session, qtbot, 2)
    questions["answer"] = QDialog.DialogCode.Accepted
    assert press_close(viewer)
    viewer.close()
    del widget
    gc.collect()
    with Study.open(study_path) as study:
        run = study.runs.all()[-1]
        assert (run.status, run.has_checkpoint) == ("stopped", True)
    again = docked(make_napari_viewer(), qtbot, recent, study_path).session
    assert again.open_study.records.unfinished_run.identifier == run.identifier
    again.training.continue_stopped()
    qtbot.waitUntil(lambda: again.training.progress.step > 2, timeout=PATIENCE)
    assert again.training.progress.run == run.identifier
    again.close()


def test_without_training_nobody_asks(make_napari_viewer, qtbot, recent, study_path, questions):
    viewer = make_napari_viewer()
    session = docked(viewer, qtbot, recent, study_path).session
    qtbot.waitUntil(lambda: not session.overview.busy, timeout=PATIENCE)
    qtbot.wait(20)
    press_close(viewer)
    assert not any("training" in text for text in questions["texts"])
    session.close()


def test_a_dock_that_is_closed_takes_its_scan_along(
    make_napari_viewer, qtbot, recent, study_path, questions
):
    """A label that stays would look alive, and nothing that is painted in it would be saved."""
    viewer = make_napari_viewer(show=True)
    widget = docked(viewer, qtbot, recent, study_path)
    session = widget.session
    session.on_show.show("scan_1")
    qtbot.waitUntil(lambda: session.on_show.name == "scan_1", timeout=PATIENCE)
    mine = viewer.add_points([[0, 0, 0]], name="mine")
    session.on_show.layers.label_layer.data_setitem(
        (np.array([1]), np.array([2]), np.array([2])), 1
    )
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    del widget
    qtbot.waitUntil(lambda: session.open_study.study is None, timeout=PATIENCE)
    qtbot.waitUntil(lambda: list(viewer.layers) == [mine], timeout=PATIENCE)
    with Study.open(study_path) as study:
        assert study.labels.load("scan_1").sum() == 1


def test_strokes_are_saved_while_long_tasks_use_every_core(
    make_napari_viewer, qtbot, recent, study_path, questions
):
    session = docked(make_napari_viewer(), qtbot, recent, study_path).session
    go_on, begun = threading.Event(), []

    def long_task():
        begun.append(1)
        go_on.wait(PATIENCE / 1000)

    nobody = {"done": lambda _: None, "failed": lambda _: None}
    tasks = min(os.cpu_count() + 1, LEAST_THREADS - 2)
    for _ in range(tasks):
        session.open_study.background(long_task, **nobody)
    try:
        qtbot.waitUntil(lambda: len(begun) == tasks, timeout=PATIENCE)
        session.on_show.show("scan_1")
        qtbot.waitUntil(lambda: session.on_show.name == "scan_1", timeout=PATIENCE)
    finally:
        go_on.set()
    session.close()
