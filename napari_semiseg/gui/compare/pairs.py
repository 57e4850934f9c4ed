"""Measuring runs, reading what two of them predict, and writing tables, away from the main thread.

These functions run on worker threads. They touch neither
viewer nor widgets; generators yield what progress shows. Held-out scans stay locked.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import SemisegError, StudyError
from napari_semiseg.engine.evaluation.comparison_files import (
    ComparedRun,
    comparison_csv,
    comparison_markdown,
    write_tables,
)
from napari_semiseg.engine.study import Case, Run, Study
from napari_semiseg.gui.compare.figures import Column, Comparison, terms_of
from napari_semiseg.gui.open_study.records import JobStep

_MADE_WITH = "run_finished"
"""Attribute of a stored prediction: when the run had ended whose weights made it."""


@dataclass(frozen=True, eq=False)
class Differences:
    """Where two predictions of a scan differ.

    Attributes
    ----------
    structure : int or None
        Class value that was looked at alone; None compares all.
    voxels : ndarray
        (z, y, x) uint8, 1 where they differ.
    millilitres, marked : float
        Volume in which they differ, and that either of them marks.
    """

    structure: int | None
    voxels: np.ndarray
    millilitres: float
    marked: float


@dataclass(frozen=True, eq=False)
class Pair:
    """What two runs predict of one scan.

    Attributes
    ----------
    case : Case
        The scan.
    runs : tuple of str
        Identifiers.
    predictions : tuple of ndarray
        (z, y, x) class values of each.
    differences : Differences
        Between the two.
    """

    case: Case
    runs: tuple[str, str]
    predictions: tuple[np.ndarray, np.ndarray]
    differences: Differences


def measure_runs(study: Study, runs: Sequence[str]) -> Generator[JobStep, None, int]:
    """Measure runs on the held-out cases and record the figures.

    Raises
    ------
    StudyError
        After all others are measured: some cannot be, each told in a sentence.
    """
    from napari_semiseg.engine.evaluation.held_out import CaseEvaluated, evaluate

    problems = []
    for index, run in enumerate(runs):
        yield JobStep(index / len(runs), f"loading {run}")
        try:
            for event in evaluate(study, run):
                if not isinstance(event, CaseEvaluated):
                    done = (event.index + event.share) / event.total
                    detail = f"{run}, scan {event.index + 1} of {event.total}"
                    yield JobStep((index + done) / len(runs), detail)
        except SemisegError as problem:
            problems.append(str(problem))
    if problems:
        raise StudyError(" ".join(problems))
    return len(runs)


def read_pair(
    study: Study, name: str, runs: tuple[str, str], structure: int | None = None
) -> Generator[JobStep, None, Pair]:
    """Read what two runs predict of a scan; predict it first where they have not yet.

    Predictions are kept in the study, and made anew once their run was trained further.

    Parameters
    ----------
    structure : int or None
        Class value whose differences are wanted; None compares all.
    """
    first = yield from _prediction(study, study.runs.get(runs[0]), name)
    second = yield from _prediction(study, study.runs.get(runs[1]), name)
    case = study.case(name)
    return Pair(case, runs, (first, second), differences_of(case, (first, second), structure))


def _prediction(study: Study, run: Run, name: str) -> Generator[JobStep, None, np.ndarray]:
    from napari_semiseg.engine.inference.prediction import CasePredicted, predict

    if "prediction" in study.runs.maps.kinds(run, name):
        stored = study.runs.maps.load(run, name, "prediction")
        if stored.attributes.get(_MADE_WITH) == run.finished:
            return np.asarray(stored.array[...])
    yield JobStep(None, f"loading {run.identifier}")
    for event in predict(study, run.identifier, [name], kinds=(), store=False):
        if isinstance(event, CasePredicted):
            prediction = event.maps.prediction
        else:
            yield JobStep(event.share, f"predicting {name} with {run.identifier}")
    study.runs.maps.save(run, name, "prediction", prediction, **{_MADE_WITH: run.finished})
    return prediction


def differences_of(
    case: Case, predictions: tuple[np.ndarray, np.ndarray], structure: int | None
) -> Differences:
    """Return where two predictions of a scan differ.

    Parameters
    ----------
    predictions : tuple of ndarray
        (z, y, x) class values.
    structure : int or None
        Class value to look at alone; None compares all.
    """
    first, second = predictions
    if structure is None:
        voxels, marked = first != second, (first > 0) | (second > 0)
    else:
        one, other = first == structure, second == structure
        voxels, marked = one != other, one | other
    voxel_ml = case.geometry.voxel_volume_ml
    millilitres = np.count_nonzero(voxels) * voxel_ml
    return Differences(
        structure, voxels.view(np.uint8), millilitres, np.count_nonzero(marked) * voxel_ml
    )


def save_comparison(study: Study, comparison: Comparison, path: Path) -> tuple[Path, Path]:
    """Write the table of a comparison as Markdown and as CSV."""
    columns = comparison.measured
    names = {info.value: info.name for info in study.classes}
    runs = [
        ComparedRun(each.figures.identifier, each.figures.title, each.metrics, each.verdict)
        for each in columns
    ]
    cases = len(columns[0].metrics) if columns else 0
    about = f"{cases} held-out scans that no training has learnt from; distances in mm."
    letters = [f"{each.letter} is run {each.figures.identifier}." for each in columns]
    notes = [" ".join(letters), *comparison.notes] if comparison.notes else []
    table = comparison_markdown(about, runs, names, notes, _by_method(columns, names))
    return write_tables(path, table, comparison_csv(runs, names))


def _by_method(columns: Sequence[Column], names: dict[int, str]) -> str:
    """Return the tables of `napari-semiseg compare`: seeds averaged, each method with its twin."""
    from napari_semiseg.engine.methods.assembly import load_checkpoint
    from napari_semiseg.engine.training.comparison import Measured
    from napari_semiseg.engine.training.comparison_table import markdown

    measured = []
    for column in columns:
        run, terms = column.figures.run, terms_of(column.figures.run)
        if terms is not None:
            try:
                progress = load_checkpoint(run.folder).progress
            except StudyError:  # of another format: the figures stand in the other table
                continue
            steps, seconds = int(progress["step"]), float(progress["seconds"])
            measured.append(Measured(terms, run.identifier, steps, seconds, column.metrics))
    about = "Means over seeds; differences are to the supervised twins in the table."
    return markdown(measured, names, "", f"## By method\n\n{about}") if measured else ""
