"""The rules of labelling: who may change the label and the state of a case, and what is recorded.

A model never replaces what a person drew; a held-out case is locked away from training and from
predictions; every decision of a person lands in the audit trail in the transaction that carries it
out. The study facade calls this file, on any thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import (
    Case,
    CaseState,
    delete_case,
    read_case,
    write_done_slices,
    write_lock,
    write_state,
)
from napari_semiseg.engine.study.classes import (
    ClassInfo,
    checked_classes,
    read_classes,
    write_classes,
)
from napari_semiseg.engine.study.decisions import (
    DecisionKind,
    author_or_user,
    record_decision,
)
from napari_semiseg.engine.study.labels.provenance import (
    Provenance,
    accepted_provenance,
    human_provenance,
    note_edits,
    started_provenance,
)
from napari_semiseg.engine.study.labels.rules import (
    LabelSave,
    checked_label,
    marks_when_finished,
    refuse_accepting,
    refuse_contradiction,
    refuse_dropping_used,
    refuse_measuring_accepted,
    refuse_measuring_sparse,
)
from napari_semiseg.engine.study.labels.store import LabelStore
from napari_semiseg.engine.study.labels.writing import FormerLabel, LabelWriter, NewLabel
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.storage import storage_errors


class Labelling:
    """Changes to labels and states of the cases of one study.

    Parameters
    ----------
    records : Records
        The records of the study.
    store : LabelStore
        Its labels.
    writer : LabelWriter
        What reads and writes them.
    """

    def __init__(self, records: Records, store: LabelStore, writer: LabelWriter) -> None:
        self._records = records
        self._store = store
        self._writer = writer
        self._lock = threading.Lock()
        self._saved_in_this_session: set[tuple[int, str]] = set()

    def save(self, name: str, voxels: np.ndarray, how: LabelSave) -> None:
        """Save a label and keep the former one as the previous.

        Parameters
        ----------
        name : str
            Name of the case.
        voxels : np.ndarray
            (z, y, x) of the case, integer, 0 or values of the classes.
        how : LabelSave
            State, origin and author.

        Raises
        ------
        BadLabel
            If shape, dtype or values do not fit.
        StudyError
            If an accepted prediction would replace what a person drew, or the disk refuses; the
            label of before is untouched.
        """

        def make(case: Case, classes: Sequence[ClassInfo], former: FormerLabel | None) -> NewLabel:
            label, values = checked_label(case, voxels, classes)
            return NewLabel(label, values, _provenance(label, former, how), how)

        def record(connection: sqlite3.Connection, case: Case, digest: str) -> None:
            if how.origin == "accepted":
                refuse_accepting(case)
            if self._is_a_decision(case, how):
                record_decision(
                    connection,
                    how.what,
                    case=name,
                    author=how.author,
                    run=how.run,
                    label_hash=digest,
                    detail=how.state.value,
                )

        case = self._writer.write(name, make, record)
        with self._lock:
            self._saved_in_this_session.add((case.identifier, author_or_user(how.author)))

    def _is_a_decision(self, case: Case, how: LabelSave) -> bool:
        """Tell a decision from the repeated saving of one and the same session."""
        with self._lock:
            first = (case.identifier, author_or_user(how.author)) not in self._saved_in_this_session
        changed = case.hidden_state is not how.state or case.label_origin != how.origin
        return first or changed or how.what is not DecisionKind.LABEL_SAVED

    def restore_previous(self, name: str, author: str | None) -> None:
        """Exchange the label with the one before it; doing it twice changes nothing.

        Parameters
        ----------
        name : str
            Name of the case; its state becomes the one that the restored label had.
        author : str or None
            Who.

        Raises
        ------
        StudyError
            If there is no previous label or it is damaged.
        """
        if self._writer.load(name, previous=True) is None:
            raise StudyError(f"The case '{name}' has no previous label: there is nothing to undo.")
        with self._records.transaction() as connection:
            case = read_case(connection, self._records.folder, name)
            connection.execute(
                "UPDATE cases SET label_version = previous_label_version, "
                "previous_label_version = label_version WHERE identifier = ?",
                (case.identifier,),
            )
            restored = connection.execute(
                "SELECT state, hash, origin, done_slices FROM labels "
                "WHERE case_identifier = ? AND version = ?",
                (case.identifier, case.previous_label_version),
            ).fetchone()
            if case.held_out and restored["origin"] == "accepted":
                refuse_measuring_accepted(case)
            if case.held_out and restored["done_slices"] is not None:
                refuse_measuring_sparse(case)
            connection.execute(
                "UPDATE cases SET state = ? WHERE identifier = ?",
                (restored["state"], case.identifier),
            )
            record_decision(
                connection,
                DecisionKind.PREVIOUS_LABEL_RESTORED,
                case=name,
                author=author,
                label_hash=restored["hash"],
                detail=restored["state"],
            )

    def mark(self, name: str, state: CaseState, author: str | None) -> None:
        """Put a case into a state.

        ``PREDICTED`` is the mark of a model: it leaves alone what a person labelled, and is no
        decision. ``HELD_OUT`` is the same as :meth:`hold_out`. ``LABELLED`` is a person's word on the
        whole label, undecided voxels included, unless slices are marked as done.

        Parameters
        ----------
        name : str
            Name of the case.
        state : CaseState
            The new state.
        author : str or None
            Who.

        Raises
        ------
        StudyError
            If the label of the case contradicts the state.
        """
        if state is CaseState.HELD_OUT:
            self.hold_out(name, True, author)
            return
        with self._records.transaction() as connection:
            case = read_case(connection, self._records.folder, name)
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

    def hold_out(self, name: str, locked: bool, author: str | None) -> None:
        """Lock a case away from training, or let it take part again in its former state.

        Parameters
        ----------
        name : str
            Name of the case.
        locked : bool
            Whether it is held out from now on.
        author : str or None
            Who.

        Raises
        ------
        StudyError
            If its label is an accepted prediction, or finished in some slices only: a model must
            not be measured against either.
        """
        with self._records.transaction() as connection:
            case = read_case(connection, self._records.folder, name)
            if case.held_out == locked:
                return
            if locked and case.label_origin == "accepted":
                refuse_measuring_accepted(case)
            if locked and case.done_slices is not None:
                refuse_measuring_sparse(case)
            write_lock(connection, case, locked)
            what = DecisionKind.HELD_OUT if locked else DecisionKind.NO_LONGER_HELD_OUT
            _record(connection, what, case, author, detail=case.hidden_state.value)

    def reject(self, name: str, run: str, reason: str, author: str | None) -> None:
        """Record that a prediction is not good enough.

        Parameters
        ----------
        name : str
            Name of the case; it becomes rejected unless a person has labelled it.
        run : str
            Identifier of the run that predicted.
        reason : str
            Why, in the person's words.
        author : str or None
            Who.
        """
        with self._records.transaction() as connection:
            case = read_case(connection, self._records.folder, name)
            if not case.label_belongs_to_a_person:
                write_state(connection, case, CaseState.REJECTED)
            _record(connection, DecisionKind.REJECTED, case, author, detail=reason, run=run)

    def remove(self, name: str, author: str | None) -> Case:
        """Take a case out of the study; its labels move to ``labels/removed``.

        Parameters
        ----------
        name : str
            Name of the case; its scan stays where it is.
        author : str or None
            Who.

        Returns
        -------
        Case
            As it was.
        """
        with self._records.transaction() as connection:
            case = read_case(connection, self._records.folder, name)
            delete_case(connection, case)
            _record(connection, DecisionKind.CASE_REMOVED, case, author)
        with storage_errors(self._records.folder):
            self._store.set_aside(case.identifier, name)
        return case

    def set_classes(self, classes: Sequence[ClassInfo], author: str | None) -> None:
        """Change the classes of the study.

        Parameters
        ----------
        classes : sequence of ClassInfo
            All classes from now on.
        author : str or None
            Who.

        Raises
        ------
        StudyError
            If a value that a label, or a previous label, holds would lose its class.
        """
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


def _record(
    connection: sqlite3.Connection,
    what: DecisionKind,
    case: Case,
    author: str | None,
    *,
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


def _provenance(label: np.ndarray, former: FormerLabel | None, how: LabelSave) -> Provenance:
    """Return where the voxels of a label come from that is saved as a whole."""
    if how.origin == "accepted":
        return accepted_provenance(label, how.run)
    if how.run is not None:
        return started_provenance(label, how.run)
    if former is None or how.what is DecisionKind.LABEL_IMPORTED:
        return human_provenance(label)
    return note_edits(former.voxels, label, former.provenance)
