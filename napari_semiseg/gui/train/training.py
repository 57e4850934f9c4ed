"""Training: starting, pausing and stopping a run, and what it tells.

The worker's events arrive on the main thread and are folded into `TrainingProgress`, which the run
strip, the curve and the train page read. Signals about steps are held back to a few a second, however
fast training is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_semiseg.engine.errors import SemisegError
from napari_semiseg.engine.study.runs.learnt_from import label_snapshot_hash
from napari_semiseg.engine.training.events import (
    Event,
    Finished,
    Preparing,
    Preview,
    Progress,
    Started,
    Validated,
    Warned,
)
from napari_semiseg.gui.train.previews import Previews

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Run
    from napari_semiseg.engine.training.settings import TrainingSettings
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.train.runner import TrainingWorker
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow

SIGNAL_SECONDS = 0.25
"""Steps are told to the pages no more often than this."""


@dataclass
class TrainingProgress:
    """What is known of a run.

    Attributes
    ----------
    run, method_title, device, precision : str
        Empty until training has started.
    unlabelled_terms : tuple of str
        Names of the losses that unlabelled scans give.
    preparing : str
        What is done instead of steps at this moment; empty during steps.
    preparing_share : float or None
        0…1 of that.
    step : int
        Steps done.
    share : float
        Share of the budget used, 0…1.
    remaining : float or None
        Estimated seconds to the end.
    reasons : tuple of str
        What was planned and why, a sentence each.
    scalars : dict of str to list of (int, float)
        Step and value of each named number.
    validation : list of (int, float)
        Step and mean Dice of the cases set aside.
    class_dice : dict of int to list of (int, float)
        The same for each class value.
    warnings : list of str
        What the user should know.
    outcome : {"", "finished", "stopped", "failed"}
        How it ended.
    """

    run: str = ""
    method_title: str = ""
    unlabelled_terms: tuple[str, ...] = ()
    device: str = ""
    precision: str = ""
    preparing: str = ""
    preparing_share: float | None = None
    step: int = 0
    share: float = 0.0
    remaining: float | None = None
    reasons: tuple[str, ...] = ()
    scalars: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    validation: list[tuple[int, float]] = field(default_factory=list)
    class_dice: dict[int, list[tuple[int, float]]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    outcome: str = ""


class Training:
    """One training at a time, in the background.

    Attributes
    ----------
    progress : TrainingProgress
        Of the run under way, or of the last one.
    previews : Previews
        What the run says about the case on the screen, now and before.
    changed : psygnal.Signal
        Emitted when the state or the progress changed.
    told : psygnal.Signal
        Emitted with a sentence when a run has ended, for somebody who looks elsewhere meanwhile.
    """

    changed = Signal()
    told = Signal(str)

    def __init__(
        self,
        open_study: OpenStudy,
        on_show: CaseOnShow,
        maps: MapsOnShow,
        worker: TrainingWorker,
    ) -> None:
        self._open = open_study
        self._on_show = on_show
        self._maps = maps
        self._worker = worker
        self._starting, self._asked = False, 0
        self._last_signal = 0.0
        self.progress = TrainingProgress()
        self.previews = Previews(open_study, on_show, maps)
        for signal in (
            on_show.label_shown,
            maps.previews_wanted_changed,
            self.previews.kinds_changed,
        ):
            signal.connect(self._preview)
        open_study.leaving.connect(self._forget)
        open_study.keep_open_during(lambda: "training" if self.active else None)
        worker.event.connect(self._on_event)
        worker.failed.connect(self._on_failed)
        worker.ended.connect(self._on_ended)

    @property
    def state(self) -> str:
        """``"idle"``, ``"running"``, ``"pausing"``, ``"paused"`` or ``"stopping"``."""
        return "running" if self._starting else self._worker.state

    @property
    def active(self) -> bool:
        """Whether training is under way, paused or about to end."""
        return self.state != "idle"

    # verbs

    def start(self, settings: TrainingSettings, resume: str | None = None) -> None:
        """Save what was painted, then train."""
        study = self._open.study
        if study is None or self.active:
            return
        self._open.about_to_work.emit()
        self._starting = True
        self._asked += 1
        asked = self._asked
        if resume is None or resume != self.progress.run:
            self.previews.begin()
        self.progress = TrainingProgress(preparing="saving labels")
        path = study.path

        def begin(_: Any) -> None:
            if not self._starting or asked != self._asked:
                return  # it was stopped before it began
            self._starting = False
            self._worker.start(path, settings, resume, self._on_show.name)
            self._preview()
            self.changed.emit()

        # the lane keeps the order: training starts when the last stroke is on the disk
        self._open.lane.submit(lambda: None, begin, self._on_failed)
        self.changed.emit()

    def continue_stopped(self) -> None:
        """Go on with the newest run, which was stopped."""
        run = self._open.records.unfinished_run
        settings = None if run is None else self._settings_of(run)
        if run is not None and settings is not None:
            self.start(settings, run.identifier)

    def learn_on(self, run: Run, minutes: float, seed: int = 0, device: str = "auto") -> None:
        """Train anew with the networks and settings of an earlier run, on the labels of now.

        Parameters
        ----------
        minutes : float
            How long.
        """
        settings = self._settings_of(run)
        new = {"start_from": run.identifier, "minutes": minutes, "steps": None}
        new |= {"seed": seed, "device": device}
        if settings is not None:
            self.start(settings.model_copy(update=new))

    def _settings_of(self, run: Run) -> TrainingSettings | None:
        from napari_semiseg.engine.training.preparation import settings_of_run

        try:
            return settings_of_run(run)
        except SemisegError as problem:
            self._open.tell_problem(str(problem))
            return None

    def knows_all_labels(self, run: Run) -> bool:
        """Tell whether a run has learnt from the very labels of now."""
        return run.last_label_hash == label_snapshot_hash(self._open.records.cases)

    def pause(self) -> None:
        """Leave the accelerator after this step and wait."""
        self._worker.pause()
        self.changed.emit()

    def resume(self) -> None:
        """Go on after a pause."""
        self._worker.resume()
        self.changed.emit()

    def stop(self) -> None:
        """End after this step, with a checkpoint; nothing begins that waits for labels to be saved."""
        if self._starting:
            self._starting = False
            self.progress = TrainingProgress()
        else:
            self._worker.stop()
        self.changed.emit()

    def _preview(self) -> None:
        """Have the case on the screen previewed from now on, where previews are wanted."""
        if self._worker.state != "idle":
            case = self._on_show.name if self._maps.previews_wanted else None
            self._worker.show_case(case, self.previews.kinds)

    def _forget(self) -> None:
        """Forget the last run; only a desk that is closed leaves while one is under way."""
        self._worker.close()  # waits for the checkpoint
        self.previews.begin()
        self.progress = TrainingProgress()
        self.changed.emit()

    # what the worker tells

    def _on_event(self, event: Event) -> None:
        self._take(event)
        now = time.monotonic()
        steady = isinstance(event, Progress | Preparing)
        if not steady or now - self._last_signal >= SIGNAL_SECONDS:
            self._last_signal = now
            self.changed.emit()

    def _take(self, event: Event) -> None:
        match event:
            case Preparing():
                self.progress.preparing = event.what
                self.progress.preparing_share = event.done / event.total if event.total else None
            case Started():
                self._on_started(event)
            case Progress():
                self._on_progress(event)
            case Validated():
                self.progress.validation.append((event.step, event.mean))
                for value, dice in event.dice.items():
                    self.progress.class_dice.setdefault(value, []).append((event.step, dice))
            case Preview():
                self.previews.take(event.maps, event.step)
            case Warned():
                self.progress.warnings.append(event.sentence)
                self._open.warn(event.sentence)
            case Finished():
                self._on_finished(event)

    def _on_started(self, event: Started) -> None:
        progress = self.progress
        progress.preparing, progress.preparing_share = "", None
        progress.run, progress.method_title = event.run, event.method_title
        titles = {method.title: method for method in self._open.methods.values()}
        if event.method_title in titles:
            progress.unlabelled_terms = titles[event.method_title].unsupervised_terms
        progress.device, progress.precision = event.device, event.precision
        progress.reasons = tuple(event.plan.get("reasons", ()))

    def _on_progress(self, event: Progress) -> None:
        progress = self.progress
        progress.preparing, progress.preparing_share = "", None
        progress.step, progress.share = event.step, event.share
        progress.remaining = event.remaining
        for name, value in event.scalars.items():
            progress.scalars.setdefault(name, []).append((event.step, value))

    def _on_finished(self, event: Finished) -> None:
        self.progress.outcome = event.status
        self.progress.remaining = None
        if event.status == "finished":
            sentence = "Training has finished: predict the other scans on the Review page."
            self._open.tell(sentence)
            self.told.emit(sentence)

    def _on_failed(self, sentence: str) -> None:
        self._starting = False
        self.progress.outcome = "failed"
        self._open.tell_problem(sentence)
        self.told.emit(sentence)
        self.changed.emit()

    def _on_ended(self) -> None:
        self.progress.preparing, self.progress.preparing_share = "", None
        if not self.progress.outcome:
            self.progress.outcome = "stopped"
        self._open.refresh()
        self.changed.emit()
