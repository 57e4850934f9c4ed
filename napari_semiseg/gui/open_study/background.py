"""Work that would make the window wait, on threads of its own.

The work touches neither viewer nor widgets; what it tells arrives on the main thread.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from napari.qt.threading import create_worker
from qtpy.QtCore import QThreadPool

from napari_semiseg.engine.drained import Drained
from napari_semiseg.gui.open_study.task import Failed, Succeeded, Task, TaskWorker, sentence_for

if TYPE_CHECKING:
    pass


LEAST_THREADS = 16


class _Errand(Task):
    """A function or generator function that runs to its end or to the next value."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        super().__init__(getattr(function, "__name__", "work").replace("_", " ").strip())
        self._function = function
        self._arguments = arguments
        self.cancelled = threading.Event()

    def stop(self) -> None:
        self.cancelled.set()

    def work(self) -> Iterator[Any]:
        result = self._function(*self._arguments)
        if inspect.isgenerator(result):
            result = yield from self._until_cancelled(result)
        yield Succeeded(result)

    def _until_cancelled(self, values: Any) -> Generator[Any, None, Any]:
        """Yield the values of a generator and return its result; None when cancelled."""
        steps = Drained(values)
        try:
            if self.cancelled.is_set():
                return None
            for value in steps:
                yield value
                if self.cancelled.is_set():
                    return None
        finally:
            values.close()
        return steps.result


class BackgroundWork:
    """Work that `run_in_background` has started.

    Parameters
    ----------
    done, failed, progress : callable
        As for `run_in_background`.
    """

    def __init__(
        self,
        errand: _Errand,
        done: Callable[[Any], None],
        failed: Callable[[str], None],
        progress: Callable[[Any], None] | None,
    ) -> None:
        self._errand = errand
        self._done = done
        self._failed = failed
        self._progress = progress

    def cancel(self) -> None:
        """End at the next value that the work yields; no callback is called any more."""
        self._errand.stop()

    def close(self) -> bool:
        """Cancel and wait, at most 20 s; False if it took longer."""
        return self._errand.end()

    def _on_value(self, value: Any) -> None:
        if self._errand.cancelled.is_set():
            return
        if isinstance(value, Failed):
            self._failed(sentence_for(value.problem))
        elif isinstance(value, Succeeded):
            self._done(value.value)
        elif self._progress is not None:
            self._progress(value)


def make_room_for_threads() -> None:
    """Let strokes be saved and scans be read while long tasks are under way.

    They share Qt's pool of threads, which has one for each core by default: on two cores training and
    a prediction would keep all others waiting until one of them ends.
    """
    pool = QThreadPool.globalInstance()
    if pool is not None:
        pool.setMaxThreadCount(max(pool.maxThreadCount(), LEAST_THREADS))


def run_in_background(
    work: Callable[..., Any],
    *arguments: Any,
    done: Callable[[Any], None],
    failed: Callable[[str], None],
    progress: Callable[[Any], None] | None = None,
) -> BackgroundWork:
    """Do work on another thread and hear of it on the main thread.

    Parameters
    ----------
    work : callable
        A function, or a function that returns a generator; touches neither viewer nor widgets.
    done : callable
        Called with what the work returns.
    failed : callable
        Called with one sentence in place of ``done`` where the work raised.
    progress : callable, optional
        Called with every value that the generator yields.
    """
    errand = _Errand(work, arguments)
    handle = BackgroundWork(errand, done, failed, progress)
    worker = create_worker(errand, _start_thread=False, _worker_class=TaskWorker)
    # Qt keeps bound methods weakly; the work must be heard even where nobody keeps its handle
    worker.yielded.connect(lambda value: handle._on_value(value))
    worker.start()
    return handle
