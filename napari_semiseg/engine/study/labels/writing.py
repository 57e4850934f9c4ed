"""Reading and writing the labels of a study, so that label, provenance and records always agree.

A new label is worked out from the one before it. Where another program saves a label of the same case
meanwhile, it is worked out again from that one, so that neither is lost unseen. Who may write what is
for the callers to say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import Case, read_case
from napari_semiseg.engine.study.classes import ClassInfo, read_classes
from napari_semiseg.engine.study.decisions import DecisionKind, record_decision
from napari_semiseg.engine.study.labels.provenance import Provenance, unknown_provenance
from napari_semiseg.engine.study.labels.rules import (
    LabelSave,
    marks_to_keep,
    point_to_new_label,
    refuse_measuring_accepted,
    refuse_measuring_sparse,
)
from napari_semiseg.engine.study.labels.store import LabelStore, StagedLabel
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.storage import storage_errors
from napari_semiseg.engine.study.time_spent import Work, add_time

READ_ATTEMPTS = 5
"""Of reading a label that is saved again and again meanwhile."""


@dataclass(frozen=True)
class Decided:
    """A line for the audit trail: what a person decided, of which run, in which words."""

    what: DecisionKind
    run: str | None
    detail: str


@dataclass(frozen=True, eq=False)
class NewLabel:
    """A label that is about to be written.

    Attributes
    ----------
    voxels : ndarray of uint8, shape (z, y, x)
        Class values.
    values : sequence of int
        The class values in it other than 0, rising.
    provenance : Provenance
        Where its voxels come from.
    how : LabelSave
        State, origin and author.
    decided : sequence of Decided
        What is recorded with it.
    work : Work or None
        What it cost.
    corrects : bool
        Whether that, and all later work on the case, is correction of a prediction.
    """

    voxels: np.ndarray
    values: Sequence[int]
    provenance: Provenance
    how: LabelSave
    decided: Sequence[Decided] = ()
    work: Work | None = None
    corrects: bool = False


@dataclass(frozen=True, eq=False)
class FormerLabel:
    """The label that a new one is worked out from: class values (z, y, x) and their provenance."""

    voxels: np.ndarray
    provenance: Provenance


class LabelWriter:
    """The labels of one study with their records."""

    def __init__(self, records: Records, store: LabelStore) -> None:
        self._records = records
        self._store = store

    def read(self, name: str) -> tuple[Case, Sequence[ClassInfo]]:
        """Return a case and the classes, of one moment."""
        with self._records.reading() as connection:
            return self._read_with(connection, name)

    def _read_with(
        self, connection: sqlite3.Connection, name: str
    ) -> tuple[Case, Sequence[ClassInfo]]:
        return read_case(connection, self._records.folder, name), read_classes(connection)

    def load(self, name: str, *, previous: bool = False) -> np.ndarray | None:
        """Return the label of a case, or the one before it, (z, y, x) uint8; None where there is none.

        StudyError tells that it is damaged or missing on the disk.
        """
        for _ in range(READ_ATTEMPTS):  # a version may be removed while it is being read
            case, _classes = self.read(name)
            version, digest = (
                (case.previous_label_version, case.previous_label_hash)
                if previous
                else (case.label_version, case.label_hash)
            )
            if version is None or digest is None:
                return None
            voxels = self._store.read(case.identifier, version, digest)
            if voxels is not None:
                return voxels
        raise damaged(case, previous)

    def load_provenance(self, name: str) -> Provenance | None:
        """Return where the voxels of the label of a case come from; None without a label.

        What was saved before provenance was kept is "unknown". StudyError tells of a damaged label.
        """
        for _ in range(READ_ATTEMPTS):
            case, _classes = self.read(name)
            voxels = self.load(name)
            if voxels is None or case.label_version is None:
                return None
            kept = self._store.read_provenance(case.identifier, case.label_version)
            if kept is None:
                kept = unknown_provenance(voxels)
            if self.read(name)[0].label_version == case.label_version:
                return kept
        raise restless(name)

    def attempts(self) -> Iterator[AbstractContextManager[object]]:
        """Yield what to read the former label and write the new one in, until `write` returns a case.

        The second attempt holds up every other program from its reading on: two that overtake one
        another would meet again and again otherwise.
        """
        yield nullcontext()
        yield self._records.transaction()

    def former(self, case: Case) -> FormerLabel | None:
        """Return the label of a case; None where there is none or it cannot be read."""
        if case.label_version is None or case.label_hash is None:
            return None
        voxels = self._store.read(case.identifier, case.label_version, case.label_hash)
        if voxels is None:
            return None
        kept = self._store.read_provenance(case.identifier, case.label_version)
        return FormerLabel(voxels, unknown_provenance(voxels) if kept is None else kept)

    def write(self, case: Case, classes: Sequence[ClassInfo], new: NewLabel) -> Case | None:
        """Write a label and keep the former one as the previous.

        The arrays are whole on the disk before the one transaction in which the label counts, with
        its decisions and what it cost, begins. StudyError tells that the disk refuses; the label of
        before is untouched then.

        Returns
        -------
        Case or None
            The case as it is now, for `prune`; None where another program has changed the case or the
            classes meanwhile, and nothing was written.
        """
        with storage_errors(self._records.folder):
            staged = self._store.stage(case.identifier, new.voxels, new.provenance)
        try:
            with self._records.transaction() as connection:
                now, present = self._read_with(connection, case.name)
                if present != classes or _what_counts(now) != _what_counts(case):
                    return None
                self._publish(connection, case, new, staged)
                return read_case(connection, self._records.folder, case.name)
        finally:
            self._store.discard(staged)

    def _publish(
        self, connection: sqlite3.Connection, case: Case, new: NewLabel, staged: StagedLabel
    ) -> None:
        version = self._store.publish(case.identifier, staged)
        marks = marks_to_keep(case, new.how, staged.provenance_digest)
        point_to_new_label(connection, case, version, staged.digest, new.values, new.how, marks)
        for decided in new.decided:
            record_decision(
                connection,
                decided.what,
                case=case.name,
                author=new.how.author,
                run=decided.run,
                label_hash=staged.digest,
                detail=decided.detail,
            )
        if new.work is not None:
            add_time(connection, case.name, new.work, new.corrects)

    def prune(self, saved: Case) -> None:
        """Remove the versions that a label which was saved has made superfluous, after the commit."""
        versions = (saved.label_version, saved.previous_label_version)
        self._store.prune(saved.identifier, {each for each in versions if each is not None})


def _what_counts(case: Case) -> tuple[object, ...]:
    """Return what the rules of labelling and the work on a new label go by."""
    return case.identifier, case.label_version, case.done_slices, case.state, case.hidden_state


def damaged(case: Case, previous: bool = False) -> StudyError:
    """Return what is told of a label, or of the one before it, that cannot be read."""
    version = case.previous_label_version if previous else case.label_version
    return StudyError(
        f"The {'previous ' if previous else ''}label of the case '{case.name}' is damaged on the "
        f"disk (labels/{case.identifier}/{version:04d}.zarr): "
        + ("put it back from a backup." if previous else "restore the previous label.")
    )


def restless(name: str) -> StudyError:
    """Return what is told of a label that `READ_ATTEMPTS` readings did not get hold of."""
    return StudyError(
        f"The label of the case '{name}' kept changing while it was read: try again when nobody "
        "paints in it."
    )


def restore_previous(records: Records, writer: LabelWriter, name: str, author: str | None) -> None:
    """Exchange a label with the one before it, with its state and its marks."""
    if writer.load(name, previous=True) is None:
        raise StudyError(f"The case '{name}' has no previous label: there is nothing to undo.")
    with records.transaction() as connection:
        case = read_case(connection, records.folder, name)
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
            "UPDATE cases SET label_version = previous_label_version, "
            "previous_label_version = label_version, state = ? WHERE identifier = ?",
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
