"""The cases of a study: one scan each, with the state of its label.

A case is a snapshot of the records; asking the study again gives the present one. The functions
that write are called inside a transaction, with the case as it was; the rules of who may change what
are in ``labels/rules.py``.
"""

from __future__ import annotations

import difflib
import json
import sqlite3
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.stored import stored_choice
from napari_semiseg.engine.study.decisions import now
from napari_semiseg.engine.study.done_slices import DoneSlices, read_done_slices
from napari_semiseg.engine.study.time_spent import NO_TIME, CaseTime, read_time
from napari_semiseg.engine.volumes.geometry import Geometry
from napari_semiseg.engine.volumes.scans import ScanSource

if TYPE_CHECKING:
    from napari_semiseg.engine.study.records import Records

LabelOrigin = Literal["human", "accepted"]

KEPT_IN_MIND = 2**15
"""Cases whose files and grids are not read out of the same records again and again."""


class CaseState(StrEnum):
    """Where a case stands on its way to a label."""

    UNLABELLED = "unlabelled"
    IN_PROGRESS = "in progress"
    LABELLED = "labelled"
    PREDICTED = "predicted"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    HELD_OUT = "held-out"


@dataclass(frozen=True)
class Case:
    """One scan of a study and what is known of its label.

    Attributes
    ----------
    identifier : int
        Never given to another case of the study; names the folder of its labels.
    name : str
        Unique in the study.
    source : ScanSource
        The files of the scan.
    geometry : Geometry
        Voxel grid (z, y, x) of the scan and of its label.
    channels : int
        Number of channels of the scan.
    modality : str or None
        DICOM modality where known.
    content_hash : str
        SHA-256 of the bytes of the files, in order.
    state : CaseState
        ``HELD_OUT`` hides the state that comes back when the case is no longer held out.
    has_label : bool
        Whether a label is stored, finished or not.
    label_saved_at : str or None
        UTC, ISO 8601.
    label_origin : {"human", "accepted"} or None
        ``"accepted"`` for a prediction that a person accepted unchanged.
    label_hash : str or None
        SHA-256 of the stored label.
    label_is_empty : bool
        Whether the stored label is background only; False without a label.
    label_version : int or None
        Number of the stored label; rises with every save.
    previous_label_version : int or None
        Number of the label that ``study.labels.restore_previous`` brings back.
    previous_label_hash : str or None
        SHA-256 of that label.
    hidden_state : CaseState
        The state without the lock of a held-out case.
    done_slices : DoneSlices or None
        What of the label counts: slices that a person marked as done, and decided voxels of a label
        made of accepted parts; None for a complete label.
    time : CaseTime
        How long people worked on its label.
    """

    identifier: int
    name: str
    source: ScanSource
    geometry: Geometry
    channels: int
    modality: str | None
    content_hash: str
    state: CaseState
    has_label: bool
    label_saved_at: str | None
    label_origin: LabelOrigin | None
    label_hash: str | None
    label_is_empty: bool
    label_version: int | None
    previous_label_version: int | None
    previous_label_hash: str | None
    hidden_state: CaseState
    done_slices: DoneSlices | None = None
    time: CaseTime = NO_TIME

    @property
    def held_out(self) -> bool:
        """Whether the case is locked away from training."""
        return self.state is CaseState.HELD_OUT

    @property
    def trains_with_label(self) -> bool:
        """Whether training may learn from the label: finished or accepted, and not held out."""
        return self.has_label and self.state in (CaseState.LABELLED, CaseState.ACCEPTED)

    @property
    def is_reference(self) -> bool:
        """Whether models may be measured on the case: held out, and its label finished by a person."""
        return self.held_out and self.has_label and self.hidden_state is CaseState.LABELLED

    @property
    def accepted_in_part(self) -> bool:
        """Whether parts of a prediction were accepted, and training learns from those parts only."""
        marks = self.done_slices
        in_part = marks is not None and marks.decided is not None
        return in_part and self.hidden_state is CaseState.ACCEPTED

    @property
    def standing(self) -> str:
        """The state in words, with those that are accepted ``"in part"`` told from the others."""
        shown = self.accepted_in_part and not self.held_out
        return "in part" if shown else self.state.value

    @property
    def label_belongs_to_a_person(self) -> bool:
        """Whether a person drew or finished the label or a slice; no prediction may replace it."""
        finished = self.hidden_state is CaseState.LABELLED
        drawn = not self.label_is_empty or self.done_slices is not None
        return self.label_origin == "human" and (finished or drawn)


