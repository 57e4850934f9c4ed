"""Work on another thread that ends well: what the desk's workers have in common.

A task yields what it has to tell and then how it ended; it runs in one
of napari's workers, at a low priority so that drawing comes first, and napari's own wish to quit
asks it to end in good order.
"""

from __future__ import annotations

import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from napari.qt.threading import GeneratorWorker
from napari.utils.notifications import notification_manager

from napari_semiseg.engine.errors import SemisegError

NICENESS = 10
LONGEST_WAIT_SECONDS = 20.0
"""How long closing the viewer waits for work to leave everything in order."""


@dataclass(frozen=True)
class Succeeded:
    """The work is over."""

    value: Any


@dataclass(frozen=True)
class Failed:
    """The work ended with a problem."""

    problem: Exception


class Task(ABC):
    """Work that a `TaskWorker` does; its text is what napari shows when it asks before closing."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._begun = threading.Event()
        self._over = threading.Event()

    def __str__(self) -> str:
        return self._title

    @abstractmethod
    def stop(self) -> None:
        """Ask the work to end soon and well; from any thread."""

    @abstractmethod
    def work(self) -> Iterator[Any]:
        """Do the work on the worker's thread and yield what it has to tell."""

    def events(self) -> Generator[Any, None, None]:
        """Yield what the work yields, then how it ended."""
        self._begun.set()
        try:
            _lower_priority()
            yield from self.work()
        except Exception as problem:  # noqa: BLE001
            # Every problem must reach the user, and napari's workers drop RuntimeErrors.
            yield Failed(problem)
        finally:
            self._over.set()

    def end(self, seconds: float = LONGEST_WAIT_SECONDS) -> bool:
        """Stop and wait until the work has left everything in order; False if it took too long."""
        self.stop()
        # a worker starts when the event loop comes round; before that there is nothing to wait for
        return not self._begun.is_set() or self._over.wait(seconds)


class TaskWorker(GeneratorWorker):
    """A napari worker whose ``quit`` asks the task to end well instead of dropping it."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.events)
        self._task = task

    def quit(self) -> None:
        """Ask the task to end; napari calls this when its window closes."""
        self._task.stop()


def sentence_for(problem: Exception) -> str:
    """Return what to show for a problem; napari also shows a defect, with its traceback."""
    if isinstance(problem, SemisegError):
        return str(problem)
    notification_manager.receive_error(type(problem), problem, problem.__traceback__)
    return (
        f"Something went wrong that the program did not foresee ({type(problem).__name__}): "
        "see napari's notifications for the details, and report them."
    )


def _lower_priority() -> None:
    """Let drawing come first: this thread, and those it starts, give way to the main thread."""
    if sys.platform == "linux":
        # Linux alone lets one thread have its own niceness.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
    else:
        import torch

        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))
