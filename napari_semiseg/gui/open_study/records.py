"""What the session has done away from the main thread: plain functions on an open study.

They run on worker threads through `gui.worker.run_in_background` or the study lane, touch neither
viewer nor widgets, and raise `SemisegError` with one sentence where something is wrong. Generators
yield what progress shows.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_semiseg.engine.errors import SemisegError, StudyError
from napari_semiseg.engine.review.time_ledger import Work
from napari_semiseg.engine.study import Case, CaseState, ClassInfo, Run, ScanProblem, Study
from napari_semiseg.engine.study.scans.checks import find_missing
from napari_semiseg.engine.volumes import Volume


@dataclass(frozen=True)
class Snapshot:
    """The records of a study at one moment.

    Attributes
    ----------
    classes : tuple of ClassInfo
        In the order of their values.
    cases : tuple of Case
        In the order in which they were added.
    runs : tuple of Run
        Oldest first.
    usable_run : Run or None
        The newest that can predict.
    unfinished_run : Run or None
        The newest run of all, if it was stopped and can go on.
    """

    classes: tuple[ClassInfo, ...] = ()
    cases: tuple[Case, ...] = ()
    runs: tuple[Run, ...] = ()
    usable_run: Run | None = None
    unfinished_run: Run | None = None

    def case(self, name: str | None) -> Case | None:
        """Return the case of this name, or None."""
        return next((case for case in self.cases if case.name == name), None)


@dataclass(frozen=True)
class OpenCase:
    """A case read from disk, ready to be shown."""

    case: Case
    volume: Volume
    label: np.ndarray | None


@dataclass(eq=False)
class LabelVersion:
    """Which version of a label the desk has read or saved last; followed on the study's lane alone.

    Attributes
    ----------
    number : int or None
        None where there is no label; −1 while nothing is known.
    """

    number: int | None = -1


@dataclass(frozen=True, eq=False)
class Strokes:
    """What a person painted between two moments.

    Attributes
    ----------
    voxels, before : ndarray
        (z, y, x) label after and before.
    """

    voxels: np.ndarray
    before: np.ndarray

    def laid_over(self, label: np.ndarray) -> np.ndarray:
        """Return another label of the same shape with the same voxels painted in it."""
        return np.where(self.voxels != self.before, self.voxels, label).astype(label.dtype)


@dataclass
class Job:
    """Work that takes long and can be stopped, other than training.

    Attributes
    ----------
    title : str
        What is done, such as ``"Adding scans"``.
    share : float or None
        0…1; None while unknown.
    detail : str
        What is worked on at this moment.
    """

    title: str
    share: float | None = None
    detail: str = ""
    handle: Any = None


@dataclass(frozen=True)
class JobStep:
    """How far a long job is: ``share`` 0…1, None while unknown, and what it works on."""

    share: float | None
    detail: str


def take_snapshot(study: Study) -> Snapshot:
    """Read the records of a study."""
    runs = tuple(study.runs())
    usable = [
        run
        for run in runs
        if run.status == "finished" or (run.status == "stopped" and run.has_checkpoint)
    ]
    newest = runs[-1] if runs else None
    resumable = newest is not None and newest.status == "stopped" and newest.has_checkpoint
    return Snapshot(
        classes=study.classes,
        cases=tuple(study.cases()),
        runs=runs,
        usable_run=usable[-1] if usable else None,
        unfinished_run=newest if resumable else None,
    )


def open_study(path: str | Path) -> tuple[Study, Snapshot]:
    """Open a study that exists and read its records."""
    study = Study.open(path)
    return study, take_snapshot(study)


def create_study(path: str | Path, classes: Sequence[ClassInfo]) -> tuple[Study, Snapshot]:
    """Make a new study and read its records."""
    study = Study.create(path, classes)
    return study, take_snapshot(study)


def add_scans(study: Study, paths: Sequence[str | Path]) -> Generator[JobStep, None, list[str]]:
    """Add scans from files and folders.

    Yields
    ------
    JobStep
        One for each scan that was looked at.

    Returns
    -------
    list of str
        Why scans were not added, a sentence each.
    """
    problems: list[str] = []
    yield JobStep(None, "looking for scans")
    for count, outcome in enumerate(study.add_scans(paths), start=1):
        if isinstance(outcome, ScanProblem):
            problems.append(outcome.sentence)
            yield JobStep(None, f"{count} looked at")
        else:
            yield JobStep(None, f"{count} looked at, {outcome.name} added")
    return problems


def locate_scans(study: Study, place: str | Path) -> Generator[JobStep, None, tuple[int, int]]:
    """Find scans that moved, and those that lie beside one that is found.

    Parameters
    ----------
    study : Study
        Open study.
    place : str or Path
        A folder, or the file of one scan.

    Yields
    ------
    JobStep
        Where it looks.

    Returns
    -------
    tuple of int
        How many scans were found, and how many are still missing.
    """
    place = Path(place)
    yield JobStep(None, place.name)
    found = len(study.relocate_scans(place))
    if found and place.is_file():
        # the others of its folder are likely to have moved with it
        yield JobStep(None, place.parent.name)
        found += len(study.relocate_scans(place.parent))
    return found, sum(find_missing(case) is not None for case in study.cases())


def import_labels(study: Study, paths: Sequence[str | Path]) -> Generator[JobStep, None, list[str]]:
    """Take label files over as finished labels; a file belongs to the case with its name.

    Returns
    -------
    list of str
        Why labels were not taken over, a sentence each.
    """
    problems: list[str] = []
    for index, path in enumerate(map(Path, paths)):
        name = path.name.split(".")[0]
        yield JobStep(index / len(paths), name)
        try:
            study.import_label(name, path)
        except SemisegError as problem:
            problems.append(str(problem))
    return problems


def read_case(study: Study, name: str, former: OpenCase | None = None) -> OpenCase:
    """Read the scan and the label of a case; the scan of a ``former`` reading is taken as it is."""
    case = study.case(name)
    known = former is not None and former.case.content_hash == case.content_hash
    volume = former.volume if former is not None and known else study.volume(name)
    return OpenCase(case, volume, study.load_label(name))


def run_with_prediction(study: Study, name: str) -> str | None:
    """Return the newest run that has stored a prediction of a case; None where none has."""
    runs = reversed(study.runs())
    return next((run.identifier for run in runs if "prediction" in study.maps(run, name)), None)


def start_from_prediction(study: Study, name: str, run: str) -> None:
    """Copy a prediction into a label that a person goes on with; the case is then in progress.

    Raises
    ------
    StudyError
        If a person made the label of the case already, or it is held out.
    """
    case = study.case(name)
    if case.label_belongs_to_a_person:
        raise StudyError(
            f"The case '{name}' has a label that a person made, and a prediction never replaces "
            "one: correct that label on the Label page."
        )
    if case.held_out:
        raise StudyError(
            f"The case '{name}' is held out and is measured against what a person draws: draw its "
            "label by hand on the Label page."
        )
    prediction = np.asarray(study.load_map(run, name, "prediction").array[...])
    study.save_label(name, prediction, state=CaseState.IN_PROGRESS, origin="human", run=run)
    study.time_spent.begin_correction(name)


def keep_label(
    study: Study, name: str, strokes: Strokes, version: LabelVersion, work: Work
) -> np.ndarray | None:
    """Save what a person painted and how long that took.

    A finished label stays finished, any other is in progress. Where the label is no longer the
    ``version`` that was painted in, the strokes are laid over what it has become.

    Returns
    -------
    ndarray or None
        The label that was saved, if it is not the one that was painted.
    """
    case = study.case(name)
    voxels = strokes.voxels
    if case.label_version != version.number:
        label = study.load_label(name)
        voxels = strokes.laid_over(np.zeros_like(voxels) if label is None else label)
    if case.label_origin == "accepted" or case.hidden_state is CaseState.ACCEPTED:
        study.time_spent.begin_correction(name)
    finished = case.hidden_state is CaseState.LABELLED
    state = CaseState.LABELLED if finished else CaseState.IN_PROGRESS
    study.save_label(name, voxels, state=state, origin="human")
    version.number = study.case(name).label_version
    study.time_spent.add(name, work.seconds, work.edits)
    return None if np.array_equal(voxels, strokes.voxels) else voxels
