"""Changes to the study, one after the other, away from the main thread.

Saving a label, marking a case and accepting a prediction must reach the records in the order in which
the user asked for them. Each is submitted on the main thread, runs on a worker's thread, and its result
comes back on the main thread. Nothing that was submitted is ever lost: closing finishes what waits.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from napari_semiseg.engine.errors import SemisegError

RunInBackground = Callable[..., Any]
"""Called as `background.run_in_background` is."""

LONGEST_WAIT_SECONDS = 30.0

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Errand:
    """One piece of work that is done exactly once, by whichever thread claims it first."""

    work: Callable[[], Any]
    done: Callable[[Any], None]
    failed: Callable[[str], None]
    over: threading.Event = field(default_factory=threading.Event)
    _claim: threading.Lock = field(default_factory=threading.Lock)

    def claim(self) -> bool:
        return self._claim.acquire(blocking=False)

    def run(self) -> Any:
        """Do the work on the worker's thread, unless closing did it already."""
        if not self.claim():
            return None
        try:
            return self.work()
        finally:
            self.over.set()


class StudyLane:
    """A queue of changes to one study.

    Parameters
    ----------
    run_in_background : callable
        Starts work on another thread, as `run_in_background` does.
    """

    def __init__(self, run_in_background: RunInBackground) -> None:
        self._run_in_background = run_in_background
        self._waiting: deque[_Errand] = deque()
        self._running: _Errand | None = None

    @property
    def busy(self) -> bool:
        """Whether a change is under way or waits."""
        return self._running is not None

    def submit(
        self,
        work: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[str], None],
    ) -> None:
        """Do ``work`` after everything that was submitted before it.

        Parameters
        ----------
        work : callable
            Touches neither viewer nor widgets.
        done : callable
            Called on the main thread with what the work returned.
        failed : callable
            Called on the main thread with one sentence where the work raised.
        """
        self._waiting.append(_Errand(work, done, failed))
        self._start_next()

    def finish(self) -> None:
        """Do all that was submitted before returning; blocks, and calls no callback.

        Meant for the moment when the viewer closes and no event loop comes round any more.
        """
        errands = [*([] if self._running is None else [self._running]), *self._waiting]
        self._waiting.clear()
        self._running = None
        for errand in errands:
            if not errand.claim():
                errand.over.wait(LONGEST_WAIT_SECONDS)
                continue
            try:
                errand.work()
            except SemisegError as problem:
                _log.error("While closing: %s", problem)  # no window is left to show it in
            except Exception:  # noqa: BLE001 - those behind it must reach the disk all the same
                _log.exception("While closing, a change to the study failed")

    def _start_next(self) -> None:
        if self._running is not None or not self._waiting:
            return
        errand = self._running = self._waiting.popleft()
        self._run_in_background(
            errand.run,
            done=lambda result: self._end(errand, errand.done, result),
            failed=lambda sentence: self._end(errand, errand.failed, sentence),
        )

    def _end(self, errand: _Errand, tell: Callable[[Any], None], what: Any) -> None:
        if errand is not self._running:
            return  # the lane was finished meanwhile
        self._running = None
        try:
            tell(what)
        finally:
            self._start_next()
