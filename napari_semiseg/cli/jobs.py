"""Several runs of a comparison at a time, each in a process of its own.

A run takes one graphics card, or its share of the CPU's cores. Runs know nothing of each other and
meet only in the study's records; one that fails leaves the others alone.
Engine imports are inside the functions: each process chooses its device before PyTorch is loaded.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Study
    from napari_semiseg.engine.training.settings import TrainingSettings

LINE_SECONDS = 10.0  # between two lines about a run
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Place:
    """Where one of the runs that go on at the same time computes.

    Attributes
    ----------
    card : str or None
        The graphics card, as CUDA_VISIBLE_DEVICES names it; None on other devices.
    threads : int
        Threads of the CPU.
    """

    card: str | None
    threads: int


def places(device: str, jobs: int) -> list[Place]:
    """Divide this machine among ``jobs`` runs; with more runs than graphics cards, some share one."""
    import torch

    from napari_semiseg.engine.planning.machine import describe_machine

    machine = describe_machine(device)
    threads = max(1, machine.cores // jobs)
    if machine.device != "cuda":
        return [Place(None, threads)] * jobs
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    cards = named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
    return [Place(cards[index % len(cards)], threads) for index in range(jobs)]


@dataclass(eq=False)
class JobRunner:
    """Runs of a comparison, as many at a time as there are places.

    Attributes
    ----------
    study : Study
        Each process opens it for itself.
    name : callable
        What a run is called in front of its lines.
    tell : callable
        Prints a line.
    done : callable
        Called each time a run has ended.
    interrupted : threading.Event
        Set, it stops all runs, each with a checkpoint.
    """

    study: Study
    name: Callable[[TrainingSettings], str]
    tell: Callable[[str], None]
    done: Callable[[], None]
    interrupted: threading.Event

    def run(self, runs: Sequence[TrainingSettings], free: list[Place]) -> list[str]:
        """Train and measure ``runs``; return the names of those that failed."""
        context = multiprocessing.get_context("spawn")
        lines: Any = context.Queue()
        stop = context.Event()
        waiting, failed = list(runs), []
        going: dict[SpawnProcess, tuple[str, Place]] = {}
        while waiting or going:
            if self.interrupted.is_set() and not stop.is_set():
                stop.set()
                waiting.clear()
                self.tell("Stopping; the checkpoints are being written …")
            while waiting and free:
                settings, place = waiting.pop(0), free.pop(0)
                name = self.name(settings)
                values = settings.model_dump(mode="json")
                arguments = (self.study.path, values, name, place, lines, stop)
                process = context.Process(target=train_and_measure, args=arguments, daemon=True)
                process.start()
                going[process] = (name, place)
            self._tell_all(lines)
            for process in [each for each in going if not each.is_alive()]:
                name, place = going.pop(process)
                free.append(place)
                self._tell_all(lines)
                if process.exitcode:
                    failed.append(name)
                    self.tell(f"{name}: failed.")
                self.done()
        return failed

    def _tell_all(self, lines: Any) -> None:
        """Tell what the runs have said; wait a moment where they say nothing."""
        try:
            self.tell(lines.get(timeout=LOOK_SECONDS))
            while True:
                self.tell(lines.get_nowait())
        except queue.Empty:
            return


def train_and_measure(
    path: Path, values: dict[str, Any], name: str, place: Place, lines: Any, stop: Any
) -> None:
    """Train one run and measure it on the held-out cases: what each process does.

    Parameters
    ----------
    values : dict
        Of the run's `TrainingSettings`.
    name : str
        Put in front of every line.
    stop : multiprocessing.Event
        Set where the run is to stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process hears it for all
    if place.card is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = place.card
    import torch

    from napari_semiseg.engine.errors import SemisegError
    from napari_semiseg.engine.study import Study

    torch.set_num_threads(place.threads)
    teller = _Teller(name, lines)
    try:
        with Study.open(path) as study:
            _train_until(study, values, teller, stop)
    except SemisegError as problem:
        teller.say(str(problem))
        sys.exit(1)


def _train_until(study: Study, values: dict[str, Any], teller: _Teller, stop: Any) -> None:
    """Train and measure to the end, or until a stop is asked for or nobody is left to listen."""
    from napari_semiseg.engine.training.comparison import compare
    from napari_semiseg.engine.training.settings import TrainingSettings

    parent = multiprocessing.parent_process()
    work = compare(study, [TrainingSettings.model_validate(values)])
    for event in work:
        teller.hear(event)
        if stop.is_set() or (parent is not None and not parent.is_alive()):
            work.close()
            teller.say("stopped.")
            return


class _Teller:
    """Turns the events of a run into a line now and then."""

    def __init__(self, name: str, lines: Any) -> None:
        self._name, self._lines = name, lines
        self._last = -LINE_SECONDS

    def say(self, text: str) -> None:
        self._lines.put(f"{self._name}: {text}")

    def hear(self, event: Any) -> None:
        from napari_semiseg.cli.console import clock
        from napari_semiseg.engine.inference.prediction import Predicting
        from napari_semiseg.engine.training import events

        match event:
            case events.Started():
                self.say(f"run {event.run} begins on {event.device}.")
            case events.Warned(sentence):
                self.say(sentence)
            case events.Progress() if time.monotonic() - self._last >= LINE_SECONDS:
                self._last = time.monotonic()
                loss = event.scalars["loss"]
                self.say(f"step {event.step}, loss {loss:.3f}, {clock(event.remaining)} left")
            case events.Finished():
                self.say(f"{event.steps} steps in {clock(event.seconds)}.")
            case Predicting(index=0, share=0.0):
                self.say("is measured on the held-out scans.")
