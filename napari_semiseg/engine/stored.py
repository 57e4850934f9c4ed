"""Reading what another version of the program stored: one way for every class that is kept on disk.

Records outlive the classes that wrote them. A field that is added to a stored class therefore has a
default, one that is taken away is passed over, and what a person gives is checked elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, TypeVar, cast

from napari_semiseg.engine.errors import StudyError

Kept = TypeVar("Kept")
Choice = TypeVar("Choice", bound=StrEnum)


def from_stored(kind: type[Kept], record: Mapping[str, Any], what: str = "") -> Kept:
    """Make a dataclass or a pydantic model of what any version of it stored.

    Unknown fields are passed over, those of nested pydantic models too, and missing ones take the
    defaults of the class.

    Parameters
    ----------
    what : str
        What it is, to begin a sentence with, such as ``"The plan of run 003-dtc"``.

    Raises
    ------
    StudyError
        A field that has no default is missing, or a value is not possible; the sentence says which.
    """
    validate = getattr(kind, "model_validate", None)
    names = _fields_of(kind)
    try:
        known = {name: value for name, value in record.items() if name in names}
        return cast(Kept, validate(known) if validate else kind(**known))
    except (AttributeError, TypeError, ValueError) as problem:
        raise StudyError(
            f"{what or f'A stored {kind.__name__}'} cannot be read, perhaps because another version of "
            f"napari-semiseg wrote it: {_reason(problem)}."
        ) from problem


def _fields_of(kind: type[Any]) -> set[str]:
    model = getattr(kind, "model_fields", None)
    return {field.name for field in fields(kind) if field.init} if model is None else set(model)


def _reason(problem: Exception) -> str:
    errors = getattr(problem, "errors", None)
    if errors is None:
        return str(problem).rpartition("__init__() ")[2]
    first = errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def stored_choice(kind: type[Choice], text: str) -> Choice:
    """Return the member of an enumeration that was stored.

    A word that this version does not know becomes a stand-in that shows as that word, goes back to the
    disk as that word, and is none of the members.
    """
    try:
        return kind(text)
    except ValueError:
        unknown = str.__new__(kind, text)
        unknown._name_ = unknown._value_ = text
        return unknown
