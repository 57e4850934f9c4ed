"""The sections of a benchmark as tables: for people on a screen, and in a Markdown file.

Every section of the file stands between two marks of its own, so that a run of some sections leaves
the others, and what people wrote about the figures, as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_semiseg.cli.benchmark.section import Cell, Section
from napari_semiseg.cli.console import output, table
from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.training.comparison_table import write_into

INTRODUCTION = """# Benchmarks

What `napari-semiseg benchmark` measured. The command writes the tables anew, each between its two
marks; what stands outside them is kept.
"""


def marks_of(key: str) -> tuple[str, str]:
    """Return the lines between which the section ``key`` stands."""
    return (
        f"<!-- {key}: written by `napari-semiseg benchmark` -->",
        f"<!-- end of {key} -->",
    )


def in_figures(cell: Cell) -> str:
    """Write a cell: numbers with three significant digits, a dash where nothing was measured."""
    if cell is None:
        return "–"
    if isinstance(cell, str):
        return cell
    if cell == int(cell) or abs(cell) >= 1000:
        return f"{cell:.0f}"
    return f"{cell:.3g}"


def show(section: Section) -> None:
    """Print a section on the screen."""
    cells = [[in_figures(cell) for cell in row.values()] for row in section.rows]
    table(section.title, tuple(section.rows[0]), cells)
    for remark in section.remarks:
        output.print(remark.replace("**", ""), highlight=False, markup=False)


def as_markdown(section: Section, origin: str) -> str:
    """Write a section as Markdown.

    Parameters
    ----------
    section : Section
        With at least one row.
    origin : str
        The command and the machine that made it, one line.
    """
    columns = list(section.rows[0])
    lines = [f"| {' | '.join(columns)} |", f"| {' | '.join(['---'] * len(columns))} |"]
    lines += [f"| {' | '.join(map(in_figures, row.values()))} |" for row in section.rows]
    remarks = "\n".join(f"- {remark}" for remark in section.remarks)
    return "\n\n".join([f"## {section.title}", origin, "\n".join(lines), remarks]).rstrip()


def write_tables(
    path: Path, sections: Mapping[str, Section], every_key: tuple[str, ...], origin: str
) -> None:
    """Put sections between their marks in ``path``, which is made where it is missing.

    Parameters
    ----------
    every_key : tuple of str
        All sections that there are: a new file gets the marks of each.
    origin : str
        As for `as_markdown`.

    Raises
    ------
    StudyError
        The file cannot be written, or has lost a mark.
    """
    if not path.exists():
        parts = ["\n\n".join(marks_of(key)) for key in every_key]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n\n".join([INTRODUCTION.rstrip(), *parts]) + "\n", encoding="utf-8")
        except OSError as problem:
            raise StudyError(
                f"The tables cannot be written to {path} ({problem.strerror}); choose another file."
            ) from problem
    for key, section in sections.items():
        write_into(path, as_markdown(section, origin), marks_of(key))
