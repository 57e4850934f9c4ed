"""How long people have worked on the label of each case: by hand, and correcting a prediction.

The records keep sums of seconds and edits and nothing else: neither who worked nor when. What counts
as work is decided in the review room; the desk measures it and adds it here, on any thread.
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


class TimeSpent:
    """The time that people spent on the labels of one study; `Case.time` tells it.

    Parameters
    ----------
    records : Records
        The records of the study.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    def begin_correction(self, name: str) -> None:
        """Take every edit of a case from now on for a correction of a prediction.

        Parameters
        ----------
        name : str
            Name of the case.

        Raises
        ------
        StudyError
            If the disk refuses.
        """
        with self._records.transaction() as connection:
            connection.execute("UPDATE cases SET began_as_prediction = 1 WHERE name = ?", (name,))

    def add(self, name: str, seconds: float, edits: int) -> None:
        """Add work on the label of a case.

        It is correction if `begin_correction` said so, else work by hand. A case that was removed
        meanwhile is passed over.

        Parameters
        ----------
        name : str
            Name of the case.
        seconds : float
            How long, 0 or more.
        edits : int
            Number of edits, 0 or more.

        Raises
        ------
        StudyError
            If the disk refuses.
        """
        with self._records.transaction() as connection:
            for kind, corrects in (("manual", 0), ("correction", 1)):
                connection.execute(
                    f"UPDATE cases SET {kind}_seconds = {kind}_seconds + ?, "
                    f"{kind}_edits = {kind}_edits + ? WHERE name = ? AND began_as_prediction = ?",
                    (seconds, edits, name, corrects),
                )
