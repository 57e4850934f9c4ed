"""The run strip: what is under way, how far it is, and the buttons to pause and stop it.

Part of the dock widget, below every page; it hides while nothing is under way. When a run has ended
while the viewer is in the background, it says so on the desktop. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_semiseg.gui.train.desktop_notice import notify
from napari_semiseg.gui.widgets.controls import (
    allow,
    button,
    caption,
    describe,
    minutes_and_seconds,
    show_share,
)

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.train.training import Training, TrainingProgress


def training_text(progress: TrainingProgress, state: str) -> str:
    """Return the line about a run: method, step, and the time that is left or what is done."""
    parts = [progress.method_title or "Training"]
    if progress.step:
        parts.append(f"step {progress.step}")
    if state in ("pausing", "paused", "stopping"):
        parts.append({"pausing": "pausing…", "paused": "paused", "stopping": "stopping…"}[state])
    elif progress.preparing:
        parts.append(progress.preparing)
    elif progress.remaining is not None:
        parts.append(f"{minutes_and_seconds(progress.remaining)} left")
    return " · ".join(parts)


class _Row(QWidget):
    """One line with a progress bar under it, and its buttons on the right."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.text = caption()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        describe(self.bar, f"Progress of {name}", f"How far {name} is.")
        words = QVBoxLayout()
        words.setSpacing(3)
        words.addWidget(self.text)
        words.addWidget(self.bar)
        self.row = QHBoxLayout(self)
        self.row.setContentsMargins(0, 0, 0, 0)
        self.row.addLayout(words, 1)

    def set_share(self, share: float | None) -> None:
        """Show how far it is; None shows that it moves."""
        show_share(self.bar, share)


class RunStrip(QWidget):
    """Training and the long job under way, each with its buttons."""

    def __init__(self, open_study: OpenStudy, training: Training) -> None:
        super().__init__()
        self._open = open_study
        self._training = training
        self.training = _Row("training")
        self.pause = button(
            "Pause", "Pause after this step and free the graphics card.", self._pause
        )
        self.stop = button(
            "Stop", "Stop after this step; what was learnt so far is kept.", training.stop
        )
        for widget in (self.pause, self.stop):
            self.training.row.addWidget(widget)
        self.job = _Row("the work under way")
        self.cancel = button("Stop", "Stop this; what is done so far is kept.", open_study.stop_job)
        self.job.row.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 4)
        layout.addWidget(self.training)
        layout.addWidget(self.job)
        training.changed.connect(self.refresh)
        training.told.connect(self._tell)
        open_study.job_changed.connect(self.refresh)
        self.refresh()

    def _tell(self, sentence: str) -> None:
        study = self._open.study
        notify(self, "Training" if study is None else study.name, sentence)

    def refresh(self) -> None:
        """Show what is under way now."""
        training, job = self._training, self._open.job
        self.training.setVisible(training.active)
        self.job.setVisible(job is not None)
        self.setVisible(training.active or job is not None)
        if training.active:
            self._show_training()
        if job is not None:
            self.job.text.setText(" · ".join(part for part in (job.title, job.detail) if part))
            self.job.set_share(job.share)

    def _show_training(self) -> None:
        progress, state = self._training.progress, self._training.state
        self.training.text.setText(training_text(progress, state))
        before_steps = not progress.step
        self.training.set_share(progress.preparing_share if before_steps else progress.share)
        self.pause.setText("Resume" if state in ("paused", "pausing") else "Pause")
        stopping = "Training is about to stop." if state == "stopping" else None
        waiting = "Training has not begun yet." if before_steps else None
        allow(self.pause, stopping or waiting)
        allow(self.stop, stopping)

    def _pause(self) -> None:
        if self._training.state in ("paused", "pausing"):
            self._training.resume()
        else:
            self._training.pause()