_SELECT = """
    SELECT cases.*, labels.hash, labels.class_values, labels.origin, labels.saved_at,
        labels.done_slices, previous.hash AS previous_hash
    FROM cases
    LEFT JOIN labels ON labels.case_identifier = cases.identifier
        AND labels.version = cases.label_version
    LEFT JOIN labels AS previous ON previous.case_identifier = cases.identifier
        AND previous.version = cases.previous_label_version
"""


@lru_cache(maxsize=KEPT_IN_MIND)
def _source(text: str, folder: Path) -> ScanSource:
    return ScanSource.from_dict(json.loads(text), folder)


@lru_cache(maxsize=KEPT_IN_MIND)
def _geometry(text: str) -> Geometry:
    return Geometry.from_dict(json.loads(text))


def _case(row: sqlite3.Row, folder: Path) -> Case:
    hidden_state = stored_choice(CaseState, row["state"])
    return Case(
        identifier=row["identifier"],
        name=row["name"],
        source=_source(row["source"], folder),
        geometry=_geometry(row["geometry"]),
        channels=row["channels"],
        modality=row["modality"],
        content_hash=row["content_hash"],
        state=CaseState.HELD_OUT if row["held_out"] else hidden_state,
        has_label=row["hash"] is not None,
        label_saved_at=row["saved_at"],
        label_origin=row["origin"],
        label_hash=row["hash"],
        label_is_empty=row["class_values"] == "[]",
        label_version=row["label_version"],
        previous_label_version=row["previous_label_version"],
        previous_label_hash=row["previous_hash"],
        hidden_state=hidden_state,
        done_slices=read_done_slices(row["done_slices"]),
        time=read_time(row),
    )


def recorded_cases(records: Records) -> list[Case]:
    """Return all cases in the order in which they were added."""
    with records.reading() as connection:
        return read_cases(connection, records.folder)


def recorded_case(records: Records, name: str) -> Case:
    """Return the case of this name; StudyError tells similar names where there is none."""
    with records.reading() as connection:
        return read_case(connection, records.folder, name)


def read_cases(connection: sqlite3.Connection, folder: Path) -> list[Case]:
    """Return all cases as `recorded_cases` does, inside a transaction, say."""
    rows = connection.execute(f"{_SELECT} ORDER BY cases.identifier").fetchall()
    return [_case(row, folder) for row in rows]


def read_case(connection: sqlite3.Connection, folder: Path, name: str) -> Case:
    """Return a case as `recorded_case` does, inside a transaction, say."""
    row = connection.execute(f"{_SELECT} WHERE cases.name = ?", (name,)).fetchone()
    if row is not None:
        return _case(row, folder)
    names = [row["name"] for row in connection.execute("SELECT name FROM cases").fetchall()]
    near = difflib.get_close_matches(name, names, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else "add its scan first."
    raise StudyError(f"The study {folder.stem} has no case '{name}': {advice}")


def insert_case(
    connection: sqlite3.Connection,
    *,
    name: str,
    source: str,
    geometry: str,
    channels: int,
    modality: str | None,
    content_hash: str,
) -> None:
    """Add a case without a label; ``source`` and ``geometry`` are JSON of their ``to_dict``."""
    connection.execute(
        "INSERT INTO cases (name, source, geometry, channels, modality, content_hash, added_at, "
        "state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (name, source, geometry, channels, modality, content_hash, now(), CaseState.UNLABELLED),
    )


def write_state(connection: sqlite3.Connection, case: Case, state: CaseState) -> None:
    """Put a state, which is the one under the lock of a held-out case, beside case and label."""
    connection.execute(
        "UPDATE cases SET state = ? WHERE identifier = ?", (state.value, case.identifier)
    )
    connection.execute(
        "UPDATE labels SET state = ? WHERE case_identifier = ? AND version = ?",
        (state.value, case.identifier, case.label_version),
    )


def clear_label(connection: sqlite3.Connection, case: Case, state: CaseState) -> None:
    """Leave a case without a label; the only label that it had becomes the previous one."""
    connection.execute(
        "UPDATE cases SET label_version = NULL, previous_label_version = ?, state = ? "
        "WHERE identifier = ?",
        (case.label_version, state.value, case.identifier),
    )


def write_done_slices(
    connection: sqlite3.Connection, case: Case, done_slices: DoneSlices | None
) -> None:
    """Replace the marks of the label of a case; None stands for a complete label."""
    connection.execute(
        "UPDATE labels SET done_slices = ? WHERE case_identifier = ? AND version = ?",
        (
            None if done_slices is None else done_slices.to_json(),
            case.identifier,
            case.label_version,
        ),
    )
