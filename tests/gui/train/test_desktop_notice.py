from __future__ import annotations

from typing import ClassVar

import pytest
from qtpy.QtWidgets import QWidget

from napari_semiseg.engine.training.events import Finished
from napari_semiseg.gui.train import desktop_notice
from napari_semiseg.gui.train.desktop_notice import notify
from tests.gui.parts_of_the_desk import run_strip


class Tray:
    """Stands in for the tray of a desktop."""

    available = True
    shown: ClassVar[list] = []

    def __init__(self, icon, parent):
        self.parent = parent

    @classmethod
    def isSystemTrayAvailable(cls):  # noqa: N802
        return cls.available

    @staticmethod
    def supportsMessages():  # noqa: N802
        return True

    def show(self):
        pass

    def showMessage(self, title, sentence, icon, milliseconds):  # noqa: N802
        self.shown.append((title, sentence))

    def deleteLater(self):  # noqa: N802
        pass


@pytest.fixture
def tray(monkeypatch):
    monkeypatch.setattr(desktop_notice, "QSystemTrayIcon", Tray)
    monkeypatch.setattr(desktop_notice, "in_background", lambda widget: True)
    monkeypatch.setattr(Tray, "available", True)
    monkeypatch.setattr(Tray, "shown", [])
    return Tray


@pytest.fixture
def widget(qtbot):
    made = QWidget()
    qtbot.addWidget(made)
    return made


def test_it_tells_on_the_desktop(widget, tray):
    assert notify(widget, "Hips", "Training has finished.")
    assert tray.shown == [("Hips", "Training has finished.")]


def test_without_a_tray_the_window_asks_for_attention(widget, tray, monkeypatch):
    monkeypatch.setattr(tray, "available", False)
    asked = []
    monkeypatch.setattr(desktop_notice.QApplication, "alert", asked.append)
    assert not notify(widget, "Hips", "Training has finished.")
    assert asked == [widget]
    assert tray.shown == []


def test_somebody_who_looks_is_not_told_twice(widget, tray, monkeypatch):
    monkeypatch.setattr(desktop_notice, "in_background", lambda widget: False)
    assert not notify(widget, "Hips", "Training has finished.")
    assert tray.shown == []


def test_a_run_that_ends_is_told(qtbot, desk, worker, tray):
    strip = run_strip(desk)
    qtbot.addWidget(strip)
    worker.event.emit(Finished("001", "stopped", 2, 2.0))
    assert tray.shown == [], "who stops a run is there to see it"
    worker.event.emit(Finished("001", "finished", 2, 2.0))
    assert "Training has finished" in tray.shown[0][1]
    worker.failed.emit("The disk is full.")
    assert tray.shown[1] == ("boxes", "The disk is full.")
