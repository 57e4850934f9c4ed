"""The tables of a comparison, as Markdown that can be committed beside the command that made it.

Only the part between two marks of a file is written anew, so that what people wrote about the figures
stays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import SettingsError, StudyError
from napari_semiseg.engine.evaluation.measures import MEASURES, Measure, reported
from napari_semiseg.engine.evaluation.metrics import mean_of, mean_of_defined
from napari_semiseg.engine.evaluation.verdict import (
    Difference,
    compare_with_twin,
    mean_over_seeds,
)
from napari_semiseg.engine.methods.registry import title_of
from napari_semiseg.engine.training.comparison import TWIN, Measured, twin_of
from napari_semiseg.engine.training.settings import TrainingSettings

BEGIN = "<!-- tables: written by `napari-semiseg compare` -->"
END = "<!-- end of the tables -->"
BEHIND = 0.02  # Dice below the twin that calls for an explanation


@dataclass(frozen=True)
class Row:
    """A method in a table: the means over its seeds and the held-out cases.

    Attributes
    ----------
    method, name : str
        Key, and the key with what sets the run apart.
    seeds : int
        Runs.
    steps, step_seconds : float
        Optimiser steps of a run and seconds of a step.
    dice_by_class : dict
        Mean Dice of each class value.
    dice, spread : float
        Mean Dice, and its standard deviation over the seeds (NaN with one).
    others : dict of str to float or None
        The other metrics that are reported, by key.
    difference : Difference or None
        To the supervised twin; None for the twin itself and where it is missing.
    """

    method: str
    name: str
    seeds: int
    steps: float
    step_seconds: float
    dice_by_class: dict[int, float | None]
    dice: float
    spread: float
    others: dict[str, float | None]
    difference: Difference | None


def rows_of(measured: Sequence[Measured]) -> list[Row]:
    """Summarise runs of one preset and one budget by method, in the order in which they come."""
    groups: dict[tuple[str, str], list[Measured]] = {}
    for each in measured:
        groups.setdefault(_group(each.settings), []).append(each)
    all_settings = [each.settings for each in measured]
    return [
        _row(_name(runs[0].settings, all_settings), runs, _twins_of(runs, groups))
        for runs in groups.values()
    ]


def _twins_of(
    runs: Sequence[Measured], groups: Mapping[tuple[str, str], Sequence[Measured]]
) -> Sequence[Measured] | None:
    try:
        return groups.get(_group(twin_of(runs[0].settings)))
    except SettingsError:  # the method is not installed here, so nobody knows its twin
        return None


def _group(settings: TrainingSettings) -> tuple[str, str]:
    """Name what runs that differ in their seed only have in common."""
    common = settings.model_copy(update={"seed": 0})
    return settings.method, common.model_dump_json()


def _row(name: str, runs: Sequence[Measured], twins: Sequence[Measured] | None) -> Row:
    means = [mean_of(run.metrics.values()) for run in runs]
    dice = [mean.overall["dice"] or 0.0 for mean in means]
    settings = runs[0].settings
    difference = None
    if twins and settings.method != TWIN:
        seeds = {run.settings.seed for run in runs} & {twin.settings.seed for twin in twins}
        difference = compare_with_twin(_scores(runs, seeds), _scores(twins, seeds))
    return Row(
        method=settings.method,
        name=name,
        seeds=len(runs),
        steps=float(np.mean([run.steps for run in runs])),
        step_seconds=float(np.mean([run.seconds / max(run.steps, 1) for run in runs])),
        dice_by_class={
            value: mean_of_defined(mean.classes[value]["dice"] for mean in means)
            for value in means[0].classes
        },
        dice=float(np.mean(dice)),
        spread=float(np.std(dice, ddof=1)) if len(dice) > 1 else math.nan,
        others={
            each.key: mean_of_defined(mean.overall[each.key] for mean in means)
            for each in _others()
        },
        difference=difference,
    )


def _name(settings: TrainingSettings, all_settings: Sequence[TrainingSettings]) -> str:
    """Tell the twin of a method with a network of its own from the common one."""
    own = settings.plan_overrides if settings.method == TWIN else {}
    changes = [
        f"{field} {value}"
        for field, value in own.items()
        if any(other.plan_overrides.get(field) != value for other in all_settings)
    ]
    return f"{settings.method} ({', '.join(changes)})" if changes else settings.method


def _scores(runs: Sequence[Measured], seeds: set[int]) -> dict[str, float]:
    return mean_over_seeds(
        [
            {case: metrics.mean_dice for case, metrics in run.metrics.items()}
            for run in runs
            if run.settings.seed in seeds
        ]
    )


def _others() -> list[Measure]:
    return [each for each in reported() if each.key != "dice"]


def markdown_table(rows: Sequence[Row], class_names: Mapping[int, str]) -> str:
    """Write rows as a Markdown table."""
    classes = [f"Dice {class_names.get(value, value)}" for value in rows[0].dice_by_class]
    head = ["method", "seeds", "steps", "s a step", *classes, "mean Dice"]
    head += [f"{each.title} {each.unit}".strip() for each in _others()]
    head.append("Dice − twin (95 % interval)")
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        spread = "" if math.isnan(row.spread) else f" ± {row.spread:.3f}"
        cells = [row.name, str(row.seeds), f"{row.steps:.0f}", f"{row.step_seconds:.3f}"]
        cells += [MEASURES["dice"].text(value) for value in row.dice_by_class.values()]
        cells += [f"**{row.dice:.3f}**{spread}"]
        cells += [each.text(row.others[each.key]) for each in _others()]
        lines.append(_line([*cells, _difference(row.difference)]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _difference(difference: Difference | None) -> str:
    if difference is None:
        return "–"
    if difference.low is None or difference.high is None:
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} ({difference.low:+.3f}…{difference.high:+.3f})"


def markdown(
    measured: Sequence[Measured], class_names: Mapping[int, str], command: str, about: str
) -> str:
    """Write all tables of a comparison: one for each preset and budget."""
    tables: dict[str, list[Measured]] = {}
    for each in measured:
        tables.setdefault(_heading(each.settings), []).append(each)
    parts = [about, f"```bash\n{command}\n```" if command else ""]
    for heading, runs in tables.items():
        rows = rows_of(runs)
        parts += [f"### {heading}", markdown_table(rows, class_names)]
        parts.append("\n".join(f"- {line}" for line in _sentences(rows)))
    return "\n\n".join(part for part in parts if part)


def _heading(settings: TrainingSettings) -> str:
    budget = f"{settings.steps} steps" if settings.steps else f"{settings.minutes:g} minutes"
    return f"Preset {settings.preset}, {budget}"


def _sentences(rows: Sequence[Row]) -> list[str]:
    sentences = []
    for row in rows:
        if row.difference is not None:
            sentence = row.difference.sentence(title_of(row.method))
            behind = row.difference.mean < -BEHIND
            sentences.append(f"{sentence} **See the notes.**" if behind else sentence)
    return sentences


def write_into(path: Path, text: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put tables between two marks of a Markdown file, which is made where it is missing.

    Raises
    ------
    StudyError
        The file cannot be written, or has lost one of its marks.
    """
    first, last = marks
    between = f"{first}\n\n{text}\n\n{last}"
    try:
        if path.exists():
            before, begin, rest = path.read_text(encoding="utf-8").partition(first)
            _, end, after = rest.partition(last)
            if not begin or not end:
                raise StudyError(
                    f"{path} has no marks between which to write the tables; add the lines “{first}” "
                    f"and “{last}”, or name another file."
                )
            whole = before + between + after
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = f"# Comparison of methods\n\n{between}\n"
        path.write_text(whole, encoding="utf-8")
    except OSError as problem:
        raise StudyError(
            f"The tables cannot be written to {path} ({problem.strerror}); choose another file."
        ) from problem
