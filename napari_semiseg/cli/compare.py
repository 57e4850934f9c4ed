"""The verb `compare` of the command line: its options, its progress, and its tables.

Engine imports are inside the functions, so that ``--help`` stays instant.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_semiseg.cli.arguments import assignment
from napari_semiseg.cli.console import Report, output, progress_bar, stop_on_interrupt, tell_people
from napari_semiseg.cli.progress import show_training
from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.errors import SettingsError, StudyError, TrainingError

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Study
    from napari_semiseg.engine.training.comparison import Measured
    from napari_semiseg.engine.training.settings import TrainingSettings

ALL = "all"
STOPPED = "The comparison was stopped; run the same command to go on where it stood."


@dataclass(frozen=True)
class ComparisonOptions:
    """What is compared.

    Attributes
    ----------
    runs : tuple of TrainingSettings
        The grid, twins included.
    command : str
        What to type to repeat it, with the study's name left open.
    """

    runs: tuple[TrainingSettings, ...]
    command: str

    @classmethod
    def of(
        cls,
        methods: Sequence[str],
        presets: Sequence[str] | None,
        seeds: Sequence[int] | None,
        steps: int | None,
        minutes: float | None,
        assignments: Sequence[str],
        device: str,
    ) -> ComparisonOptions:
        """Make the grid of what a user typed.

        Raises
        ------
        SettingsError
            An unknown method or preset, or no budget.
        """
        from napari_semiseg.engine.methods.registry import available_methods, method_of
        from napari_semiseg.engine.training.comparison import grid
        from napari_semiseg.engine.training.settings import training_settings

        if steps is None and minutes is None:
            raise SettingsError("Give a budget that every method gets: --steps, --minutes or both.")
        presets, seeds = list(presets or ["modern"]), list(seeds or [0])
        keys = list(available_methods()) if list(methods) == [ALL] else list(methods)
        for key in keys:
            method_of(key)
        values = dict(assignment(text) for text in assignments)
        shared = {"validation_cases": values.pop("validation_cases", None), "device": device}
        runs: list[TrainingSettings] = []
        for budget in ({"steps": steps}, {"minutes": minutes}):
            if next(iter(budget.values())) is None:
                continue
            for preset in presets:
                each = training_settings(preset=preset, plan_overrides=values, **shared, **budget)
                runs += grid(keys, [each.preset], seeds, each)
        words = ["napari-semiseg", "compare", "STUDY", "--methods", *methods]
        words += ["--presets", *presets, "--seeds", *map(str, seeds)]
        words += [] if steps is None else ["--steps", str(steps)]
        words += [] if minutes is None else ["--minutes", f"{minutes:g}"]
        words += [word for text in assignments for word in ("--set", text)]
        return cls(tuple(runs), shlex.join(words))


@dataclass(frozen=True)
class Compared:
    """What came of a comparison.

    Attributes
    ----------
    measured : list of Measured
        Runs with what they reached.
    failed : list of str
        Names of the runs that failed, each with its own message before.
    """

    measured: list[Measured]
    failed: list[str]


def compare_runs(
    study: Study,
    options: ComparisonOptions,
    out: Path | None,
    train_missing: bool = True,
    jobs: int = 1,
) -> Compared:
    """Train and measure what is missing, with a progress bar, or take what is there.

    The tables are written to ``out`` after each run. With several ``jobs`` as many runs go on at a
    time, and tell how they stand in lines.

    Raises
    ------
    TrainingError
        Ctrl-C was pressed; what is done is kept.
    StudyError
        Nothing is there and nothing is to be trained.
    """
    from napari_semiseg.engine.training.comparison import measured_runs
    from napari_semiseg.engine.training.preparation import unknown_parts

    for run in study.runs.all():
        for sentence in unknown_parts(run):
            tell_people(sentence, style="yellow")
    failed: list[str] = []
    if not train_missing:
        measured = measured_runs(study, options.runs)
    elif jobs == 1:
        measured = _train_and_measure(study, options, out)
    else:
        failed = _train_at_a_time(study, options, out, jobs)
        measured = measured_runs(study, options.runs)
    if not measured and failed:
        raise TrainingError(f"All {len(failed)} runs failed; their messages above tell why.")
    if not measured:
        raise StudyError(
            f"Study “{study.name}” has none of these runs yet; leave --no-train out to train them."
        )
    if out is not None:
        _write(study, options, measured, out)
        tell_people(f"The tables are in {out}.")
    return Compared(measured, failed)


def _train_and_measure(
    study: Study, options: ComparisonOptions, out: Path | None
) -> list[Measured]:
    from napari_semiseg.engine.training.comparison import CellStarted, compare, measured_runs

    total = len(options.runs)
    with progress_bar() as bar, stop_on_interrupt() as interrupted:
        overall = bar.add_task(f"{total} runs", total=total, note="")
        task = bar.add_task("", total=1.0, note="")
        work = Drained(compare(study, options.runs))
        for event in work:
            if interrupted.is_set():
                raise TrainingError(STOPPED)
            if isinstance(event, CellStarted):
                bar.update(overall, completed=event.index, note=_name(event.settings))
                bar.update(task, completed=0.0)
                if out is not None and event.index:
                    _write(study, options, measured_runs(study, options.runs), out)
            else:
                show_training(event, bar, task, {}, remarks=False)
    return work.result


def _train_at_a_time(
    study: Study, options: ComparisonOptions, out: Path | None, jobs: int
) -> list[str]:
    """Train and measure what is missing in several processes; return the names of failed runs."""
    from napari_semiseg.cli.jobs import JobRunner, places
    from napari_semiseg.engine.evaluation.held_out import reference_cases
    from napari_semiseg.engine.training.comparison import measured_runs

    reference_cases(study)
    missing = [settings for settings in options.runs if not measured_runs(study, [settings])]
    tell_people(f"{len(missing)} of {len(options.runs)} runs are to be trained, {jobs} at a time.")

    def write_tables() -> None:
        if out is not None:
            _write(study, options, measured_runs(study, options.runs), out)

    with stop_on_interrupt() as interrupted:
        runner = JobRunner(study, _name, tell_people, write_tables, interrupted)
        failed = runner.run(missing, places(options.runs[0].device, jobs))
    if interrupted.is_set():
        raise TrainingError(STOPPED)
    return failed


def _name(settings: TrainingSettings) -> str:
    budget = f"{settings.steps} steps" if settings.steps else f"{settings.minutes:g} min"
    return f"{settings.method}, {settings.preset}, seed {settings.seed}, {budget}"


def _write(study: Study, options: ComparisonOptions, measured: list[Measured], out: Path) -> None:
    from napari_semiseg.engine.training.comparison_table import markdown, write_into

    if measured:
        write_into(out, markdown(measured, _names(study), options.command, _about(study)))


def _names(study: Study) -> dict[int, str]:
    return {info.value: info.name for info in study.classes}


def _about(study: Study) -> str:
    """Say on what scans and what machine the figures were taken."""
    import torch

    from napari_semiseg.engine.planning.machine import describe_machine

    machine = describe_machine("auto")
    counts = (
        f"{len(study.labelled_cases())} labelled, {len(study.unlabelled_cases())} unlabelled and "
        f"{sum(case.is_reference for case in study.cases())} held-out scans"
    )
    return (
        f"Study “{study.name}”: {counts}. Device: {machine.device_name}, PyTorch "
        f"{torch.__version__.partition('+')[0]}. Every row has the same labels and the same budget; "
        "the last checkpoint is measured, on the scans' own grids. The last column compares each "
        "method with supervised training of the same network, preset, seed and budget, case by case."
    )


def comparison_tables(study: Study, compared: Compared, report: Report) -> None:
    """Print the tables, or every run's means as JSON; exit with 1 where runs have failed."""
    from napari_semiseg.engine.evaluation.measures import reported
    from napari_semiseg.engine.evaluation.metrics import mean_of
    from napari_semiseg.engine.training.comparison_table import markdown

    def entry(each: Measured) -> dict[str, Any]:
        overall = mean_of(each.metrics.values()).overall
        return {
            "run": each.run,
            "settings": each.settings.model_dump(mode="json"),
            "steps": each.steps,
            "seconds": each.seconds,
            **{measure.key: overall[measure.key] for measure in reported()},
            "cases": {case: metrics.mean_dice for case, metrics in each.metrics.items()},
        }

    text = markdown(compared.measured, _names(study), "", "")
    report.tell(
        {"runs": [entry(each) for each in compared.measured], "failed": compared.failed},
        lambda: output.print(text, markup=False, highlight=False),
    )
    if compared.failed:
        tell_people(
            f"{len(compared.failed)} runs failed: {'; '.join(compared.failed)}. The others are kept; "
            "run the same command to try again.",
            style="red",
        )
        sys.exit(1)
