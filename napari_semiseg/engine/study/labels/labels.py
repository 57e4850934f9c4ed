"""The labels of a study: saving, reading and restoring them, and marking their finished slices.

A model never replaces what a person drew, and what a person decides lands in the audit trail in the
transaction that carries it out.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import (
    Case,
    CaseState,
    LabelOrigin,
    read_case,
    recorded_case,
    recorded_cases,
    write_done_slices,
)
from napari_semiseg.engine.study.classes import read_classes, refuse_other_names
from napari_semiseg.engine.study.decisions import (
    DecisionKind,
    author_or_user,
    record_decision,
)
from napari_semiseg.engine.study.done_slices import DoneSlices, with_marks
from napari_semiseg.engine.study.labels.part_decisions import PartDecisions
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
    refuse_accepting,
    refuse_class_for_not_annotated,
    refuse_marking,
    refuse_unknown_slices,
)
from napari_semiseg.engine.study.labels.store import LabelStore, label_hash
from napari_semiseg.engine.study.labels.strokes import PaintedBox, lay_over
from napari_semiseg.engine.study.labels.writing import (
    READ_ATTEMPTS,
    Decided,
    FormerLabel,
    LabelWriter,
    NewLabel,
    damaged,
    restless,
    restore_previous,
)
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.learnt_from import label_snapshot_hash
from napari_semiseg.engine.study.runs.maps import Maps
from napari_semiseg.engine.study.storage import storage_errors
from napari_semiseg.engine.study.time_spent import Work
from napari_semiseg.engine.volumes.reading import read_label


class Labels:
    """``study.labels``: the labels of one study.

    Attributes
    ----------
    parts : PartDecisions
        Accepts and rejects parts of predictions, and tells where the voxels of labels come from.
    """

    def __init__(self, records: Records, maps: Maps) -> None:
        self._records = records
        self._store = LabelStore(records.folder / "labels")
        self._writer = LabelWriter(records, self._store)
        self.parts = PartDecisions(records, self._writer, maps)
        self._lock = threading.Lock()
        self._saved_in_this_session: set[tuple[int, str]] = set()

    def save(
        self,
        name: str,
        voxels: np.ndarray,
        *,
        state: CaseState = CaseState.IN_PROGRESS,
        author: str | None = None,
        origin: LabelOrigin = "human",
        run: str | None = None,
    ) -> Case:
        """Save a label; the former one is kept as the previous one.

        Slices that are marked as done stay so, but an accepted prediction is complete.

        Parameters
        ----------
        voxels : np.ndarray
            (z, y, x) on the grid of the scan; integer; 0 or values of the classes.
        state : CaseState
            ``IN_PROGRESS`` or ``LABELLED``; with the origin "accepted" it is always ``ACCEPTED``.
        author : str or None
            Who; None means the user that is logged in.
        origin : {"human", "accepted"}
            Whether a person made it, or accepted a prediction unchanged.
        run : str or None
            The run whose prediction it is, which a person accepts or starts from.

        Raises
        ------
        BadLabel
            If shape, dtype or values do not fit; the values are named.
        StudyError
            If a prediction would replace what a person made, or the disk refuses: then the label
            of before is untouched.
        """
        if origin == "accepted":
            how = LabelSave(CaseState.ACCEPTED, origin, author, DecisionKind.ACCEPTED, run)
        elif state in (CaseState.IN_PROGRESS, CaseState.LABELLED):
            how = LabelSave(
                CaseState(state), origin, author, run=run, keeps_done_slices=run is None
            )
        else:
            raise StudyError(
                f"A label cannot be saved as '{state}': save it as in progress or as labelled."
            )
        return self._save(name, voxels, how)

    def _save(self, name: str, voxels: np.ndarray, how: LabelSave) -> Case:
        for attempt in self._writer.attempts():
            with attempt:
                case, classes = self._writer.read(name)
                if how.origin == "accepted":
                    refuse_accepting(case)
                label, values = checked_label(case, voxels, classes)
                provenance = self._provenance(case, label, how)
                new = NewLabel(label, values, provenance, how, self._decided(case, how))
                saved = self._writer.write(case, classes, new)
            if saved is not None:
                return self._finish(saved, how)
        raise restless(name)

    def paint(
        self, name: str, strokes: Sequence[PaintedBox], work: Work, author: str | None = None
    ) -> tuple[Case, np.ndarray]:
        """Save strokes of a person, laid over what the label is by now, and how long they took.

        A finished label stays finished, any other is in progress. On a prediction that was accepted
        the work is correction, from now on.

        Parameters
        ----------
        name : str
            Name of the case; without a label, the strokes begin one.
        strokes : sequence of PaintedBox
            In the order in which they were painted.
        author : str or None
            Who; None means the user that is logged in.

        Returns
        -------
        case : Case
            As it is now.
        label : np.ndarray
            (z, y, x) uint8 as it is now, with what other programs changed.

        Raises
        ------
        BadLabel
            If a stroke has a value that no class has.
        StudyError
            If the label is damaged, or the disk refuses: then the label of before is untouched.
        """
        for attempt in self._writer.attempts():
            with attempt:
                case, classes = self._writer.read(name)
                former = self._writer.former(case)
                if former is None and case.has_label:
                    continue  # replaced by another program right now; damaged, the second time
                before = (
                    np.zeros(case.geometry.shape, np.uint8) if former is None else former.voxels
                )
                label, values = checked_label(case, lay_over(before, strokes), classes)
                finished = case.hidden_state is CaseState.LABELLED
                how = LabelSave(
                    CaseState.LABELLED if finished else CaseState.IN_PROGRESS,
                    author=author,
                    keeps_done_slices=True,
                )
                new = NewLabel(
                    label,
                    values,
                    _after_edits(label, former),
                    how,
                    self._decided(case, how),
                    work,
                    corrects=case.label_origin == "accepted"
                    or case.hidden_state is CaseState.ACCEPTED,
                )
                saved = self._writer.write(case, classes, new)
            if saved is not None:
                return self._finish(saved, how), label
        raise damaged(case)

    def _finish(self, saved: Case, how: LabelSave) -> Case:
        self._writer.prune(saved)
        with self._lock:
            self._saved_in_this_session.add((saved.identifier, author_or_user(how.author)))
        return saved

    def _decided(self, case: Case, how: LabelSave) -> list[Decided]:
        """Return the line for the audit trail: none for repeated saving in one and the same session."""
        with self._lock:
            first = (case.identifier, author_or_user(how.author)) not in self._saved_in_this_session
        changed = case.hidden_state is not how.state or case.label_origin != how.origin
        if first or changed or how.what is not DecisionKind.LABEL_SAVED:
            return [Decided(how.what, how.run, how.state.value)]
        return []

    def _provenance(self, case: Case, label: np.ndarray, how: LabelSave) -> Provenance:
        """Return where the voxels of a label come from that is saved as a whole."""
        if how.origin == "accepted":
            return accepted_provenance(label, how.run)
        if how.run is not None:
            return started_provenance(label, how.run)
        if how.what is DecisionKind.LABEL_IMPORTED:
            return human_provenance(label)
        return _after_edits(label, self._writer.former(case))

    def import_file(self, name: str, path: str | Path, author: str | None = None) -> Case:
        """Take a label file over as the finished label of a case.

        GeometryMismatch tells that it does not lie on the grid of the scan; BadLabel that it cannot
        be read, has values that no class has, or gives a class's name to another value.
        """
        case, classes = self._writer.read(name)
        allowed = {item.value for item in classes}
        label = read_label(path, scan=case.geometry, allowed=allowed)
        refuse_other_names(path, label.class_names, classes)
        how = LabelSave(CaseState.LABELLED, "human", author, DecisionKind.LABEL_IMPORTED)
        return self._save(name, label.voxels, how)

    def load(self, name: str) -> np.ndarray | None:
        """Return the label of a case, (z, y, x) uint8, proved whole; None where there is none."""
        return self._writer.load(name)

    def load_previous(self, name: str) -> np.ndarray | None:
        """Return the label before the last save, (z, y, x) uint8; None where there is none."""
        return self._writer.load(name, previous=True)

    def load_for_training(self, name: str) -> np.ndarray | None:
        """Return the label of a case with 255 in all voxels that nobody has decided on; or None.

        Those are the voxels outside the slices that are marked as done and, in a label made of
        accepted parts, those that neither a person drew nor a part that was accepted holds.

        Returns
        -------
        np.ndarray or None
            (z, y, x), uint8; None where there is no label.

        Raises
        ------
        StudyError
            If the label or its provenance is damaged, is being saved again and again meanwhile, or
            holds in part while a class has the value 255.
        """
        for _ in range(READ_ATTEMPTS):  # label and marks must be those of the same moment
            case, classes = self._writer.read(name)
            marks = case.done_slices
            voxels = self._writer.load(name)
            by_voxel = marks is not None and marks.decided is not None
            provenance = self._writer.load_provenance(name) if by_voxel else None
            now = recorded_case(self._records, name)
            if (now.label_version, now.done_slices) != (case.label_version, marks):
                continue
            if voxels is None or marks is None:
                return voxels
            refuse_class_for_not_annotated(classes)
            return marks.hide_the_rest(voxels, _decided_voxels(case, marks, provenance))
        raise restless(name)

    def restore_previous(self, name: str, author: str | None = None) -> None:
        """Exchange the label, its state and its marks with those before; twice changes nothing.

        StudyError tells that there is no previous label, that it is damaged, or that a held-out case
        cannot be measured against it.
        """
        restore_previous(self._records, self._writer, name, author)

    def mark_slices(
        self,
        name: str,
        axis: int,
        indices: Iterable[int],
        done: bool = True,
        author: str | None = None,
    ) -> None:
        """Mark slices along an axis (0, 1, 2 for z, y, x) as done, or take their marks away.

        A label without marks is complete; with marks, training learns from these slices only. A case
        without a label gets an empty one, in progress. StudyError tells what is wrong with a slice,
        a held-out case, or a class with the value 255.
        """
        indices = list(indices)
        case, classes = self._writer.read(name)
        refuse_unknown_slices(case, axis, indices)
        if done and not case.has_label:
            refuse_marking(case, classes)
            empty = np.zeros(case.geometry.shape, np.uint8)
            self._save(name, empty, LabelSave(CaseState.IN_PROGRESS, author=author))
        with self._records.transaction() as connection:
            # asked inside the transaction: another program may have changed the case meanwhile
            case = read_case(connection, self._records.folder, name)
            if done:
                refuse_marking(case, read_classes(connection))
            marks = with_marks(case.done_slices, axis, indices, done)
            if marks == case.done_slices:
                return
            write_done_slices(connection, case, marks)
            record_decision(
                connection,
                DecisionKind.MARKED,
                case=name,
                author=author,
                label_hash=case.label_hash,
                detail=f"done slices: {'all' if marks is None else marks}",
            )

    def snapshot_hash(self) -> str:
        """Return the SHA-256 of all labels that training learns from, with their case names."""
        return label_snapshot_hash(recorded_cases(self._records))

    def set_aside(self, case: Case) -> None:
        """Move the labels of a case that has left the records to ``labels/removed``."""
        with storage_errors(self._records.folder):
            self._store.set_aside(case.identifier, case.name)


def _after_edits(label: np.ndarray, former: FormerLabel | None) -> Provenance:
    if former is None:
        return human_provenance(label)
    return note_edits(former.voxels, label, former.provenance)


def _decided_voxels(
    case: Case, marks: DoneSlices, provenance: Provenance | None
) -> np.ndarray | bool:
    """Return the voxels that count outside the marked slices; never a guess."""
    if marks.decided is None:
        return False
    if provenance is None or label_hash(provenance.codes) != marks.decided:
        raise StudyError(
            f"Which voxels of the case '{case.name}' are decided can no longer be read "
            f"(labels/{case.identifier}/{case.label_version:04d}.zarr/provenance): restore the "
            "previous label, or finish the label and mark it labelled."
        )
    return provenance.decided
