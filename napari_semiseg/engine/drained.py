"""Generators that tell of their progress and return a result, run to their end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Generic, TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


class Drained(Generic[Step, Result]):
    """The steps of a generator to loop over, and what it returned at their end.

    Attributes
    ----------
    result : Result
        There once the last step has been passed; a loop that is left early never sets it.
    """

    result: Result

    def __init__(self, work: Generator[Step, Any, Result]) -> None:
        self._work = work

    def __iter__(self) -> Iterator[Step]:
        self.result = yield from self._work


def drained(work: Generator[Any, Any, Result]) -> Result:
    """Run a generator to its end without hearing its steps."""
    steps = Drained(work)
    for _ in steps:
        pass
    return steps.result
