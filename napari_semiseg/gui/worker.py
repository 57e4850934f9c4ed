"""The threads of the desk: training, and other work that would make the window wait.

Nothing else in the program starts a thread. Training is a generator of events (see
`napari_semiseg.engine.training.events`); here it runs in one of napari's workers, at a low priority
so that drawing comes first. Requests go to it through a queue and are handed to the generator at its
next event, so none is lost, whatever it is doing. All signals and callbacks arrive on the main
thread. Workers touch neither viewer nor widgets.
"""

from __future__ import annotations

import inspect
import os
import queue
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari.qt.threading import GeneratorWorker, create_worker
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QObject, Signal

from napari_semiseg.engine.errors import SemisegError, TrainingError
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.events import (
    Release,
    Released,
    Request,
    ShowCase,
    Started,
    Stop,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.training.settings import TrainingSettings

TrainingState = Literal["idle", "running", "pausing", "paused", "stopping"]
Trainer = Callable[..., Generator[Any, Request | None, Any]]
"""Called with an open study, settings and the run to resume, as `train` is."""

NICENESS = 10
LONGEST_WAIT_SECONDS = 20.0
"""How long closing the viewer waits for the last checkpoint."""


@dataclass(frozen=True)
class _Resume:
    """Go on after a pause."""


@dataclass(frozen=True)
class _Succeeded:
    """The work is over."""

    value: Any


@dataclass(frozen=True)
class _Failed:
    """The work ended with a problem."""

    problem: Exception


class _Task:
    """Work that a `_TaskWorker` does; its text is what napari shows when it asks before closing."""

    def __init__(self, title: str) -> None:
        self._title = title
        self.over = threading.Event()

    def __str__(self) -> str:
        return self._title

    def stop(self) -> None:
        raise NotImplementedError

    def work(self) -> Iterator[Any]:
        raise NotImplementedError

    def events(self) -> Generator[Any, None, None]:
        """Yield what the work yields, then how it ended."""
        try:
            _lower_priority()
            yield from self.work()
        except Exception as problem:  # noqa: BLE001
            # Every problem must reach the user, and napari's workers drop RuntimeErrors.
            yield _Failed(problem)
        finally:
            self.over.set()

    def end(self, seconds: float = LONGEST_WAIT_SECONDS) -> bool:
        """Stop and wait until the work has left everything in order; False if it took too long."""
        self.stop()
        return self.over.wait(seconds)


class _TaskWorker(GeneratorWorker):
    """A napari worker whose ``quit`` asks the task to end well instead of dropping it."""

    def __init__(self, task: _Task) -> None:
        super().__init__(task.events)
        self._task = task

    def quit(self) -> None:
        self._task.stop()


class _Training(_Task):
    """Training of a study, and the requests that wait for its next event."""

    def __init__(
        self,
        trainer: Trainer | None,
        study_path: Path,
        settings: TrainingSettings,
        resume: str | None,
        shown_case: str | None,
    ) -> None:
        super().__init__(f"training on the study {study_path.stem}")
        self._trainer = trainer
        self._study_path = study_path
        self._settings = settings
        self._resume = resume
        self.requests: queue.SimpleQueue[Request | _Resume] = queue.SimpleQueue()
        if shown_case is not None:
            self.requests.put(ShowCase(shown_case))

    def stop(self) -> None:
        self.requests.put(Stop())

    def work(self) -> Iterator[Any]:
        # SQLite connections belong to a thread, so the study is opened on this one.
        with Study.open(self._study_path) as study:
            training = self._training(study)
            try:
                yield from self._drive(training)
            finally:
                training.close()

    def _training(self, study: Study) -> Generator[Any, Request | None, Any]:
        trainer = self._trainer
        if trainer is None:
            from napari_semiseg.engine.training.loop import train as trainer
        return trainer(study, self._settings, self._resume)

    def _drive(self, training: Generator[Any, Request | None, Any]) -> Iterator[Any]:
        """Hand each request to the generator at an event; before it has started it hears none."""
        waiting: deque[Request] = deque()
        request: Request | None = None
        started = False
        while True:
            try:
                event = training.send(request)
            except StopIteration:
                return
            started = started or isinstance(event, Started)
            yield event
            waiting += self._waiting_requests()
            if isinstance(event, Released):
                yield from self._paused(waiting)
            if not started and Stop() in waiting:
                return  # nothing is trained yet, so there is nothing to keep
            request = waiting.popleft() if started and waiting else None

    def _waiting_requests(self) -> Iterator[Request]:
        while not self.requests.empty():
            request = self.requests.get()
            if not isinstance(request, _Resume):
                yield request

    def _paused(self, waiting: deque[Request]) -> Iterator[None]:
        """Wait for a request to go on or to stop."""
        return
        yield


def _lower_priority() -> None:
    """Let drawing come first: this thread, and those it starts, give way to the main thread."""
    if sys.platform == "linux":
        # Linux alone lets one thread have its own niceness.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    else:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
