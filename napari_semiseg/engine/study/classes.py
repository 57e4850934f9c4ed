"""The classes of a study: which value in a label means what, and in which colour it shows.

The value 0 is always background and no class.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_semiseg.engine.errors import BadLabel, StudyError

DEFAULT_COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#cc79a7",
    "#d55e00",
    "#0072b2",
    "#44aa99",
    "#aa4499",
    "#ddcc77",
    "#882255",
    "#88ccee",
)
"""Colours that people with any colour vision tell apart (Okabe and Ito, then Tol)."""

HIGHEST_VALUE = 255
"""Labels are stored with one byte a voxel."""

_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class ClassInfo:
    """One class of a study.

    Attributes
    ----------
    value : int
        Voxel value in labels, 1 to 255.
    name : str
        What the clinician calls it.
    colour : str
        ``"#rrggbb"`` in lower case.
    """

    value: int
    name: str
    colour: str


def parse_classes(text: str) -> tuple[ClassInfo, ...]:
    """Read classes from text such as ``"1=anterior,2=posterior"``.

    Parameters
    ----------
    text : str
        ``value=name`` pairs, separated by commas.

    Returns
    -------
    tuple of ClassInfo
        In the order of their values, with the default colours.

    Raises
    ------
    StudyError
        If a pair cannot be read, a value is not 1 to 255, or a value or name comes twice.
    """
    pairs = []
    for part in text.split(","):
        value, equals, name = part.partition("=")
        if not equals or not value.strip().isdecimal() or not name.strip():
            raise StudyError(
                f"The class '{part.strip()}' cannot be read: write classes as value=name, "
                "separated by commas, for example 1=anterior,2=posterior."
            )
        pairs.append((int(value), name.strip()))
    pairs.sort()
    return checked_classes(
        ClassInfo(value, name, DEFAULT_COLOURS[index % len(DEFAULT_COLOURS)])
        for index, (value, name) in enumerate(pairs)
    )


def checked_classes(classes: Iterable[ClassInfo]) -> tuple[ClassInfo, ...]:
    """Return the classes in the order of their values, or say what is wrong with them.

    Returns
    -------
    tuple of ClassInfo
        Sorted by value; colours in lower case.

    Raises
    ------
    StudyError
        If there is none, a value is not 1 to 255, a value or name comes twice, a name is empty, or
        a colour is not ``"#rrggbb"``.
    """
    result = tuple(
        ClassInfo(int(item.value), item.name.strip(), item.colour.lower())
        for item in sorted(classes, key=lambda item: item.value)
    )
    if not result:
        raise StudyError("A study needs at least one class: name one, for example 1=tumour.")
    for item in result:
        if not 1 <= item.value <= HIGHEST_VALUE:
            raise StudyError(
                f"The class '{item.name}' has the value {item.value}: choose a whole number from "
                f"1 to {HIGHEST_VALUE} (0 is always background)."
            )
        if not item.name:
            raise StudyError(f"The class with the value {item.value} has no name: give it one.")
        if not _COLOUR.fullmatch(item.colour):
            raise StudyError(
                f"The colour '{item.colour}' of the class '{item.name}' cannot be read: write it "
                "as #rrggbb, for example #e69f00."
            )
    _refuse_repeated("value", [str(item.value) for item in result])
    _refuse_repeated("name", [item.name.casefold() for item in result])
    return result


def _refuse_repeated(what: str, entries: Sequence[str]) -> None:
    repeated = sorted({entry for entry in entries if entries.count(entry) > 1})
    if repeated:
        raise StudyError(
            f"Two classes have the same {what} ({', '.join(repeated)}): give each class its own."
        )


def read_classes(connection: sqlite3.Connection) -> tuple[ClassInfo, ...]:
    """Return the classes in the records, in the order of their values; at least one."""
    rows = connection.execute("SELECT value, name, colour FROM classes ORDER BY value").fetchall()
    return tuple(ClassInfo(*row) for row in rows)


def write_classes(connection: sqlite3.Connection, classes: Sequence[ClassInfo]) -> None:
    """Put the classes into the records, inside a transaction, in place of the former ones."""
    connection.execute("DELETE FROM classes")
    connection.executemany(
        "INSERT INTO classes (value, name, colour) VALUES (?, ?, ?)",
        [(item.value, item.name, item.colour) for item in classes],
    )


def refuse_other_names(
    path: str | Path, named: Mapping[int, str], classes: Iterable[ClassInfo]
) -> None:
    """Refuse a label file that gives the name of a class to another value.

    Parameters
    ----------
    named : mapping of int to str
        What the file calls its values; empty where it says nothing.

    Raises
    ------
    BadLabel
        If structures would be taken for one another.
    """
    values = {info.name.strip().casefold(): info.value for info in classes}
    for value, name in named.items():
        expected = values.get(name.strip().casefold(), value)
        if expected != value:
            raise BadLabel(
                f"The label {path} calls its value {value} “{name}”, which is {expected} in this "
                "study: change the values in the file, or the classes of the study."
            )
