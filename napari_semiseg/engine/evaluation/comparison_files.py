"""A comparison of runs as files: a table for people in Markdown, and every figure as CSV.

The desk writes them where the user says, on a worker's thread. Both carry the notice that they are
for research only.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation.measures import MEASURES, compared
from napari_semiseg.engine.evaluation.metrics import CaseMetrics, mean_score

NOTICE = "For research use only; not a medical device."


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison.

    Attributes
    ----------
    identifier, title : str
        Of the run and of its method.
    metrics : mapping of str to CaseMetrics
        By case; the same cases for every run of the comparison.
    verdict : str
        One sentence on how it does against its yardstick; may be empty.
    """

    identifier: str
    title: str
    metrics: Mapping[str, CaseMetrics]
    verdict: str = ""


def comparison_csv(runs: Sequence[ComparedRun], class_names: Mapping[int, str]) -> str:
    """Return every figure as comma-separated values: a row for each run, scan and structure."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    columns = {each.column: key for key, each in MEASURES.items() if each.column}
    rows.writerow(["run", "method", "scan", "structure", *columns, "notice"])
    for run in runs:
        for case, metrics in run.metrics.items():
            for value, of_class in metrics.classes.items():
                scores = [of_class[key] for key in columns.values()]
                figures = ["" if each is None else f"{each:.6g}" for each in scores]
                name = class_names.get(value, str(value))
                rows.writerow([run.identifier, run.title, case, name, *figures, NOTICE])
    return text.getvalue()


def comparison_markdown(
    about: str,
    runs: Sequence[ComparedRun],
    class_names: Mapping[int, str],
    notes: Sequence[str] = (),
    more: str = "",
) -> str:
    """Return the means over the scans as a Markdown table, with verdicts and notes below.

    Parameters
    ----------
    class_names : mapping of int to str
        Names of the class values; each has a column for its Dice.
    notes : sequence of str
        What a reader has to know, a sentence each.
    """
    head = ["run", "method", *(f"Dice {name}" for name in class_names.values())]
    head += [f"mean {each.title}" if each.key == "dice" else each.heading for each in compared()]
    lines = [_line(head), _line(["---"] * len(head)), *(_row(run, class_names) for run in runs)]
    verdicts = "\n".join(f"- {run.verdict}" for run in runs if run.verdict)
    remarks = "\n".join(f"- {note}" for note in notes)
    parts = [
        "# Comparison of runs",
        about,
        "\n".join(lines),
        verdicts,
        remarks,
        more,
        f"*{NOTICE}*",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _row(run: ComparedRun, class_names: Mapping[int, str]) -> str:
    cases = list(run.metrics.values())
    dice = MEASURES["dice"]
    cells = [run.identifier, run.title]
    cells += [dice.text(mean_score(cases, "dice", value)) for value in class_names]
    cells += [each.text(mean_score(cases, each.key)) for each in compared()]
    return _line(cells)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def write_tables(path: Path, markdown: str, values: str) -> tuple[Path, Path]:
    """Write the two files of a comparison beside each other.

    Parameters
    ----------
    markdown, values : str
        As `comparison_markdown` and `comparison_csv` give them.

    Raises
    ------
    StudyError
        The disk refuses.
    """
    name = path.stem if path.suffix in (".md", ".csv") else path.name
    written = path.parent / f"{name}.md", path.parent / f"{name}.csv"
    try:
        for file, text in zip(written, (markdown, values), strict=True):
            file.write_text(text, encoding="utf-8")
    except OSError as problem:
        raise StudyError(
            f"The table cannot be written to {path.parent} ({problem.strerror}); choose another "
            "folder."
        ) from problem
    return written
