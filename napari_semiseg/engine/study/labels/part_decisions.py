"""Decisions on parts of a prediction: accepted into the label of a case, rejected, or taken back.

What is accepted fills only voxels that nobody has decided on. The case is then *accepted in part*: its
state is accepted and training learns from the decided voxels alone, everything else being not annotated
(255), never background. Where a person has begun to draw the label, it stays theirs, in progress or
labelled in slices, and the parts are added to it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.cases import (
    Case,
    CaseState,
    clear_label,
    read_case,
    recorded_case,
)
from napari_semiseg.engine.study.decisions import DecisionKind, record_decision
from napari_semiseg.engine.study.labels.provenance import (
    Provenance,
    human_provenance,
    merge_accepted,
    note_rejection,
)
from napari_semiseg.engine.study.labels.rules import (
    LabelSave,
    checked_label,
    refuse_class_for_not_annotated,
    refuse_deciding_on_parts,
)
from napari_semiseg.engine.study.labels.writing import (
    Decided,
    FormerLabel,
    LabelWriter,
    NewLabel,
    restless,
    restore_previous,
)
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.runs.maps import Maps
from napari_semiseg.engine.study.storage import storage_errors


class PartDecisions:
    """``study.labels.parts``: decisions on parts of predictions, and where voxels come from."""

    def __init__(self, records: Records, writer: LabelWriter, maps: Maps) -> None:
        self._records = records
        self._writer = writer
        self._maps = maps

    def provenance(self, name: str) -> Provenance | None:
        """Return where the voxels of the label of a case come from; None without a label.

        What was saved by a version of the program that kept no provenance is "unknown". StudyError
        tells of a damaged label.
        """
        return self._writer.load_provenance(name)

    def undecided(self, name: str, run: str) -> np.ndarray:
        """Return the voxels that can still be accepted from the prediction of a run, or rejected.

        Returns
        -------
        ndarray of bool, shape (z, y, x)
            False where a person drew or finished a slice, where a part was accepted, and where this
            run was rejected; all False for a held-out case and for a complete label.

        Raises
        ------
        StudyError
            If the label is damaged.
        """
        case = recorded_case(self._records, name)
        voxels = self._writer.load(name)
        former = None
        if voxels is not None:
            provenance = self._writer.load_provenance(name)
            former = None if provenance is None else FormerLabel(voxels, provenance)
        try:
            refuse_deciding_on_parts(case, run)
        except StudyError:
            return np.zeros(case.geometry.shape, bool)
        return _open(case, _begun(case, former), run)

    def accept(
        self,
        name: str,
        run: str,
        numbers: np.ndarray,
        parts: Mapping[int, str],
        author: str | None = None,
    ) -> Case:
        """Accept parts of a prediction into the label of a case.

        Parameters
        ----------
        numbers : ndarray of int, shape (z, y, x)
            Number of the part that each voxel belongs to; 0 for none.
        parts : mapping of int to str
            The parts to accept by their numbers, in words for the audit trail, which gets one line
            a part: its words and the number of voxels that it changed.
        author : str or None
            Who; None means the user that is logged in.

        Raises
        ------
        StudyError
            If the run has no prediction of the case, nothing of the parts is undecided, the case is
            held out or its label complete, a class has the value 255, or the disk refuses.
        """
        prediction = self._prediction(name, run)
        return self._decide(
            DecisionKind.PART_ACCEPTED, name, run, numbers, parts, author, prediction
        )

    def reject(
        self,
        name: str,
        run: str,
        numbers: np.ndarray,
        parts: Mapping[int, str],
        author: str | None = None,
    ) -> Case:
        """Reject parts of a prediction: they are not offered again for this run.

        A rejected voxel is not what the run says, and nobody has said what it is: it stays not
        annotated. The label and the state of the case stay as they are.

        Parameters
        ----------
        name, run, numbers, parts, author
            As for `accept`.

        Raises
        ------
        StudyError
            As for `accept`.
        """
        self._prediction(name, run)
        return self._decide(DecisionKind.PART_REJECTED, name, run, numbers, parts, author, None)

    def take_back(self, name: str, version: int, author: str | None = None) -> None:
        """Undo the decision on parts that made a version of a label.

        Parameters
        ----------
        version : int
            ``Case.label_version`` right after the decision.
        author : str or None
            Who; None means the user that is logged in.

        Raises
        ------
        StudyError
            If the label was changed since, or the label of before is damaged.
        """
        case = recorded_case(self._records, name)
        if case.label_version != version:
            raise StudyError(
                f"The label of the case '{name}' was changed after the decision: it can no longer be "
                "undone by itself; correct the label by hand."
            )
        if case.previous_label_version is not None:
            restore_previous(self._records, self._writer, name, author)
            return
        with self._records.transaction() as connection:
            case = read_case(connection, self._records.folder, name)
            clear_label(connection, case, CaseState.PREDICTED)
            record_decision(
                connection,
                DecisionKind.PREVIOUS_LABEL_RESTORED,
                case=name,
                author=author,
                detail="no label",
            )

    def _prediction(self, name: str, run: str) -> np.ndarray:
        with storage_errors(self._records.folder):
            return np.asarray(self._maps.load(run, name, "prediction").array[...])

    def _decide(
        self,
        what: DecisionKind,
        name: str,
        run: str,
        numbers: np.ndarray,
        parts: Mapping[int, str],
        author: str | None,
        prediction: np.ndarray | None,
    ) -> Case:
        """Write the label after a decision; without a prediction, the parts are rejected."""
        for attempt in self._writer.attempts():
            with attempt:
                case, classes = self._writer.read(name)
                refuse_deciding_on_parts(case, run)
                refuse_class_for_not_annotated(classes)
                begun = _begun(case, self._writer.former(case))
                taken = np.isin(numbers, list(parts)) & _open(case, begun, run)
                changed = _counted(case, numbers, taken)
                if prediction is None:
                    label, provenance = begun.voxels, note_rejection(taken, begun.provenance, run)
                else:
                    label, provenance = merge_accepted(
                        begun.voxels, prediction, taken, begun.provenance, run
                    )
                label, values = checked_label(case, label, classes)
                decided = [
                    Decided(what, run, f"{parts[number]}: {voxels} voxels")
                    for number, voxels in changed.items()
                ]
                how = _how(case, author, prediction is not None)
                new = NewLabel(label, values, provenance, how, decided)
                saved = self._writer.write(case, classes, new)
            if saved is not None:
                self._writer.prune(saved)
                return saved
        raise restless(name)


def _begun(case: Case, former: FormerLabel | None) -> FormerLabel:
    """Return what a decision starts from: an empty label where none is there or it was rejected."""
    rejected = case.hidden_state is CaseState.REJECTED and not case.label_belongs_to_a_person
    if former is not None and not rejected:
        return former
    empty = np.zeros(case.geometry.shape, np.uint8)
    return FormerLabel(empty, human_provenance(empty))


def _open(case: Case, begun: FormerLabel, run: str) -> np.ndarray:
    free = begun.provenance.open_to(run)
    return free if case.done_slices is None else free & ~case.done_slices.mask(free.shape)


def _counted(case: Case, numbers: np.ndarray, taken: np.ndarray) -> dict[int, int]:
    counts = np.bincount(numbers[taken])
    if not len(counts):
        raise StudyError(
            f"Nothing of this part of the case '{case.name}' is left to decide on: what a person "
            "drew and what was decided before stays as it is."
        )
    return {int(number): int(counts[number]) for number in np.flatnonzero(counts)}


def _how(case: Case, author: str | None, accepts: bool) -> LabelSave:
    """Return state and origin after a decision; a label that a person made stays a person's."""
    if case.label_belongs_to_a_person:
        return LabelSave(case.hidden_state, "human", author, keeps_done_slices=True, in_part=True)
    in_part = accepts or case.accepted_in_part
    state = CaseState.ACCEPTED if in_part else CaseState.PREDICTED
    return LabelSave(state, "accepted", author, keeps_done_slices=True, in_part=True)
