"""What a label must be to enter a study, and what its case must not contradict.

Each rule is a function that returns or raises one sentence; none of them touches a disk other than
through the connection it is given. The files that write labels call them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from napari_semiseg.engine.errors import BadLabel, StudyError
from napari_semiseg.engine.study.cases import Case, CaseState, LabelOrigin
from napari_semiseg.engine.study.classes import HIGHEST_VALUE, ClassInfo
from napari_semiseg.engine.study.decisions import DecisionKind, author_or_user, now
from napari_semiseg.engine.study.done_slices import AXES, NOT_ANNOTATED, DoneSlices

_SHOWN_VALUES = 8


@dataclass(frozen=True)
class LabelSave:
    """How a label comes to be saved.

    Attributes
    ----------
    state : CaseState
        State of the case afterwards: in progress, labelled or accepted.
    origin : {"human", "accepted"}
        Whether a person made it or accepted a prediction unchanged.
    author : str or None
        Who; None means the user that is logged in.
    what : DecisionKind
        The decision behind it.
    run : str or None
        The run of an accepted prediction, or of one that a person takes as the start of a label.
    keeps_done_slices : bool
        Whether the marks of what counts hold for the new label, too: so it is where a person goes on
        drawing. A whole label, imported or accepted, is complete.
    in_part : bool
        Whether decided voxels alone count from now on, beside slices that are marked as done.
    """

    state: CaseState
    origin: LabelOrigin = "human"
    author: str | None = None
    what: DecisionKind = DecisionKind.LABEL_SAVED
    run: str | None = None
    keeps_done_slices: bool = False
    in_part: bool = False


def checked_label(
    case: Case, voxels: np.ndarray, classes: Sequence[ClassInfo]
) -> tuple[np.ndarray, list[int]]:
    """Return a label as it is stored, with the class values in it.

    Returns
    -------
    label : np.ndarray
        (z, y, x), uint8, contiguous.
    values : list of int
        Values other than 0, rising.

    Raises
    ------
    BadLabel
        If the shape is not that of the scan, the dtype is not integer, or a value has no class.
    """
    voxels = np.asarray(voxels)
    if voxels.shape != tuple(case.geometry.shape):
        raise BadLabel(
            f"The label for the case '{case.name}' has the shape {voxels.shape} and its scan "
            f"{tuple(case.geometry.shape)} (z, y, x): draw or export it on the grid of the scan."
        )
    if not np.issubdtype(voxels.dtype, np.integer):
        raise BadLabel(
            f"The label for the case '{case.name}' holds numbers of the type {voxels.dtype}: "
            "a label holds whole numbers, one for each class."
        )
    if int(voxels.min()) < 0 or int(voxels.max()) > HIGHEST_VALUE:
        refuse_unknown_values(case, [int(value) for value in np.unique(voxels) if value], classes)
    label = np.ascontiguousarray(voxels, dtype=np.uint8)
    # slice by slice: a count over the whole label would take eight times its memory
    counts = sum(np.bincount(plane.ravel(), minlength=HIGHEST_VALUE + 1) for plane in label)
    values = [int(value) for value in np.flatnonzero(counts) if value]
    refuse_unknown_values(case, values, classes)
    return label, values


def refuse_unknown_values(case: Case, values: Sequence[int], classes: Sequence[ClassInfo]) -> None:
    """Refuse a label with values that no class has."""
    unknown = sorted(set(values) - {item.value for item in classes})
    if not unknown:
        return
    shown = ", ".join(map(str, unknown[:_SHOWN_VALUES]))
    more = ", ..." if len(unknown) > _SHOWN_VALUES else ""
    known = ", ".join(f"{item.value}={item.name}" for item in classes)
    raise BadLabel(
        f"The label for the case '{case.name}' has the value(s) {shown}{more}, which no class of "
        f"the study has ({known}): change them in the label or add a class for them."
    )


def refuse_accepting(case: Case) -> None:
    """Refuse to make a prediction the label of a case where a person has the say."""
    if case.label_belongs_to_a_person:
        raise StudyError(
            f"The case '{case.name}' has a label that a person made, and a prediction never "
            "replaces one: keep it, or clear the label and mark it in progress first."
        )
    if case.held_out:
        raise StudyError(
            f"The case '{case.name}' is held out and is measured against what a person draws: "
            "draw its label by hand, or end its hold-out before accepting a prediction."
        )


def refuse_measuring_accepted(case: Case) -> NoReturn:
    """Refuse an accepted prediction as the truth of a held-out case."""
    raise StudyError(
        f"This label of the case '{case.name}' is an accepted prediction, and held-out cases are "
        "measured against what a person drew: correct the label by hand first, or hold out "
        "another case."
    )


def refuse_contradiction(case: Case, state: CaseState) -> None:
    """Refuse a mark that the label of the case contradicts."""
    if state is CaseState.LABELLED and not case.has_label:
        raise StudyError(
            f"The case '{case.name}' has no label yet: draw or import one before marking it "
            "labelled."
        )
    if state is CaseState.ACCEPTED and case.label_origin != "accepted":
        raise StudyError(
            f"The case '{case.name}' has no accepted prediction: accept one in the review."
        )
    hides = state in (CaseState.UNLABELLED, CaseState.REJECTED)
    if hides and case.label_belongs_to_a_person:
        raise StudyError(
            f"The case '{case.name}' has a label that a person made and cannot be marked {state}: "
            "mark it in progress instead; it is then not trained on."
        )


def refuse_deciding_on_parts(case: Case, run: str) -> None:
    """Refuse to accept or reject parts of a prediction where the whole label is settled."""
    if case.held_out:
        raise StudyError(
            f"The case '{case.name}' is held out and is measured against what a person draws: no "
            f"part of the prediction of {run} can be accepted or rejected in it."
        )
    settled = case.hidden_state in (CaseState.LABELLED, CaseState.ACCEPTED)
    if settled and case.done_slices is None:
        raise StudyError(
            f"The label of the case '{case.name}' is complete, so that every voxel is decided: mark "
            "it in progress to work on it again, or restore its previous label."
        )


def marks_to_keep(case: Case, how: LabelSave, provenance_hash: str) -> DoneSlices | None:
    """Return what of a new label counts; None for all of it.

    A person who calls a label finished has the last word on every voxel, but for slices that wait for
    their marks.

    ``case`` is as it was; ``provenance_hash`` is the SHA-256 of the codes of the new provenance.
    """
    former = case.done_slices if how.keeps_done_slices else None
    along = DoneSlices.NONE_ALONG if former is None else former.along
    if how.in_part:
        return DoneSlices(along, provenance_hash)
    if former is None or former.decided is None:
        return former
    if how.state is CaseState.LABELLED:
        return marks_when_finished(former)
    return DoneSlices(along, provenance_hash)


def marks_when_finished(marks: DoneSlices | None) -> DoneSlices | None:
    """Return what counts of a label that a person calls finished.

    Parameters
    ----------
    marks : DoneSlices or None
        What counted before. Slices that are marked keep all others from counting; without them, the
        label is complete, and what was not decided is background from now on.
    """
    return marks if marks is not None and marks.count else None


def refuse_measuring_sparse(case: Case) -> NoReturn:
    """Refuse a label with only some slices done as the truth of a held-out case.

    Surface distances, and the size of what was found too much, mean nothing where most slices are
    unknown; so such a case is measured when its label is complete, and not before.
    """
    raise StudyError(
        f"The label of the case '{case.name}' is finished in some slices only, and held-out cases "
        "are measured against whole labels: finish every slice and take the marks of single "
        "slices away, or hold out another case."
    )


def refuse_dropping_used(connection: sqlite3.Connection, item: ClassInfo) -> None:
    """Refuse to drop a class whose value labels hold."""
    rows = connection.execute(
        "SELECT DISTINCT cases.name, labels.class_values FROM labels "
        "JOIN cases ON cases.identifier = labels.case_identifier ORDER BY cases.identifier"
    ).fetchall()
    users = [row["name"] for row in rows if item.value in json.loads(row["class_values"])]
    if users:
        raise StudyError(
            f"The class {item.value}={item.name} cannot be dropped: the label of the case "
            f"'{users[0]}' uses it ({len(set(users))} case(s) in all); change those labels first."
        )


def point_to_new_label(
    connection: sqlite3.Connection,
    case: Case,
    version: int,
    digest: str,
    values: Sequence[int],
    how: LabelSave,
    marks: DoneSlices | None,
) -> None:
    """Make the records point to a published label, and to the one of before as the previous.

    The commit of the transaction around it is the moment when the label is saved. ``marks`` tell what
    of it counts; None stands for all of it.
    """
    connection.execute(
        "INSERT INTO labels (case_identifier, version, hash, class_values, origin, state, author, "
        "saved_at, done_slices) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            case.identifier,
            version,
            digest,
            json.dumps(list(values)),
            how.origin,
            how.state.value,
            author_or_user(how.author),
            now(),
            None if marks is None else marks.to_json(),
        ),
    )
    connection.execute(
        "UPDATE cases SET state = ?, previous_label_version = label_version, label_version = ? "
        "WHERE identifier = ?",
        (how.state.value, version, case.identifier),
    )
    connection.execute(
        "DELETE FROM labels WHERE case_identifier = ? AND version NOT IN (?, ?)",
        (case.identifier, version, version if case.label_version is None else case.label_version),
    )


def refuse_unknown_slices(case: Case, axis: int, indices: Sequence[int]) -> None:
    """Refuse slices that the scan of a case does not have."""
    if axis not in range(len(AXES)):
        raise StudyError(f"Slices are marked along the axes 0, 1 or 2 (z, y, x), not {axis}.")
    last = case.geometry.shape[axis] - 1
    outside = [index for index in indices if not 0 <= index <= last]
    if outside:
        raise StudyError(
            f"The scan of the case '{case.name}' has the slices 0 to {last} along {AXES[axis]}, "
            f"and none with the number {outside[0]}."
        )


def refuse_marking(case: Case, classes: Sequence[ClassInfo]) -> None:
    """Refuse marks of slices in a case that is measured as a whole, or where 255 is a class."""
    if case.held_out:
        raise StudyError(
            f"The case '{case.name}' is held out and is measured against its whole label: finish "
            "all of it, or let the case take part in training before marking single slices."
        )
    refuse_class_for_not_annotated(classes)


def refuse_class_for_not_annotated(classes: Sequence[ClassInfo]) -> None:
    """Refuse a class whose voxels could not be told from those that nobody has looked at."""
    taken = [item for item in classes if item.value == NOT_ANNOTATED]
    if taken:
        raise StudyError(
            f"The class '{taken[0].name}' has the value {NOT_ANNOTATED}, which stands for voxels "
            "that nobody has looked at: give the class another value, or finish whole labels "
            "instead of single slices."
        )
