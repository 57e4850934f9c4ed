"""Section (g): the time from Train to the first prediction that is useful on held-out scans.

The clock runs while the run prepares, trains and saves; it stands while the held-out scans are
measured, which nobody waits for who trains.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from napari_semiseg.cli.benchmark.section import Row, Section
from napari_semiseg.cli.benchmark.workload import Workload
from napari_semiseg.cli.demo import sample_study
from napari_semiseg.engine.drained import drained
from napari_semiseg.engine.evaluation.held_out import evaluate
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training import events
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings, training_settings

USEFUL, USEFUL_IN_SAMPLE = 0.82, 0.75
"""Mean held-out Dice in a study of the user, by default, and in the sample brains."""

LOOKS = 12
"""How often the held-out scans are measured in the course of the budget."""


def measure_first_prediction(workload: Workload) -> Section:
    """Train until the mean held-out Dice is useful or the budget is used.

    The run stays in the study; its cache of prepared scans is deleted first, so that preparing them
    counts.

    Raises
    ------
    StudyError
        The study that was named cannot be opened or has no held-out label.
    """
    settings = training_settings(
        method=workload.first_method,
        minutes=workload.minutes,
        device=workload.device,
        validation_cases=0,
        checkpoint_seconds=60 * workload.minutes / LOOKS,
    )
    with ExitStack() as stack:
        if workload.study is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            study = stack.enter_context(sample_study(Path(folder)))
            useful = USEFUL_IN_SAMPLE if workload.useful is None else workload.useful
        else:
            study = stack.enter_context(Study.open(workload.study))
            useful = USEFUL if workload.useful is None else workload.useful
        shutil.rmtree(study.cache_folder, ignore_errors=True)
        rows, first_step = _looks(study, settings, useful)
        return _section(study, settings, useful, rows, first_step)


def _looks(study: Study, settings: TrainingSettings, useful: float) -> tuple[list[Row], float]:
    """Return what each look at the held-out scans found, and the seconds to the first step."""
    rows: list[Row] = []
    first_step, waited, run, steps = 0.0, 0.0, "", 0
    request: events.Stop | None = None
    with closing(train(study, settings)) as work:
        while True:
            resumed = time.perf_counter()
            try:
                event = work.send(request) if waited else next(work)
            except StopIteration:
                return rows, first_step
            waited += time.perf_counter() - resumed
            if isinstance(event, events.Started):
                run = event.run
            elif isinstance(event, events.Progress):
                steps, first_step = event.step, first_step or waited
            elif isinstance(event, events.Saved) and request is None:
                dice = held_out_dice(study, run, settings.device)
                rows.append({"s after Train": waited, "steps": float(steps), "held-out Dice": dice})
                if dice >= useful:
                    request = events.Stop()


def held_out_dice(study: Study, run: str, device: str) -> float:
    """Return the mean Dice of the last checkpoint of ``run``; nothing is recorded."""
    return drained(evaluate(study, run, device, largest_component=False)).dice or 0.0


def _section(
    study: Study, settings: TrainingSettings, useful: float, rows: list[Row], first_step: float
) -> Section:
    counts = (
        f"{len(study.labelled_cases())} labelled, {len(study.unlabelled_cases())} unlabelled and "
        f"{sum(case.is_reference for case in study.cases())} held-out scans"
    )
    last = rows[-1]
    reached = (
        f"A mean held-out Dice of {useful:g} was reached {last['s after Train']:.0f} s after Train."
        if isinstance(last["held-out Dice"], float) and last["held-out Dice"] >= useful
        else f"A mean held-out Dice of {useful:g} was not reached within {settings.minutes:g} minutes."
    )
    remarks = (
        f"**{reached}** The first step was done after {first_step:.1f} s.",
        f"Study “{study.name}”: {counts}; {settings.method}, preset {settings.preset}, a budget of "
        f"{settings.minutes:g} minutes, no cache of prepared scans. The clock stands while the "
        "held-out scans are measured.",
    )
    return Section("From Train to the first useful prediction", tuple(rows), remarks)
