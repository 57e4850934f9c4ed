"""A study: the scans, classes, labels, runs and decisions of one user, in one folder on the disk.

This is the only door to the room. It may be used from several threads and by several programs at
once; each call is complete on the disk when it returns.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from napari_semiseg.engine.study.cases import (
    Case,
    CaseState,
    read_case,
    recorded_case,
    recorded_cases,
    write_done_slices,
    write_state,
)
from napari_semiseg.engine.study.classes import (
    ClassInfo,
    checked_classes,
    read_classes,
    write_classes,
)
from napari_semiseg.engine.study.creation import create_study_folder, existing_study_folder
from napari_semiseg.engine.study.decisions import (
    Decision,
    DecisionKind,
    read_decisions,
    record_decision,
)
from napari_semiseg.engine.study.labels.labels import Labels
from napari_semiseg.engine.study.labels.rules import (
    marks_when_finished,
    refuse_contradiction,
    refuse_dropping_used,
    refuse_measuring_accepted,
    refuse_measuring_sparse,
)
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.run import Run, identifier_of
from napari_semiseg.engine.study.runs.runs import Runs
from napari_semiseg.engine.study.scans.adding import Scans
from napari_semiseg.engine.study.storage import storage_errors
from napari_semiseg.engine.study.time_spent import TimeSpent


class Study:
    """A study on the disk; make one with :meth:`create` or :meth:`open`.

    Every method raises StudyError, with one sentence, if the study is closed, its disk is full or
    read-only, or its records are damaged; and, where it takes a name of a case or the identifier of
    a run, if there is none such. So do those of ``labels``, ``runs`` and ``scans``.

    Attributes
    ----------
    path : Path
        The folder ``NAME.semiseg``.
    name : str
        What the user calls the study.
    scans : Scans
        Adds scans, reads them, and finds them again.
    labels : Labels
        Saves, reads and restores labels, and marks their finished slices.
    runs : Runs
        The training runs, their metrics and, in ``runs.maps``, what they predicted.
    time_spent : TimeSpent
        Takes down how long people work on the labels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._records = Records(path)
        self.scans = Scans(self._records)
        self.runs = Runs(self._records)
        self.labels = Labels(self._records, self.runs.maps)
        self.time_spent = TimeSpent(self._records)
        try:
            self._records.check()
            rows = self._records.query("SELECT name FROM study")
            self.name: str = rows[0]["name"] if rows else path.stem
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, path: str | Path, classes: Iterable[ClassInfo], name: str | None = None
    ) -> Self:
        """Make a new study and open it.

        Parameters
        ----------
        path : str or Path
            The folder to make; ``.semiseg`` is added where it is missing.
        classes : iterable of ClassInfo
            At least one.
        name : str or None
            What to call it; None takes the name of the folder.

        Raises
        ------
        StudyError
            If the folder exists and is not empty, or the classes contradict each other.
        """
        return cls(create_study_folder(path, classes, name))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Open a study that exists, by its folder with or without ``.semiseg``.

        Its records are proved sound and brought up to date. StudyError tells that there is no study,
        that its records are damaged, or that a newer version wrote them.
        """
        return cls(existing_study_folder(path))

    def close(self) -> None:
        """Close the records; the study can be opened again."""
        self.runs.close()
        self._records.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def cache_folder(self) -> Path:
        """The folder ``cache``, which may be deleted at any time; made where it is missing."""
        folder = self.path / "cache"
        with storage_errors(self.path):
            folder.mkdir(exist_ok=True)
        return folder

    # classes and cases

    @property
    def classes(self) -> tuple[ClassInfo, ...]:
        """The classes, in the order of their values; background (0) is not among them."""
        with self._records.reading() as connection:
            return read_classes(connection)

    def set_classes(self, classes: Sequence[ClassInfo], author: str | None = None) -> None:
        """Change the classes; a value that a label or a previous one holds cannot be dropped."""
        new = checked_classes(classes)
        with self._records.transaction() as connection:
            kept = {item.value for item in new}
            for item in read_classes(connection):
                if item.value not in kept:
                    refuse_dropping_used(connection, item)
            write_classes(connection, new)
            record_decision(
                connection,
                DecisionKind.CLASSES_CHANGED,
                author=author,
                detail=",".join(f"{item.value}={item.name}" for item in new),
            )

    def cases(self) -> list[Case]:
        """Return all cases in the order in which they were added."""
        return recorded_cases(self._records)

    def case(self, name: str) -> Case:
        """Return the case of this name; StudyError tells similar names where there is none."""
        return recorded_case(self._records, name)

    def labelled_cases(self) -> list[Case]:
        """Return the cases that training learns from with their labels; never a held-out one."""
        return [case for case in self.cases() if case.trains_with_label]

    def unlabelled_cases(self) -> list[Case]:
        """Return all other cases that are not held out."""
        return [case for case in self.cases() if not (case.trains_with_label or case.held_out)]

    def held_out_cases(self) -> list[Case]:
        """Return the cases that are locked away from training."""
        return [case for case in self.cases() if case.held_out]

    def remove_case(self, name: str, author: str | None = None) -> None:
        """Take a case out; its labels move to ``labels/removed`` and its scan stays untouched."""
        with self._records.transaction() as connection:
            case = read_case(connection, self.path, name)
            connection.execute("DELETE FROM cases WHERE identifier = ?", (case.identifier,))
            _record(connection, DecisionKind.CASE_REMOVED, case, author)
        self.labels.set_aside(case)
        self.runs.maps.remove(case)

    # what people decide

    def mark(self, name: str, state: CaseState, author: str | None = None) -> None:
        """Put a case into a state.

        ``PREDICTED`` is a model's mark: it passes over cases that have a label, and is no decision.
        ``HELD_OUT`` is the same as :meth:`hold_out`. ``LABELLED`` is a person's word on the whole
        label, undecided voxels included, unless slices are marked as done. StudyError tells of a
        label that contradicts the state, such as LABELLED without a label.
        """
        state = CaseState(state)
        if state is CaseState.HELD_OUT:
            self.hold_out(name, True, author)
            return
        with self._records.transaction() as connection:
            case = read_case(connection, self.path, name)
            if state is CaseState.PREDICTED:
                if not (case.label_belongs_to_a_person or case.label_origin == "accepted"):
                    write_state(connection, case, state)
                return
            refuse_contradiction(case, state)
            if case.hidden_state is not state:
                write_state(connection, case, state)
                if state is CaseState.LABELLED and case.done_slices is not None:
                    write_done_slices(connection, case, marks_when_finished(case.done_slices))
                _record(connection, DecisionKind.MARKED, case, author, detail=state.value)

    def hold_out(self, name: str, locked: bool = True, author: str | None = None) -> None:
        """Lock a case away from training, or unlock it into its former state.

        StudyError tells why nothing may be measured against its label: it is an accepted
        prediction, or finished in some slices only.
        """
        with self._records.transaction() as connection:
            case = read_case(connection, self.path, name)
            if case.held_out == locked:
                return
            if locked and case.label_origin == "accepted":
                refuse_measuring_accepted(case)
            if locked and case.done_slices is not None:
                refuse_measuring_sparse(case)
            connection.execute(
                "UPDATE cases SET held_out = ? WHERE identifier = ?",
                (int(locked), case.identifier),
            )
            what = DecisionKind.HELD_OUT if locked else DecisionKind.NO_LONGER_HELD_OUT
            _record(connection, what, case, author, detail=case.hidden_state.value)

    def accept(self, name: str, run: str | Run, author: str | None = None) -> Case:
        """Make the prediction of a run the label of a case; return the case as it is now.

        StudyError tells of a label that a person made, a held-out case, or a missing prediction.
        """
        prediction = np.asarray(self.runs.maps.load(run, name, "prediction").array[...])
        return self.labels.save(
            name, prediction, author=author, origin="accepted", run=identifier_of(run)
        )

    def reject(
        self, name: str, run: str | Run, reason: str = "", author: str | None = None
    ) -> None:
        """Record that a prediction is not good enough; a label of a person stays as it is."""
        identifier = self.runs.get(identifier_of(run)).identifier
        with self._records.transaction() as connection:
            case = read_case(connection, self.path, name)
            if not case.label_belongs_to_a_person:
                write_state(connection, case, CaseState.REJECTED)
            _record(connection, DecisionKind.REJECTED, case, author, reason, identifier)

    def decisions(self, name: str | None = None) -> list[Decision]:
        """Return the audit trail, oldest first; of one case, or of the whole study."""
        with self._records.reading() as connection:
            return read_decisions(connection, name)


def _record(
    connection: sqlite3.Connection,
    what: DecisionKind,
    case: Case,
    author: str | None,
    detail: str = "",
    run: str | None = None,
) -> None:
    record_decision(
        connection,
        what,
        case=case.name,
        author=author,
        run=run,
        label_hash=case.label_hash,
        detail=detail,
    )
