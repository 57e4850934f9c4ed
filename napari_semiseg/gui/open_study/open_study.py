"""The study that is open: its records, the work under way, and how to change it.

The parts of the session and the pages share one `OpenStudy`, on the main thread alone. Verbs return at
once: what takes time goes to other threads, and changes of the records go there one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari.utils.notifications import show_error, show_info, show_warning
from psygnal import Signal

from napari_semiseg.engine.study import ClassInfo, Study
from napari_semiseg.gui.open_study import records
from napari_semiseg.gui.open_study.background import run_in_background
from napari_semiseg.gui.open_study.engine_loading import load_engine
from napari_semiseg.gui.open_study.lane import RunInBackground, StudyLane
from napari_semiseg.gui.open_study.records import Job, JobStep, Snapshot

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import Method
    from napari_semiseg.engine.planning.machine import Machine

Result = TypeVar("Result")


class OpenStudy:
    """The open study, or none.

    Parameters
    ----------
    background : callable
        Starts work on another thread, as `run_in_background` does.

    Attributes
    ----------
    study : Study or None
        The open study.
    records : Snapshot
        What is recorded in it, as of the last change.
    job : Job or None
        The long work under way.
    methods : dict of str to type of Method
        Empty until `load_engine` has ended.
    machine : Machine or None
        None until `load_engine` has ended.
    lane : StudyLane
        Keeps changes in the order in which they were asked for.
    closed : bool
        Whether the desk goes: nothing on the screen may be touched any more.
    study_changed, records_changed, job_changed, engine_loaded : psygnal.Signal
        Emitted after the change that they are named for.
    about_to_work : psygnal.Signal
        Emitted before labels are read or changed: what was painted is sent to the disk first.
    leaving : psygnal.Signal
        Emitted while the study is still there, for all to forget it and to drop their work on it.
    """

    study_changed = Signal()
    records_changed = Signal()
    job_changed = Signal()
    engine_loaded = Signal()
    about_to_work = Signal()
    leaving = Signal()

    def __init__(self, background: RunInBackground = run_in_background) -> None:
        self.background = background
        self.lane = StudyLane(background)
        self.study: Study | None = None
        self.records = Snapshot()
        self.job: Job | None = None
        self.methods: dict[str, type[Method]] = {}
        self.machine: Machine | None = None
        self.closed = False
        self._occupied: list[Callable[[], str | None]] = [self._job_under_way]

    # telling the user

    def tell_problem(self, sentence: str) -> None:
        """Show what went wrong, and let the pages read the records again."""
        show_error(sentence)
        self.records_changed.emit()

    def tell(self, sentence: str) -> None:
        """Show good news."""
        show_info(sentence)

    def warn(self, sentence: str) -> None:
        """Show what the user should know."""
        show_warning(sentence)

    # opening and leaving

    def load_engine(self) -> None:
        """Load the methods and look at the machine; the first import of torch takes seconds."""
        self.background(load_engine, done=self._on_engine, failed=self.tell_problem)

    def _on_engine(self, loaded: tuple[dict[str, type[Method]], Machine]) -> None:
        self.methods, self.machine = loaded
        self.engine_loaded.emit()

    def open(self, path: str | Path) -> None:
        """Open a study that exists."""
        if self.can_leave():
            self.lane.submit(lambda: records.open_study(path), self.take, self.tell_problem)

    def create(
        self, path: str | Path, classes: Sequence[ClassInfo], then: Callable[[], None]
    ) -> None:
        """Make a study and open it; ``then`` is called when it is open."""

        def created(opened: tuple[Study, Snapshot]) -> None:
            self.take(opened)
            then()

        if self.can_leave():
            self.lane.submit(
                lambda: records.create_study(path, classes), created, self.tell_problem
            )

    def take(self, opened: tuple[Study, Snapshot]) -> None:
        """Take a study that was opened in the background in place of the one before."""
        self._leave()
        self.study, self.records = opened
        self._tell_of_another()

    def close_study(self) -> None:
        """Save what was painted and close the study; refused while work on it is under way."""
        if self.can_leave():
            self._leave()
            self._tell_of_another()

    def _tell_of_another(self) -> None:
        self.study_changed.emit()
        self.records_changed.emit()

    def _leave(self) -> None:
        self.about_to_work.emit()
        self.leaving.emit()
        if self.study is not None:
            self.lane.submit(self.study.close, lambda _: None, self.tell_problem)
        self.study, self.records = None, Snapshot()

    def keep_open_during(self, occupation: Callable[[], str | None]) -> None:
        """Refuse to leave the study as long as ``occupation`` names work, such as ``"training"``."""
        self._occupied.insert(0, occupation)

    def can_leave(self) -> bool:
        """Tell whether the study can be left; the user is told why not."""
        what = next(filter(None, (occupation() for occupation in self._occupied)), None)
        if what is not None:
            self.warn(f"The study cannot be changed during {what}: wait, or stop it first.")
        return what is None

    def _job_under_way(self) -> str | None:
        return None if self.job is None else self.job.title.lower()

    def close(self) -> None:
        """Save what was painted and close the study with the desk; blocks until all is on the disk."""
        self.closed = True
        self.about_to_work.emit()
        self.leaving.emit()
        if self.job is not None:
            self.job.handle.cancel()
        self.lane.finish()
        study, self.study = self.study, None
        if study is not None:
            study.close()

    # records

    def change(
        self,
        work: Callable[[Study], Result],
        done: Callable[[Result], None] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Save what was painted, then change the study, and read its records again.

        Parameters
        ----------
        work : callable
            Called with the study on another thread, after all changes asked for before.
        done : callable, optional
            Called with what it returned, after `records_changed`.
        failed : callable, optional
            Called with the sentence in place of `tell_problem`.
        """
        self.about_to_work.emit()
        self.record(work, done, failed)

    def record(
        self,
        work: Callable[[Study], Result],
        done: Callable[[Result], None] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Change the study as `change` does, without waiting for strokes: for strokes themselves."""
        study = self.study
        if study is None:
            return

        def changed(outcome: tuple[Result, Snapshot]) -> None:
            if study is not self.study:
                return
            result, self.records = outcome
            self.records_changed.emit()
            if done is not None:
                done(result)

        self.lane.submit(
            lambda: (work(study), records.take_snapshot(study)),
            changed,
            failed or self.tell_problem,
        )

    def refresh(self) -> None:
        """Read the records again; a headless run may have changed them."""
        self.record(lambda study: None)

    # long work

    def start_job(
        self,
        title: str,
        work: Callable[..., Any],
        *arguments: Any,
        done: Callable[[Any], None],
        progress: Callable[[Any], None] | None = None,
    ) -> None:
        """Save what was painted, then start a long piece of work in the background; one at a time.

        Parameters
        ----------
        work : callable
            Generator function that yields `JobStep` and other values.
        done : callable
            Called with what it returned.
        progress : callable, optional
            Called with the values that are no `JobStep`.
        """
        if self.job is not None:
            self.warn(f"{self.job.title} is still under way: wait, or stop it first.")
            return
        self.about_to_work.emit()
        job = self.job = Job(title)

        def ended(tell: Callable[[Any], None], what: Any) -> None:
            self._end_job(job)
            tell(what)

        job.handle = self.background(
            work,
            *arguments,
            done=lambda result: ended(done, result),
            failed=lambda sentence: ended(self.tell_problem, sentence),
            progress=partial(self._on_job_value, job, progress),
        )
        self.job_changed.emit()

    def _on_job_value(self, job: Job, progress: Callable[[Any], None] | None, value: Any) -> None:
        if isinstance(value, JobStep):
            job.share, job.detail = value.share, value.detail
            self.job_changed.emit()
        elif progress is not None:
            progress(value)

    def stop_job(self) -> None:
        """Stop the long work after the part that it is at; what it has done is kept."""
        if self.job is not None:
            self.job.handle.cancel()
            self._end_job(self.job)

    def _end_job(self, job: Job) -> None:
        if job is self.job:
            self.job = None
            self.job_changed.emit()
            self.refresh()
