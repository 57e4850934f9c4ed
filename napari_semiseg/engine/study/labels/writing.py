"""Reading and writing the labels of a study, so that label, provenance and records always agree.

A new label is worked out from the one before it. Where another program saves a label of the same case
meanwhile, it is worked out again from that one, so that neither is lost unseen. The rules of who may
write what are those of the callers, ``labelling.py`` and ``region_decisions.py``; on any thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    refuse_unknown_values,
)
from napari_semiseg.engine.study.labels.store import LabelStore, label_hash
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.storage import storage_errors

READ_ATTEMPTS = 5
"""Of reading a label that is saved again and again meanwhile."""


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
    """

    voxels: np.ndarray
    values: Sequence[int]
    provenance: Provenance
    how: LabelSave


@dataclass(frozen=True, eq=False)
class FormerLabel:
    """The label that a new one is worked out from: class values (z, y, x) and their provenance."""

    voxels: np.ndarray
    provenance: Provenance


Make = Callable[[Case, Sequence[ClassInfo], FormerLabel | None], NewLabel]
"""Works a new label out; it may be called twice."""

Record = Callable[[sqlite3.Connection, Case, str], None]
"""Checks and records what is decided inside the transaction, with the hash of the new label."""


class LabelWriter:
    """The labels of one study with their records.

    Parameters
    ----------
    records : Records
        The records of the study.
    store : LabelStore
        Its labels.
    """

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
        """Return the label of a case, or the one before it.

        Parameters
        ----------
        name : str
            Name of the case.
        previous : bool
            Whether to return the one before.

        Returns
        -------
        np.ndarray or None
            (z, y, x), uint8; None where there is none.

        Raises
        ------
        StudyError
            If the label is damaged or missing on the disk.
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
        raise StudyError(
            f"The {'previous ' if previous else ''}label of the case '{name}' is damaged on the "
            f"disk (labels/{case.identifier}/{version:04d}.zarr): "
            + ("put it back from a backup." if previous else "restore the previous label.")
        )

    def load_provenance(self, name: str) -> Provenance | None:
        """Return where the voxels of the label of a case come from.

        Parameters
        ----------
        name : str
            Name of the case.

        Returns
        -------
        Provenance or None
            None without a label; "unknown" for what was saved before provenance was kept.

        Raises
        ------
        StudyError
            If the label is damaged.
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

    def write(self, name: str, make: Make, record: Record) -> Case:
        """Write a label and keep the former one as the previous.

        Parameters
        ----------
        name : str
            Name of the case.
        make : callable
            Works the label out from the case, the classes and the label of before, which is None
            where there is none or it cannot be read.
        record : callable
            Called with the case as it was, inside the transaction that makes the label count: what
            it raises leaves the label of before as it is.

        Returns
        -------
        Case
            As it was.

        Raises
        ------
        StudyError
            If the disk refuses; the label of before is untouched.
        """
        case, classes = self.read(name)
        staged = self._stage(case, make(case, classes, self._former(case)))
        try:
            with self._records.transaction() as connection:
                now, classes = self._read_with(connection, name)
                if (now.label_version, now.done_slices) != (case.label_version, case.done_slices):
                    # once more, from the label that another program saved and holding it up: both
                    # would meet again and again otherwise
                    self._store.discard(staged.folder)
                    staged = self._stage(now, make(now, classes, self._former(now)))
                version = self._publish(connection, now, classes, staged, record)
        finally:
            self._store.discard(staged.folder)
        keep = {version} if now.label_version is None else {version, now.label_version}
        self._store.prune(now.identifier, keep)
        return now

    def _former(self, case: Case) -> FormerLabel | None:
        if case.label_version is None or case.label_hash is None:
            return None
        voxels = self._store.read(case.identifier, case.label_version, case.label_hash)
        if voxels is None:
            return None
        kept = self._store.read_provenance(case.identifier, case.label_version)
        return FormerLabel(voxels, unknown_provenance(voxels) if kept is None else kept)

    def _stage(self, case: Case, new: NewLabel) -> _Staged:
        with storage_errors(self._records.folder):
            folder = self._store.stage(case.identifier, new.voxels, new.provenance)
        return _Staged(folder, new, label_hash(new.voxels), label_hash(new.provenance.codes))

    def _publish(
        self,
        connection: sqlite3.Connection,
        case: Case,
        classes: Sequence[ClassInfo],
        staged: _Staged,
        record: Record,
    ) -> int:
        new = staged.label
        # asked again: another program may have changed the classes meanwhile
        refuse_unknown_values(case, new.values, classes)
        record(connection, case, staged.digest)
        version = self._store.publish(case.identifier, staged.folder)
        marks = marks_to_keep(case, new.how, staged.provenance_digest)
        point_to_new_label(connection, case, version, staged.digest, new.values, new.how, marks)
        return version


@dataclass(frozen=True, eq=False)
class _Staged:
    """A label that is complete on the disk, and does not count yet."""

    folder: Path
    label: NewLabel
    digest: str
    provenance_digest: str


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
