"""Marks of finished slices: who may set them, and the labels that training learns from with them.

A person who cannot draw a whole scan finishes single slices and marks them, or accepts parts of a
prediction. Training then sees those and nothing else of the label: it never takes for background what
nobody has decided on. The study facade calls this file, on any thread.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import Case, CaseState, read_case, write_done_slices
from napari_semiseg.engine.study.classes import ClassInfo, read_classes
from napari_semiseg.engine.study.decisions import DecisionKind, record_decision
from napari_semiseg.engine.study.done_slices import AXES, NOT_ANNOTATED, DoneSlices, with_marks
from napari_semiseg.engine.study.labels.changes import Labelling
from napari_semiseg.engine.study.labels.provenance import Provenance
from napari_semiseg.engine.study.labels.rules import LabelSave
from napari_semiseg.engine.study.labels.store import label_hash
from napari_semiseg.engine.study.labels.writing import LabelWriter
from napari_semiseg.engine.study.records import Records

_READ_ATTEMPTS = 5


class SliceMarking:
    """Marks of finished slices of one study.

    Parameters
    ----------
    records : Records
        The records of the study.
    labels : Labelling
        Its labels.
    writer : LabelWriter
        What reads them.
    """

    def __init__(self, records: Records, labels: Labelling, writer: LabelWriter) -> None:
        self._records = records
        self._labels = labels
        self._writer = writer

    def mark(
        self, name: str, axis: int, indices: Sequence[int], done: bool, author: str | None
    ) -> None:
        """Mark slices of a label as done, or take their marks away.

        Parameters
        ----------
        name : str
            Name of the case; without a label it gets an empty one, in progress.
        axis : int
            0, 1 or 2 for slices along z, y or x.
        indices : sequence of int
            The slices, counted from 0.
        done : bool
            Whether they are done from now on.
        author : str or None
            Who.

        Raises
        ------
        StudyError
            If a slice is not in the scan, the case is held out, or a class has the value 255.
        """
        case, classes = self._writer.read(name)
        _refuse_unknown_slices(case, axis, indices)
        if done and not case.has_label:
            _refuse_marks(case, classes)
            empty = np.zeros(case.geometry.shape, np.uint8)
            self._labels.save(name, empty, LabelSave(CaseState.IN_PROGRESS, author=author))
        with self._records.transaction() as connection:
            # asked inside the transaction: another program may have changed the case meanwhile
            case = read_case(connection, self._records.folder, name)
            if done:
                _refuse_marks(case, read_classes(connection))
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

    def load_for_training(self, name: str) -> np.ndarray | None:
        """Return the label of a case with 255 in all voxels that nobody has decided on.

        Those are the voxels outside the slices that are marked as done and, in a label made of
        accepted parts, those that neither a person drew nor a part that was accepted holds.

        Parameters
        ----------
        name : str
            Name of the case.

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
        for _ in range(_READ_ATTEMPTS):  # label and marks must be those of the same moment
            case, classes = self._writer.read(name)
            marks = case.done_slices
            voxels = self._writer.load(name)
            by_voxel = marks is not None and marks.decided is not None
            provenance = self._writer.load_provenance(name) if by_voxel else None
            now, _classes = self._writer.read(name)
            if (now.label_version, now.done_slices) != (case.label_version, marks):
                continue
            if voxels is None or marks is None:
                return voxels
            refuse_class_for_not_annotated(classes)
            return marks.hide_the_rest(voxels, _decided(case, marks, provenance))
        raise StudyError(
            f"The label of the case '{name}' kept changing while it was read: try again when "
            "nobody paints in it."
        )


def _decided(case: Case, marks: DoneSlices, provenance: Provenance | None) -> np.ndarray | bool:
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


def _refuse_unknown_slices(case: Case, axis: int, indices: Sequence[int]) -> None:
    if axis not in range(len(AXES)):
        raise StudyError(f"Slices are marked along the axes 0, 1 or 2 (z, y, x), not {axis}.")
    last = case.geometry.shape[axis] - 1
    outside = [index for index in indices if not 0 <= index <= last]
    if outside:
        raise StudyError(
            f"The scan of the case '{case.name}' has the slices 0 to {last} along {AXES[axis]}, "
            f"and none with the number {outside[0]}."
        )


def _refuse_marks(case: Case, classes: Sequence[ClassInfo]) -> None:
    """Refuse marks of a case that is measured as a whole, or where 255 is a class."""
    if case.held_out:
        raise StudyError(
            f"The case '{case.name}' is held out and is measured against its whole label: finish "
            "all of it, or let the case take part in training before marking single slices."
        )
    refuse_class_for_not_annotated(classes)


def refuse_class_for_not_annotated(classes: Sequence[ClassInfo]) -> None:
    """Refuse a class whose voxels could not be told from those that nobody has looked at.

    Parameters
    ----------
    classes : sequence of ClassInfo
        The classes of the study.

    Raises
    ------
    StudyError
        If a class has the value 255.
    """
    taken = [item for item in classes if item.value == NOT_ANNOTATED]
    if taken:
        raise StudyError(
            f"The class '{taken[0].name}' has the value {NOT_ANNOTATED}, which stands for voxels "
            "that nobody has looked at: give the class another value, or finish whole labels "
            "instead of single slices."
        )
