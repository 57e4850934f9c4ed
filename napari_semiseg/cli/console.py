"""How the command line talks: tables and progress for people, one JSON object for scripts.

With ``--json`` exactly one object goes to standard output and everything else to standard error.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from napari_semiseg.engine.errors import SemisegError

people = Console(stderr=True)
"""Progress and remarks; on standard error, so that standard output can be piped."""

output = Console(soft_wrap=True)
"""Results for people, on standard output."""


class Report:
    """The result of a command, told once in the form that was asked for."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def tell(self, data: Mapping[str, Any], text: Callable[[], None] | str) -> None:
        """Print ``data`` as JSON, or ``text`` (a sentence, or what prints a table)."""
        if self.as_json:
            print(json.dumps(data, indent=2, default=_plain))
        elif callable(text):
            text()
        else:
            output.print(text, highlight=False, markup=False)


def _plain(value: Any) -> Any:
    """Turn paths and NumPy numbers into what JSON knows."""
    return value.item() if hasattr(value, "item") else str(value)


@contextmanager
def one_sentence(as_json: bool) -> Iterator[None]:
    """Turn a problem of the user into one sentence and exit status 1; defects keep their traceback."""
    try:
        yield
    except SemisegError as problem:
        if as_json:
            print(json.dumps({"error": str(problem)}))
        tell_people(f"Error: {problem}", style="red")
        sys.exit(1)
    except KeyboardInterrupt:
        people.print("Stopped.")
        sys.exit(130)


def tell_people(text: str, style: str = "") -> None:
    """Print a remark on standard error, word for word: paths may hold what looks like markup."""
    people.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def stop_on_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into an event that the block looks at; the second one interrupts it."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted  # only the main thread hears signals
        return
    former = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: object) -> None:
        # Nothing is printed here: the signal may have come in the middle of a print.
        signal.signal(signal.SIGINT, former)
        interrupted.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, former)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show a progress bar on standard error while the block runs."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=people,
    )
    with bar:
        yield bar


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on standard output; columns of numbers are aligned to the right."""
    grid = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        numbers = all(_is_number(row[index]) for row in rows)
        grid.add_column(column, overflow="fold", justify="right" if numbers else "left")
    for row in rows:
        grid.add_row(*("—" if cell is None else str(cell) for cell in row))
    output.print(grid)


def _is_number(cell: object) -> bool:
    try:
        float(str(cell))
    except ValueError:
        return cell is None
    return True


def clock(seconds: float | None) -> str:
    """Write a duration as minutes and seconds."""
    if seconds is None:
        return "…"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
