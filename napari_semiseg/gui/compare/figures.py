"""The runs of a study with what they were measured to reach, and runs side by side with verdicts.

`compare_runs` is run on a worker's thread; the Compare page shows
what it returns. Only held-out scans that a run did not learn from count, and only figures that hold
for its weights and the labels of now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_semiseg.engine.errors import SemisegError, StudyError
from napari_semiseg.engine.evaluation.measures import compared
from napari_semiseg.engine.evaluation.metrics import CaseMetrics, mean_of, mean_score, score
from napari_semiseg.engine.evaluation.recorded import recorded_metrics
from napari_semiseg.engine.evaluation.verdict import compare_with_twin
from napari_semiseg.engine.study import Case, Run, Study

if TYPE_CHECKING:
    from napari_semiseg.engine.training.settings import TrainingSettings

LETTERS = "ABCDEF"
"""Names of the runs that are compared, in the order in which they were chosen."""

_BESIDE_THE_BUDGET = {"device", "checkpoint_seconds"}
"""Settings that leave what is learnt alone, so that twins may differ in them."""


@dataclass(frozen=True, eq=False)
class RunFigures:
    """A run and what it was measured to reach.

    Attributes
    ----------
    run : Run
        The run.
    title : str
        Of its method.
    metrics : dict of str to CaseMetrics
        By held-out case that counts for it.
    missing : tuple of str
        Held-out cases that count for it and that it has yet to be measured on.
    outdated : tuple of str
        Those of them that were measured before the run was trained further or a label was corrected.
    learnt_from, seen : tuple of str
        Held-out cases that it learnt from with their label, which do not count, or without it.
    twin : str or None
        The newest supervised run with the same labels, seed and budget.
    dice : dict of int or None to float or None
        Mean Dice of each class value over its cases, and under None of all classes.
    why_not : str or None
        Why the run cannot be measured.
    """

    run: Run
    title: str
    metrics: dict[str, CaseMetrics]
    missing: tuple[str, ...]
    outdated: tuple[str, ...]
    learnt_from: tuple[str, ...]
    seen: tuple[str, ...]
    twin: str | None
    dice: dict[int | None, float | None]
    why_not: str | None

    @property
    def identifier(self) -> str:
        """Of the run."""
        return self.run.identifier

    @property
    def name(self) -> str:
        """Number of the run and short title of its method, such as ``"008 UG-MCL"``."""
        _, _, short = self.title.rstrip(")").rpartition("(")
        return f"{self.identifier.split('-')[0]} {short}"


@dataclass(frozen=True, eq=False)
class Column:
    """A run of a comparison.

    Attributes
    ----------
    letter : str
        One of `LETTERS`.
    figures : RunFigures
        The run.
    metrics : dict of str to CaseMetrics
        By case; the cases that all measured runs of the comparison share.
    means : dict
        Mean over these cases by measure and class value, with None for all classes.
    verdict : str
        One sentence on how it does against its yardstick.
    """

    letter: str
    figures: RunFigures
    metrics: dict[str, CaseMetrics]
    means: dict[tuple[str, int | None], float | None]
    verdict: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    runs : tuple of RunFigures
        All runs of the study, newest first.
    held_out : tuple of str
        Held-out cases with a label, in the order of the study.
    columns : tuple of Column
        The runs that were chosen.
    notes : tuple of str
        What one has to know to read the figures, a sentence each.
    to_measure : tuple of str
        Runs that have to be measured before the comparison is complete, yardsticks included.
    """

    runs: tuple[RunFigures, ...]
    held_out: tuple[str, ...]
    columns: tuple[Column, ...] = ()
    notes: tuple[str, ...] = ()
    to_measure: tuple[str, ...] = ()

    def column(self, run: str | None) -> Column | None:
        """Return the column of a run, or None."""
        return next((each for each in self.columns if each.figures.identifier == run), None)

    @property
    def measured(self) -> tuple[Column, ...]:
        """The columns that have figures."""
        return tuple(column for column in self.columns if column.metrics)


