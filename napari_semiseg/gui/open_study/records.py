"""The records of a study as the desk shows them, and reading them anew on a worker's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_semiseg.engine.study import Case, ClassInfo, Run, Study


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
    runs = tuple(study.runs.all())
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
