"""What the desk works on: the open study, its records, the work under way, and what can be asked for.

One session belongs to one dock widget and lives on the main thread alone. Pages read it, call its
verbs and listen to its signals; they never touch the study themselves. Verbs return at once: what
takes time goes to other threads, and changes of the records go there one after the other. Labelling,
training, reviewing and comparing are parts of the session with verbs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from napari.utils.notifications import show_error, show_info, show_warning
from psygnal import Signal

from napari_semiseg.engine.study import DEFAULT_COLOURS, ClassInfo, Study, export_labels
from napari_semiseg.gui.compare.comparing import ComparingRuns
from napari_semiseg.gui.label.labelling import Labelling
from napari_semiseg.gui.label.suggesting import Suggesting
from napari_semiseg.gui.open_study import records
from napari_semiseg.gui.open_study.background import run_in_background
from napari_semiseg.gui.open_study.engine_loading import load_engine
from napari_semiseg.gui.open_study.lane import RunInBackground, StudyLane
from napari_semiseg.gui.open_study.records import Job, JobStep, Snapshot
from napari_semiseg.gui.review.reviewing import Reviewing
from napari_semiseg.gui.scans import sample_studies
from napari_semiseg.gui.scans.overview import Overview
from napari_semiseg.gui.scans.scans import add_scans, import_labels
from napari_semiseg.gui.train.runner import TrainingWorker
from napari_semiseg.gui.train.training import TrainingDesk
from napari_semiseg.gui.viewer.layers import CaseLayers

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_semiseg.engine.methods.contract import Method
    from napari_semiseg.engine.planning.machine import Machine

Result = TypeVar("Result")

FIRST_CLASSES = (ClassInfo(1, "structure", DEFAULT_COLOURS[0]),)
"""Classes of a new study until the user names them."""


class Session:
    """The state of the desk and its verbs.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where cases are shown.
    layers : CaseLayers, optional
        In place of one made for the viewer.
    worker : TrainingWorker, optional
        In place of a new one.
    background : callable, optional
        In place of `gui.worker.run_in_background`.

    Attributes
    ----------
    study : Study or None
        The open study.
    records : Snapshot
        What is recorded in it, as of the last change.
    problems : tuple of str
        Why files were not taken over the last time.
    job : Job or None
        The long work under way.
    methods : dict of str to type of Method
        Empty until `load_engine` has ended.
    machine : Machine or None
        None until `load_engine` has ended.
    study_changed, records_changed, job_changed, engine_loaded : psygnal.Signal
        Emitted after the change that they are named for.
    """

    study_changed = Signal()
    records_changed = Signal()
    job_changed = Signal()
    engine_loaded = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        layers: CaseLayers | None = None,
        worker: TrainingWorker | None = None,
        background: RunInBackground = run_in_background,
    ) -> None:
        self.study: Study | None = None
        self.records = Snapshot()
        self.problems: tuple[str, ...] = ()
        self.job: Job | None = None
        self.methods: dict[str, type[Method]] = {}
        self.machine: Machine | None = None
        self.background = background
        self.layers = layers or CaseLayers(viewer)
        self.lane = StudyLane(background)
        self.labelling = Labelling(self)
        self.training = TrainingDesk(self, worker or TrainingWorker())
        self.reviewing = Reviewing(self)
        self.suggesting = Suggesting(self)
        self.overview = Overview(self)
        self.comparing = ComparingRuns(self)
        self._closed = False

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

    # engine and studies

    def load_engine(self) -> None:
        """Load the methods and look at the machine; the first import of torch takes seconds."""
        self.background(load_engine, done=self._on_engine, failed=self.tell_problem)

    def _on_engine(self, loaded: tuple[dict[str, type[Method]], Machine]) -> None:
        self.methods, self.machine = loaded
        self.engine_loaded.emit()

    def new_study(self, path: str | Path, scans: Sequence[str | Path] = ()) -> None:
        """Make a study, open it, and add the scans in files and folders."""
        if self._can_leave_study():
            self._open_with(
                lambda: records.create_study(path, FIRST_CLASSES), lambda: self.add_scans(scans)
            )

    def open_study(self, path: str | Path) -> None:
        """Open a study that exists."""
        if self._can_leave_study():
            self._open_with(lambda: records.open_study(path))

    def new_sample_study(self, path: str | Path, downloaded: bool = False) -> None:
        """Make a study of the brains that come with the program, or of downloaded hippocampi."""
        brains, hippocampi = (
            sample_studies.create_sample_study,
            sample_studies.create_hippocampus_study,
        )
        if self._can_leave_study():
            self.start_job(
                "Making the sample study",
                hippocampi if downloaded else brains,
                path,
                done=lambda opened: self._on_opened(*opened),
            )

    def close_study(self) -> None:
        """Save what was painted and close the study; refused while training is under way."""
        if self._can_leave_study():
            self._leave_study()
            self.study_changed.emit()
            self.records_changed.emit()

    def _can_leave_study(self) -> bool:
        if self.training.active or self.job is not None:
            what = "training" if self.training.active else self.job.title.lower()  # type: ignore[union-attr]
            self.warn(f"The study cannot be changed during {what}: wait, or stop it first.")
            return False
        return True

    def _open_with(
        self,
        work: Callable[[], tuple[Study, Snapshot]],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        def opened(result: tuple[Study, Snapshot]) -> None:
            self._on_opened(*result)
            then()

        self.lane.submit(work, opened, self.tell_problem)

    def _on_opened(self, study: Study, snapshot: Snapshot) -> None:
        self._leave_study()
        self.study, self.records = study, snapshot
        self.study_changed.emit()
        self.records_changed.emit()

    def _leave_study(self) -> None:
        self.labelling.leave()
        self.reviewing.forget()
        self.suggesting.forget()
        self.overview.forget()
        self.comparing.forget()
        self.training.forget()
        if self.study is not None:
            self.lane.submit(self.study.close, lambda _: None, self.tell_problem)
        self.study, self.records, self.problems = None, Snapshot(), ()

    # records

    def change(
        self,
        work: Callable[[Study], Result],
        done: Callable[[Result], None] | None = None,
        failed: Callable[[str], None] | None = None,
    ) -> None:
        """Change the open study away from the main thread, then read its records again.

        Parameters
        ----------
        work : callable
            Called with the study.
        done : callable, optional
            Called with what it returned, after `records_changed`.
        failed : callable, optional
            Called with the sentence in place of `tell_problem`.
        """
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
        self.change(lambda study: None)

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Change the classes; one that labels use cannot be dropped."""
        self.labelling.flush()
        self.change(lambda study: study.set_classes(classes), lambda _: self.labelling.show_again())

    def hold_out(self, name: str, locked: bool = True) -> None:
        """Lock a case away from training, or let it take part again."""
        self.change(lambda study: study.hold_out(name, locked))

    def remove_case(self, name: str) -> None:
        """Take a case out of the study; its scan stays where it is and its labels are kept aside."""
        if name == self.labelling.shown:
            self.labelling.leave()
        self.change(lambda study: study.remove_case(name))

    # long work

    def start_job(
        self,
        title: str,
        work: Callable[..., Any],
        *arguments: Any,
        done: Callable[[Any], None],
        progress: Callable[[Any], None] | None = None,
    ) -> None:
        """Start a long piece of work in the background; one at a time.

        Parameters
        ----------
        title : str
            What is done, for the run strip.
        work : callable
            Generator function that yields `JobStep` and other values.
        *arguments
            What to call it with.
        done : callable
            Called with what it returned.
        progress : callable, optional
            Called with the values that are no `JobStep`.
        """
        if self.job is not None:
            self.warn(f"{self.job.title} is still under way: wait, or stop it first.")
            return
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

    def add_scans(self, paths: Sequence[str | Path]) -> None:
        """Add the scans in files and folders; why some were not added is told at the end."""
        if self.study is not None and paths:
            self.start_job(
                "Adding scans",
                add_scans,
                self.study,
                list(paths),
                done=lambda problems: self._on_taken_over("scan", problems),
            )

    def import_labels(self, paths: Sequence[str | Path]) -> None:
        """Take label files over as finished labels of the cases with their names."""
        if self.study is not None and paths:
            self.labelling.flush()
            self.start_job(
                "Importing labels",
                import_labels,
                self.study,
                list(paths),
                done=lambda problems: self._on_taken_over("label", problems),
            )

    def _on_taken_over(self, what: str, problems: list[str] | None) -> None:
        self.problems = tuple(problems or ())
        if len(self.problems) == 1:
            self.warn(self.problems[0])
        elif self.problems:
            self.warn(f"{len(self.problems)} {what}s were not taken over: the Scans page says why.")
        if what == "label":
            self.labelling.show_again()

    def export_labels(self, folder: str | Path) -> None:
        """Write the labels as NIfTI files on the grids of their scans."""
        self.labelling.flush()
        self.change(
            lambda study: export_labels(study, folder),
            lambda files: self.tell(f"{len(files)} labels were written to {folder}."),
        )

    def close(self) -> None:
        """Save what was painted, stop training with a checkpoint, close the study; blocks shortly."""
        if self._closed:
            return
        self._closed = True
        self._silence()
        self.layers.finish()
        self.labelling.flush()
        self.reviewing.trust.forget()
        self.overview.forget()
        if self.job is not None:
            self.job.handle.cancel()
        self.training.close()
        self.labelling.reading = None  # nobody will see the scan that is still to be read
        self.lane.finish()
        study, self.study = self.study, None
        if study is not None:
            study.close()

    def _silence(self) -> None:
        """Tell nobody any more: the widgets that listen may be gone before the session is."""
        own = (self.study_changed, self.records_changed, self.job_changed, self.engine_loaded)
        for signal in (
            *own,
            *self.labelling.signals,
            self.layers.maps_arrived,
            *self.training.signals,
            *self.reviewing.signals,
            self.suggesting.changed,
            self.overview.changed,
            self.comparing.changed,
            self.comparing.screen_changed,
        ):
            signal.disconnect()