def compare_runs(study: Study, chosen: Sequence[str] | None, yardstick: str | None) -> Comparison:
    """Read what runs were measured to reach, and compare those that are chosen.

    Parameters
    ----------
    chosen : sequence of str or None
        Identifiers, as many as there are `LETTERS` at most; None takes the newest run that can be
        compared with its supervised twin, else the two newest that were measured.
    yardstick : str or None
        Identifier of the run to compare with; None compares each with its supervised twin.
    """
    held_out = [case for case in study.held_out_cases() if case.is_reference]
    runs = study.runs.all()
    twins = _twins(runs)
    figures = {run.identifier: _figures(study, run, held_out, twins) for run in reversed(runs)}
    names = _first_choice(figures) if chosen is None else [run for run in chosen if run in figures]
    selected = [figures[name] for name in names[: len(LETTERS)]]
    shared = _shared_cases(selected)
    columns = tuple(
        _column(letter, each, shared, _verdict(each, yardstick, figures))
        for letter, each in zip(LETTERS, selected, strict=False)
    )
    needed = [each.identifier for each in selected]
    needed += [each.twin for each in selected if each.twin] if yardstick is None else [yardstick]
    to_measure = [
        name
        for name in dict.fromkeys(needed)
        if name in figures and figures[name].missing and _can_be_measured(figures[name])
    ]
    return Comparison(
        tuple(figures.values()),
        tuple(case.name for case in held_out),
        columns,
        _notes(columns, len(shared), len(held_out)),
        tuple(to_measure),
    )


def _column(letter: str, figures: RunFigures, shared: Sequence[str], verdict: str) -> Column:
    metrics = {case: figures.metrics[case] for case in shared if case in figures.metrics}
    means = {
        (measure.key, value): mean_score(metrics.values(), measure.key, value)
        for measure in compared()
        for value in figures.dice
    }
    return Column(letter, figures, metrics, means, verdict)


def _figures(
    study: Study, run: Run, held_out: Sequence[Case], twins: dict[str, str | None]
) -> RunFigures:
    from napari_semiseg.engine.methods.registry import title_of

    learnt_from = set(run.learnt_from)
    cases = [case for case in held_out if case.name not in learnt_from]
    recorded = recorded_metrics(study, run, cases)
    values = (
        None,
        *sorted({value for each in recorded.current.values() for value in each.classes}),
    )
    return RunFigures(
        run,
        title_of(run.method),
        recorded.current,
        tuple(case.name for case in cases if case.name not in recorded.current),
        recorded.outdated,
        tuple(case.name for case in held_out if case.name in learnt_from),
        tuple(case.name for case in cases if case.name in set(run.unlabelled)),
        twins.get(run.identifier),
        {value: mean_score(recorded.current.values(), "dice", value) for value in values},
        _why_not(run, bool(recorded.current)),
    )


def _can_be_measured(figures: RunFigures) -> bool:
    from napari_semiseg.engine.methods.registry import available_methods

    return figures.why_not is None and figures.run.method in available_methods()


def _why_not(run: Run, measured: bool) -> str | None:
    from napari_semiseg.engine.methods.registry import method_of_run

    if run.status == "running":
        return "This run is still training: it can be measured when it has ended."
    if run.status == "failed":
        return "This run ended with a problem, so it is not measured."
    if not run.has_checkpoint:
        return "This run has nothing to measure: it ended before its network was saved."
    try:
        method_of_run(run.method, run.identifier)
    except StudyError as problem:
        return None if measured else str(problem)
    return None


def _twins(runs: Sequence[Run]) -> dict[str, str | None]:
    """Return the supervised twin of every other run: the newest with the same labels and terms."""
    from napari_semiseg.engine.training.comparison import TWIN, twin_of

    supervised: dict[tuple[str, str], str] = {}
    for run in runs:
        terms = terms_of(run)
        if run.method == TWIN and terms is not None and run.status != "failed":
            supervised[run.label_hash, terms.model_dump_json(exclude=_BESIDE_THE_BUDGET)] = (
                run.identifier
            )
    twins: dict[str, str | None] = {}
    for run in runs:
        terms = terms_of(run)
        if run.method == TWIN or terms is None:
            continue
        try:
            wanted = twin_of(terms).model_dump_json(exclude=_BESIDE_THE_BUDGET)
        except SemisegError:  # its method is not installed here, so nobody knows its twin
            continue
        twins[run.identifier] = supervised.get((run.label_hash, wanted))
    return twins


