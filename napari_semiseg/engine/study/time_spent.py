"""How long people have worked on the label of each case: by hand, and correcting a prediction.

The records keep sums of seconds and edits and nothing else: neither who worked nor when. What counts
as work is decided in the review room.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from napari_semiseg.engine.study.records import Records

TIME_COLUMNS = (
    "case",
    "minutes by hand",
    "edits by hand",
    "minutes of corrections",
    "corrections",
)
"""Of the table of times that goes with exported labels."""


@dataclass(frozen=True)
class CaseTime:
    """Time that people spent on the label of a case.

    Attributes
    ----------
    manual_seconds, correction_seconds : float
        Spent on a label that a person began, and on one that began as a prediction.
    manual_edits, correction_edits : int
        Number of strokes and other edits of each.
    """

    manual_seconds: float = 0.0
    correction_seconds: float = 0.0
    manual_edits: int = 0
    correction_edits: int = 0

    @property
    def manual_minutes(self) -> float:
        """Minutes spent on a label that a person began."""
        return self.manual_seconds / 60

    @property
    def correction_minutes(self) -> float:
        """Minutes spent on a label that began as a prediction."""
        return self.correction_seconds / 60

    @property
    def minutes(self) -> float:
        """Both together."""
        return self.manual_minutes + self.correction_minutes

    @property
    def edits(self) -> int:
        """Number of all edits."""
        return self.manual_edits + self.correction_edits


NO_TIME = CaseTime()
"""Of a case that nobody has worked on."""


def read_time(row: sqlite3.Row) -> CaseTime:
    """Return the time of a case from a row with the columns of the table ``cases``."""
    return CaseTime(
        row["manual_seconds"],
        row["correction_seconds"],
        row["manual_edits"],
        row["correction_edits"],
    )


def time_rows(times: Iterable[tuple[str, CaseTime]]) -> Iterator[tuple[str, str, int, str, int]]:
    """Yield the rows of a table with `TIME_COLUMNS`: of each case that anybody has worked on.

    Parameters
    ----------
    times : iterable of (str, CaseTime)
        Name and time of each case.
    """
    for name, time in times:
        if time.edits:
            by_hand, corrections = f"{time.manual_minutes:.2f}", f"{time.correction_minutes:.2f}"
            yield name, by_hand, time.manual_edits, corrections, time.correction_edits


@dataclass(frozen=True)
class Work:
    """Work on the label of a case since the last time it was asked for.

    Attributes
    ----------
    seconds : float
        How long, 0 or more.
    edits : int
        Number of strokes and other edits.
    """

    seconds: float = 0.0
    edits: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(self.seconds + other.seconds, self.edits + other.edits)


class TimeSpent:
    """``study.time_spent``: the time that people spent on labels; `Case.time` tells it."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def begin_correction(self, name: str) -> None:
        """Take every edit of a case from now on for a correction of a prediction."""
        with self._records.transaction() as connection:
            connection.execute("UPDATE cases SET began_as_prediction = 1 WHERE name = ?", (name,))

    def add(self, name: str, seconds: float, edits: int) -> None:
        """Add work on the label of a case that is not saved with it (`Labels.paint` adds its own).

        It is correction if `begin_correction` said so, else work by hand. A case that was removed
        meanwhile is passed over.
        """
        with self._records.transaction() as connection:
            add_time(connection, name, Work(seconds, edits))


def add_time(connection: sqlite3.Connection, name: str, work: Work, corrects: bool = False) -> None:
    """Add work on a case, which is correction from now on if it ``corrects`` a prediction."""
    connection.execute(
        "UPDATE cases SET began_as_prediction = max(began_as_prediction, :corrects), "
        "manual_seconds = manual_seconds + :seconds * (NOT max(began_as_prediction, :corrects)), "
        "manual_edits = manual_edits + :edits * (NOT max(began_as_prediction, :corrects)), "
        "correction_seconds = "
        "correction_seconds + :seconds * max(began_as_prediction, :corrects), "
        "correction_edits = correction_edits + :edits * max(began_as_prediction, :corrects) "
        "WHERE name = :name",
        {"name": name, "corrects": int(corrects), "seconds": work.seconds, "edits": work.edits},
    )
