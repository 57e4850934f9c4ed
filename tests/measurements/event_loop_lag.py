"""How late the event loop comes round, what the user was doing then, and where the program was.

A 10 ms timer that fires late has waited for something, and so has the user. The scripts beside this
file and the scripted session of the documentation measure with it, on the main thread.
"""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
from qtpy.QtCore import QEventLoop, QObject, Qt, QTimer

TICK_MS = 10
LARGEST_P95_MS = 50.0
LARGEST_MS = 300.0
WITNESSED_FROM_MS = 60.0
"""The witness looks where the program is once a tick is as late as this."""

POLL_MS = 5
PACKAGE = "napari_semiseg"


class LagMeter(QObject):
    """A timer that notes by how many milliseconds each of its ticks came late.

    Attributes
    ----------
    action : str
        What the user is doing.
    lags : dict of str to list of float
        Milliseconds by which ticks were late, for each action.
    work : dict of str to list of float
        Milliseconds of processor time that the main thread itself took before each tick: unlike the
        lag, it does not grow when other programs keep the machine busy.
    last_tick : float or None
        ``time.perf_counter()`` of the last tick; None while nothing is measured.
    """

    def __init__(self) -> None:
        super().__init__()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self.action = ""
        self.last_tick: float | None = None
        self.lags: dict[str, list[float]] = {}
        self.work: dict[str, list[float]] = {}
        self._worked = 0.0

    def measure(self, seconds: float) -> np.ndarray:
        """Run the event loop and return the lags in ms."""
        self.lags.pop("", None)
        self.work.pop("", None)
        with self.during(""):
            run_event_loop(seconds)
        return np.array(self.lags[""])

    @contextmanager
    def during(self, action: str) -> Iterator[None]:
        """Measure what the block does and runs the event loop for, under the name of an action."""
        former, self.action = self.action, action
        was_measuring = self.last_tick is not None
        self._stop()
        self._start()
        try:
            yield
        finally:
            self._stop()
            self.action = former
            if was_measuring:
                self._start()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what the block does: it is no part of what a user would wait for."""
        was_measuring = self.last_tick is not None
        self._stop()
        try:
            yield
        finally:
            if was_measuring:
                self._start()

    def _start(self) -> None:
        self.last_tick, self._worked = time.perf_counter(), time.thread_time()
        self._timer.start()

    def _stop(self) -> None:
        if self.last_tick is not None:
            self._timer.stop()
            self._tick()  # what came since the last tick has kept the user waiting, too
            self.last_tick = None

    def _tick(self) -> None:
        if self.last_tick is None:
            return
        now, worked = time.perf_counter(), time.thread_time()
        late = max(0.0, 1000 * (now - self.last_tick) - TICK_MS)
        self.lags.setdefault(self.action, []).append(late)
        self.work.setdefault(self.action, []).append(1000 * (worked - self._worked))
        self.last_tick, self._worked = now, worked


class BlockWitness:
    """Looks where the main thread is while a tick of a meter is late; not on Windows.

    A signal interrupts the main thread between two steps of Python: what Qt or a library does in one
    go is seen at its end, where it was called.

    Parameters
    ----------
    meter : LagMeter
        Whose ticks to watch; made on the main thread.

    Attributes
    ----------
    seen : Counter of (str, str)
        Milliseconds for which a place kept the user waiting during an action.
    """

    def __init__(self, meter: LagMeter) -> None:
        self._meter = meter
        self._looked = 0.0
        self.seen: Counter[tuple[str, str]] = Counter()

    def __enter__(self) -> BlockWitness:
        signal.signal(signal.SIGALRM, self._look)
        signal.siginterrupt(signal.SIGALRM, False)
        signal.setitimer(signal.ITIMER_REAL, TICK_MS / 1000, TICK_MS / 1000)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)

    def _look(self, _number: int, frame: FrameType | None) -> None:
        last, now = self._meter.last_tick, time.perf_counter()
        if last is not None and 1000 * (now - last) >= WITNESSED_FROM_MS:
            since = max(last, self._looked)
            self.seen[self._meter.action, _place(frame)] += round(1000 * (now - since))
        self._looked = now


def _place(frame: FrameType | None) -> str:
    """Return the innermost functions of a stack: of this program, and of all."""
    innermost, own = "", ""
    while frame is not None:
        code = frame.f_code
        name = f"{code.co_filename.rsplit('/', 1)[-1]}:{code.co_qualname}"
        innermost = innermost or name
        if PACKAGE in code.co_filename and "site-packages" not in code.co_filename:
            own = name
            break
        frame = frame.f_back
    return own if own == innermost else f"{own or 'Qt and napari'} in {innermost}"


def run_event_loop(seconds: float) -> None:
    """Let Qt work for some time."""
    loop = QEventLoop()
    QTimer.singleShot(int(1000 * seconds), loop.quit)
    loop.exec()


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Let Qt work until something is so.

    Parameters
    ----------
    condition : callable
        Asked every few milliseconds.
    seconds : float
        How long to wait at most.
    what : str
        What is waited for, for the error.

    Raises
    ------
    TimeoutError
        It did not come about in time.
    """
    loop, give_up = QEventLoop(), time.monotonic() + seconds

    def look() -> None:
        if condition() or time.monotonic() > give_up:
            loop.quit()

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(POLL_MS)
    loop.exec()
    timer.stop()
    if not condition():
        raise TimeoutError(f"{what} did not come about in {seconds:g} s")


def lag_line(title: str, lags: np.ndarray) -> str:
    """Return a line of a table: title, median, 95th percentile and maximum in ms."""
    median, p95, largest = np.percentile(lags, (50, 95, 100))
    return f"{title:<34}{median:>9.1f}{p95:>9.1f}{largest:>9.1f}"


LAG_HEADER = f"{'lag of the event loop (ms)':<34}{'median':>9}{'p95':>9}{'max':>9}"


def is_too_long(lags: np.ndarray) -> bool:
    """Tell whether a user feels the lags in ms."""
    return bool(np.percentile(lags, 95) > LARGEST_P95_MS or lags.max() > LARGEST_MS)
