"""The audit trail of a study: which person decided what about which case, and when.

Decisions are only ever appended; the records refuse to change or remove one. The labelling rules
append to it inside the transaction of the change itself, so that neither exists without the other.
"""

from __future__ import annotations

import getpass
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from napari_semiseg.engine.stored import stored_choice


class DecisionKind(StrEnum):
    """What a person can decide."""

    LABEL_SAVED = "label saved"
    LABEL_IMPORTED = "label imported"
    PREVIOUS_LABEL_RESTORED = "previous label restored"
    MARKED = "marked"
    ACCEPTED = "prediction accepted"
    REJECTED = "prediction rejected"
    PART_ACCEPTED = "part of the prediction accepted"
    PART_REJECTED = "part of the prediction rejected"
    HELD_OUT = "held out"
    NO_LONGER_HELD_OUT = "no longer held out"
    CASE_REMOVED = "case removed"
    CLASSES_CHANGED = "classes changed"


@dataclass(frozen=True)
class Decision:
    """One line of the audit trail.

    Attributes
    ----------
    identifier : int
        Rises with every decision of the study.
    case : str or None
        Name of the case; None where the decision is about the whole study.
    who : str
        The author that was given, else the user that is logged in.
    when : str
        UTC, ISO 8601.
    what : DecisionKind
        What was decided.
    run : str or None
        The run whose prediction was accepted or rejected.
    label_hash : str or None
        SHA-256 of the label that the decision left the case with.
    detail : str
        The new state of the case, the reason of a rejection, the new classes, or the part of a
        prediction with the certainty that was asked for and the number of voxels it changed.
    """

    identifier: int
    case: str | None
    who: str
    when: str
    what: DecisionKind
    run: str | None
    label_hash: str | None
    detail: str


def now() -> str:
    """Return the moment in UTC as ISO 8601 with milliseconds, which sorts as text."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def author_or_user(author: str | None) -> str:
    """Return the author, else the user that is logged in, else ``"unknown"``."""
    if author and author.strip():
        return author.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without an entry for its user
        return "unknown"


def record_decision(
    connection: sqlite3.Connection,
    what: DecisionKind,
    *,
    case: str | None = None,
    author: str | None = None,
    run: str | None = None,
    label_hash: str | None = None,
    detail: str = "",
) -> None:
    """Append one decision to the audit trail, inside the transaction of what was decided.

    The arguments are those of :class:`Decision`; ``author`` None means the user that is logged in.
    """
    connection.execute(
        "INSERT INTO decisions (case_name, who, decided_at, what, run, label_hash, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (case, author_or_user(author), now(), what.value, run, label_hash, detail),
    )


def read_decisions(connection: sqlite3.Connection, case: str | None = None) -> list[Decision]:
    """Return the decisions, oldest first.

    Parameters
    ----------
    case : str or None
        Only those about the case of this name; None for all.
    """
    rows = connection.execute(
        "SELECT * FROM decisions WHERE ?1 IS NULL OR case_name = ?1 ORDER BY identifier", (case,)
    ).fetchall()
    return [
        Decision(
            identifier=row["identifier"],
            case=row["case_name"],
            who=row["who"],
            when=row["decided_at"],
            what=stored_choice(DecisionKind, row["what"]),
            run=row["run"],
            label_hash=row["label_hash"],
            detail=row["detail"],
        )
        for row in rows
    ]
