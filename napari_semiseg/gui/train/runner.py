"""The thread that trains.

Training is a generator of events (see
`napari_semiseg.engine.training.events`). Requests go to it through a queue and are handed to the
generator at its next event, so none is lost, whatever it is doing. All signals arrive
on the main thread.
"""

from __future__ import annotations

import gc
import queue
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari.qt.threading import create_worker
from qtpy.QtCore import QObject, Signal

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.events import (
    PREVIEW_KINDS,
    Release,
    Released,
    Request,
    ShowCase,
    Started,
    Stop,
)
from napari_semiseg.gui.open_study.task import Failed, Task, TaskWorker, sentence_for

if TYPE_CHECKING:
    from napari_semiseg.engine.training.settings import TrainingSettings

MANY_OBJECTS = 100_000
"""From as many on, what is frozen is the libraries, not a few objects of Python's own."""

TrainingState = Literal["idle", "running", "pausing", "paused", "stopping"]
Trainer = Callable[..., Generator[Any, Request | None, Any]]
"""Called with an open study, settings and the run to resume, as `train` is."""


@dataclass(frozen=True)
class _Resume:
    """Go on after a pause."""


class _Training(Task):
    """Training of a study, and the requests that wait for its next event."""

    def __init__(
        self,
        trainer: Trainer | None,
        study_path: Path,
        settings: TrainingSettings,
        resume: str | None,
    ) -> None:
        super().__init__(f"training on the study {study_path.stem}")
        self._trainer = trainer
        self._study_path = study_path
        self._settings = settings
        self._resume = resume
        self._requests: queue.SimpleQueue[Request | _Resume] = queue.SimpleQueue()
        self._waiting: deque[Request] = deque()
        self._held = False

    def ask(self, request: Request | _Resume) -> None:
        """Queue a request; from any thread."""
        self._requests.put(request)

    def stop(self) -> None:
        self.ask(Stop())

    def work(self) -> Iterator[Any]:
        trainer = self._trainer or _default_trainer()
        # SQLite connections belong to a thread, so the study is opened on this one.
        with _short_collections(), Study.open(self._study_path) as study:
            training = trainer(study, self._settings, self._resume)
            try:
                yield from self._drive(training)
            finally:
                training.close()

    def _drive(self, training: Generator[Any, Request | None, Any]) -> Iterator[Any]:
        """Hand the generator one request at each event; before `Started` it hears none."""
        request: Request | None = None
        started = False
        while True:
            try:
                event = training.send(request)
            except StopIteration:
                return
            yield event
            started = started or isinstance(event, Started)
            while not self._requests.empty() or (self._held and isinstance(event, Released)):
                self._note(self._requests.get())
            if not started and Stop() in self._waiting:
                return  # nothing is trained yet, so there is nothing to keep
            request = self._waiting.popleft() if started and self._waiting else None

    def _note(self, request: Request | _Resume) -> None:
        """Put a request in line; a pause holds from `Release` until `_Resume` or `Stop`."""
        self._held = isinstance(request, Release) or (
            self._held and not isinstance(request, _Resume | Stop)
        )
        if not isinstance(request, _Resume):
            self._waiting.append(request)


@contextmanager
def _short_collections() -> Iterator[None]:
    """Let Python's garbage collector pass over everything that is loaded by now.

    Whole collections among the millions of objects of the libraries stop all threads, drawing
    included, for up to 0.7 s; those among what comes later take milliseconds.
    """
    begun = gc.get_freeze_count() >= MANY_OBJECTS  # the desk does the same while it is open
    if not begun:
        gc.freeze()
    try:
        yield
    finally:
        if not begun:
            gc.unfreeze()


def _default_trainer() -> Trainer:
    from napari_semiseg.engine.training.loop import train  # loads torch: on the worker's thread

    return train


class TrainingWorker(QObject):
    """The training of a study in the background; one at a time.

    Parameters
    ----------
    parent : QObject or None
        Qt's owner.

    Attributes
    ----------
    event : Signal(object)
        Every event of the training, in order.
    failed : Signal(str)
        The sentence to show when training could not start or go on; `ended` follows.
    ended : Signal()
        The thread has left the study in order and the state is ``"idle"`` again.
    state_changed : Signal(str)
        The new state.
    """

    event = Signal(object)
    failed = Signal(str)
    ended = Signal()
    state_changed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._state: TrainingState = "idle"
        self._task: _Training | None = None
        self._guard: weakref.finalize[..., Any] | None = None

    @property
    def state(self) -> TrainingState:
        """What training does; ``"pausing"`` and ``"stopping"`` last up to one step."""
        return self._state

    def start(
        self,
        study_path: str | Path,
        settings: TrainingSettings,
        resume: str | None = None,
        shown_case: str | None = None,
        trainer: Trainer | None = None,
    ) -> None:
        """Start training in the background.

        Parameters
        ----------
        study_path : str or Path
            Folder of the study; the thread opens it for itself.
        trainer : callable, optional
            In place of `napari_semiseg.engine.training.loop.train`, with the same signature.

        Raises
        ------
        TrainingError
            Training is under way already.
        """
        if self._task is not None:
            raise TrainingError("Training is under way already: stop it before you start another.")
        task = _Training(trainer, Path(study_path), settings, resume)
        if shown_case is not None:
            task.ask(ShowCase(shown_case))
        self._task = task
        # A docked widget is never told that it closes; being forgotten is the only sign.
        self._guard = weakref.finalize(self, task.end)
        self._set_state("running")
        worker = create_worker(task, _start_thread=False, _worker_class=TaskWorker)
        worker.yielded.connect(self._on_value)
        worker.finished.connect(self._on_finished)
        worker.start()

    def pause(self) -> None:
        """Ask training to leave the accelerator and wait; the state says when it does."""
        if self._state == "running":
            self._ask(Release(), "pausing")

    def resume(self) -> None:
        """Go on after a pause, or take a pause back that has not come yet."""
        if self._state in ("pausing", "paused"):
            self._ask(_Resume(), "running")

    def stop(self) -> None:
        """Ask training to end within one step, with a checkpoint; also while it is paused."""
        if self._state not in ("idle", "stopping"):
            self._ask(Stop(), "stopping")

    def show_case(self, name: str | None, kinds: Sequence[str] = PREVIEW_KINDS) -> None:
        """Preview these maps of a case from now on; None ends previews."""
        if self._task is not None:
            self._task.ask(ShowCase(name, tuple(kinds)))

    def close(self) -> bool:
        """Stop and wait for the checkpoint, at most 20 s; False if it took longer.

        Blocks the calling thread; meant for the moment when the viewer closes.
        """
        if self._task is None:
            return True
        if self._state != "stopping":
            self._set_state("stopping")
        return self._task.end()

    def _ask(self, request: Request | _Resume, state: TrainingState) -> None:
        assert self._task is not None
        self._task.ask(request)
        self._set_state(state)

    def _set_state(self, state: TrainingState) -> None:
        self._state = state
        self.state_changed.emit(state)

    def _on_value(self, value: Any) -> None:
        if isinstance(value, Failed):
            self.failed.emit(sentence_for(value.problem))
            return
        if isinstance(value, Released) and self._state == "pausing":
            self._set_state("paused")
        self.event.emit(value)

    def _on_finished(self) -> None:
        if self._guard is not None:
            self._guard.detach()
        self._task = self._guard = None
        self._set_state("idle")
        self.ended.emit()
