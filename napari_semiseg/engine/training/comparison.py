"""Methods compared on equal terms: the same labels, seeds, presets and budgets, each with its twin.

A comparison is a grid of runs in one study. Runs that are there already with the same settings and
labels are taken as they are, so that a comparison that was interrupted goes on where it stood and one
more method costs one more run.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation.held_out import (
    CaseEvaluated,
    cases_to_measure,
    evaluate,
    reference_cases,
)
from napari_semiseg.engine.evaluation.metrics import CaseMetrics
from napari_semiseg.engine.evaluation.recorded import recorded_metrics
from napari_semiseg.engine.inference.prediction import Predicting
from napari_semiseg.engine.methods.assembly import load_checkpoint
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.planning.plan import Preset
from napari_semiseg.engine.study import Run, Study
from napari_semiseg.engine.training.events import Event, Warned
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.preparation import (
    BUDGET_CHANGED,
    settings_of_run,
    unknown_parts,
)
from napari_semiseg.engine.training.settings import TrainingSettings

TWIN = "supervised"


@dataclass(frozen=True)
class CellStarted:
    """A run of the grid begins, or is taken from the study."""

    settings: TrainingSettings
    index: int
    total: int


@dataclass(frozen=True)
class Measured:
    """A run of the grid with what it reached on the held-out cases.

    Attributes
    ----------
    settings : TrainingSettings
        What it was trained with.
    run : str
        Identifier in the study.
    steps : int
        Optimiser steps that it took.
    seconds : float
        Optimiser time, without previews, validation and preparation.
    metrics : dict
        Metrics of each held-out case.
    """

    settings: TrainingSettings
    run: str
    steps: int
    seconds: float
    metrics: dict[str, CaseMetrics]


def twin_of(settings: TrainingSettings) -> TrainingSettings:
    """Return the supervised run that a run is compared with: same network, seed and budget."""
    wanted = method_of(settings.method).plan_overrides(settings.preset)
    return settings.model_copy(
        update={
            "method": TWIN,
            "method_settings": {},
            "plan_overrides": wanted | settings.plan_overrides,
        }
    )


def grid(
    methods: Sequence[str],
    presets: Sequence[Preset],
    seeds: Sequence[int],
    shared: TrainingSettings,
) -> list[TrainingSettings]:
    """List the runs of a comparison, each after its twin.

    Parameters
    ----------
    presets : sequence of {"modern", "paper"}
        Each method is trained with each of them.
    seeds : sequence of int
        And with each seed.
    """
    runs: list[TrainingSettings] = []
    for preset in presets:
        for seed in seeds:
            for key in methods:
                settings = shared.model_copy(update={"method": key, "preset": preset, "seed": seed})
                for each in (twin_of(settings), settings):
                    if each not in runs:
                        runs.append(each)
    return runs


def compare(
    study: Study, runs: Sequence[TrainingSettings]
) -> Generator[CellStarted | Event | Predicting | CaseEvaluated, None, list[Measured]]:
    """Train and measure every run of a grid that the study does not have yet.

    Parameters
    ----------
    runs : sequence of TrainingSettings
        As `grid` gives them.

    Yields
    ------
    CellStarted, Event, Predicting or CaseEvaluated
        Progress. Closing the generator stops the run in progress with a checkpoint.

    Returns
    -------
    list of Measured
        In the order of ``runs``.

    Raises
    ------
    SemisegError
        The study has no labelled or no held-out case, or a run fails.
    """
    reference_cases(study)
    measured = []
    for index, settings in enumerate(runs):
        yield CellStarted(settings, index, len(runs))
        problems: list[str] = []
        run = find_run(study, settings, problems)
        for sentence in problems:
            yield Warned(sentence)
        if run is None:
            run = yield from train(study, settings)
        if not _is_measured(study, run):
            yield from evaluate(study, run.identifier, settings.device)
        measured.append(_measured(study, run, settings))
    return measured


def measured_runs(study: Study, runs: Sequence[TrainingSettings]) -> list[Measured]:
    """Return those runs of a grid that the study has trained and measured already."""
    found = [(settings, find_run(study, settings)) for settings in runs]
    return [
        _measured(study, run, settings)
        for settings, run in found
        if run is not None and _is_measured(study, run)
    ]


def find_run(
    study: Study, settings: TrainingSettings, problems: list[str] | None = None
) -> Run | None:
    """Return the newest finished run with these settings and the scans of now, if there is one.

    Of the method's own settings, and of the plan that it wants, those count that it really had: a run
    from before a default changed is another one, and so is one that went on with another budget. A run
    with settings that this version does not know is another one, too.

    Parameters
    ----------
    problems : list of str, optional
        Is given a sentence for each run that would do, but whose checkpoint cannot be read.
    """
    labels = study.labels.snapshot_hash()
    unlabelled = {case.name for case in study.unlabelled_cases()}
    wanted = _apart_from_the_method(settings)
    own = settings_of(method_of(settings.method), settings.method_settings).model_dump(mode="json")
    for run in reversed(study.runs.all()):
        usable = run.status == "finished" and run.has_checkpoint
        usable = usable and not run.details.get(BUDGET_CHANGED)
        usable = usable and run.label_hash == labels and set(run.unlabelled) == unlabelled
        usable = usable and _had_the_plan(run, settings)
        usable = usable and not unknown_parts(run)
        if usable and _apart_from_the_method(settings_of_run(run)) == wanted:
            try:
                had = load_checkpoint(run.folder).settings
            except StudyError as problem:
                (problems if problems is not None else []).append(str(problem))
                continue
            if all(had.get(name, value) == value for name, value in own.items()):
                return run
    return None


def _apart_from_the_method(settings: TrainingSettings) -> dict[str, Any]:
    return settings.model_copy(update={"method_settings": {}}).model_dump(mode="json")


def _had_the_plan(run: Run, settings: TrainingSettings) -> bool:
    """Tell whether a run had the network, schedule and so on that its method wants by name today.

    Numbers may have been lowered for the memory of the device, and do not count.
    """
    wanted = method_of(settings.method).plan_overrides(settings.preset) | settings.plan_overrides
    plan = run.settings.get("plan", {})
    return all(
        plan.get(part, {}).get(field) == value
        for (part, _, field), value in ((name.partition("."), wanted[name]) for name in wanted)
        if field and isinstance(value, str)
    )


def _is_measured(study: Study, run: Run) -> bool:
    cases = cases_to_measure(study, run)
    return len(recorded_metrics(study, run, cases).current) == len(cases)


def _measured(study: Study, run: Run, settings: TrainingSettings) -> Measured:
    progress = load_checkpoint(run.folder).progress
    metrics = recorded_metrics(study, run, cases_to_measure(study, run)).current
    return Measured(
        settings, run.identifier, int(progress["step"]), float(progress["seconds"]), metrics
    )
