"""A section of the benchmark: rows of figures and what has to be said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Cell = str | float | None
Row = dict[str, Cell]
"""Figures by column; a column's name says the unit. None where something could not be measured."""


@dataclass(frozen=True)
class Section:
    """What one section found.

    Attributes
    ----------
    title : str
        Heading.
    rows : tuple of Row
        All with the same columns in the same order.
    remarks : tuple of str
        Sentences: how it was measured, what is missing and why.
    """

    title: str
    rows: tuple[Row, ...]
    remarks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {"title": self.title, "rows": list(self.rows), "remarks": list(self.remarks)}


def competition(seconds: dict[str, float], unit: float = 1.0, column: str = "s") -> tuple[Row, ...]:
    """Make rows of competitors, each with how many times faster it is than the first.

    Parameters
    ----------
    seconds : dict of str to float
        Median seconds of each.
    unit : float
        What one unit of the column is in seconds.
    """
    first = next(iter(seconds.values()))
    return tuple(
        {"what": name, column: taken / unit, "times faster": first / taken}
        for name, taken in seconds.items()
    )