def terms_of(run: Run) -> TrainingSettings | None:
    """Return the settings of a run; None where another version recorded them."""
    from napari_semiseg.engine.training.preparation import settings_of_run

    try:
        return settings_of_run(run)
    except SemisegError:
        return None


def _first_choice(figures: dict[str, RunFigures]) -> list[str]:
    measured = [name for name, each in figures.items() if each.metrics]
    for name in measured:
        twin = figures[name].twin
        if twin in measured:
            return [name, twin]
    return measured[:2]


def _shared_cases(figures: Sequence[RunFigures]) -> list[str]:
    """Return the cases that every measured run was measured on, so that means are comparable."""
    measured = [each.metrics for each in figures if each.metrics]
    if not measured:
        return []
    return [case for case in measured[0] if all(case in metrics for metrics in measured[1:])]


def _verdict(figures: RunFigures, yardstick: str | None, known: dict[str, RunFigures]) -> str:
    from napari_semiseg.engine.training.comparison import TWIN

    if yardstick is None and figures.run.method == TWIN:
        return (
            f"{figures.name} learns from labelled scans only: the others are measured against it."
        )
    if yardstick == figures.identifier:
        return f"{figures.name} is what the others are measured against."
    if not figures.metrics:
        return f"{figures.name} is not measured yet."
    other = known.get(figures.twin or "") if yardstick is None else known.get(yardstick)
    if other is None:
        return (
            f"{figures.name}: to tell whether the unlabelled scans helped, train “Supervised only” "
            "with the same labels, time and seed."
        )
    difference = compare_with_twin(_dice(figures), _dice(other))
    if difference is None:
        return (
            f"{figures.name}: {other.name}, its yardstick, is not measured on the same scans yet."
        )
    sentence = difference.sentence(figures.name, None if yardstick is None else other.name)
    stopped = [each.name for each in (figures, other) if each.run.status == "stopped"]
    if stopped:
        sentence += f" {' and '.join(stopped)} stopped early, so the terms are not equal."
    elif yardstick is not None and _shared_terms(figures.run) != _shared_terms(other.run):
        sentence += " They learnt from other labels, or for another time: the terms are not equal."
    return sentence


def _shared_terms(run: Run) -> tuple[str, str | None]:
    """Return what runs on equal terms have in common, whatever their methods and seeds."""
    terms = terms_of(run)
    own = {"method", "method_settings", "plan_overrides", "seed", *_BESIDE_THE_BUDGET}
    return run.label_hash, None if terms is None else terms.model_dump_json(exclude=own)


def _dice(figures: RunFigures) -> dict[str, float]:
    scores = {case: score(metrics, "dice") for case, metrics in figures.metrics.items()}
    return {case: dice for case, dice in scores.items() if dice is not None}


def _notes(columns: Sequence[Column], shared: int, held_out: int) -> tuple[str, ...]:
    notes = []
    measured = [column for column in columns if column.metrics]
    if measured and shared < held_out:
        notes.append(
            f"Means are over the {shared} of {held_out} held-out scans that count for all of them "
            "and that they were measured on."
        )
    for column in columns:
        figures = column.figures
        if figures.learnt_from:
            notes.append(
                f"{column.letter} learnt from the labels of {len(figures.learnt_from)} scans that "
                "were held out later: those do not count."
            )
        if figures.seen and figures.twin is not None:
            notes.append(
                f"{column.letter} saw {len(figures.seen)} of the held-out scans while training, "
                "without their labels, which flatters it."
            )
        if figures.outdated:
            notes.append(
                f"{column.letter} was trained further, or labels were corrected, since "
                f"{len(figures.outdated)} of its scans were measured: measure again."
            )
        one_empty = mean_of(column.metrics.values()).overall.one_empty if column.metrics else 0
        if one_empty:
            times = "once" if one_empty == 1 else f"{one_empty} times"
            notes.append(
                f"{column.letter} marked a structure that is not there, or missed one, {times}: "
                "Dice 0, and no distance counts."
            )
    return tuple(notes)
