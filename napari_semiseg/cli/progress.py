"""The long verbs of the command line with their progress bars, and the tables that they print.

Engine imports are inside the functions, so that ``--help`` stays instant.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_semiseg.cli.console import clock, progress_bar, stop_on_interrupt, table, tell_people
from napari_semiseg.engine.drained import Drained

if TYPE_CHECKING:
    from napari_semiseg.engine.evaluation.held_out import Evaluation
    from napari_semiseg.engine.review.suggestions import Suggestion
    from napari_semiseg.engine.study import Study
    from napari_semiseg.engine.training.settings import TrainingSettings


def train_run(
    study: Study, settings: TrainingSettings, resume: str | None = None
) -> dict[str, Any]:
    """Train with a progress bar; Ctrl-C asks for a stop and waits for the checkpoint.

    Returns
    -------
    dict
        What the command reports; empty in all but the first of several processes, which are silent.
    """
    from napari_semiseg.engine.training import events
    from napari_semiseg.engine.training.loop import train as train_study

    work = train_study(study, settings, resume)
    if settings.devices * settings.nodes > 1 and _follows():
        for _ in work:
            pass  # the first process tells how it goes
        return {}
    data: dict[str, Any] = {}
    request: events.Stop | None = None
    with progress_bar() as bar, stop_on_interrupt() as interrupted:
        task = bar.add_task("Preparing", total=1.0, note="")
        event = next(work)
        while True:
            show_training(event, bar, task, data)
            if interrupted.is_set() and request is None:
                request = events.Stop()
                tell_people("Stopping; the checkpoint is being written …")
            try:
                event = work.send(request)
            except StopIteration:
                return data


def _follows() -> bool:
    """Whether this process was started to train under another, as the launchers tell it."""
    ranks = ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK")
    return any(os.environ.get(name, "0") != "0" for name in ranks)


def show_training(
    event: Any, bar: Any, task: Any, data: dict[str, Any], remarks: bool = True
) -> None:
    """Show an event of a training run on a progress bar and note in ``data`` what it tells.

    Parameters
    ----------
    remarks : bool
        Print the plan's reasons and validation results too.
    """
    from napari_semiseg.engine.inference.prediction import Predicting
    from napari_semiseg.engine.training import events

    match event:
        case events.Preparing(done, total, what):
            bar.update(task, note=f"{what} {done}/{total}")
        case events.Started():
            data |= {"run": event.run, "method": event.method_title, "device": event.device}
            data |= {"labelled": event.labelled, "unlabelled": event.unlabelled}
            data["plan"] = event.plan
            bar.update(task, description=event.method_title)
            for reason in event.plan["reasons"] if remarks else ():
                tell_people(reason, style="dim")
        case events.Progress():
            left = clock(event.remaining)
            note = f"step {event.step}, loss {event.scalars['loss']:.3f}, {left} left"
            bar.update(task, completed=event.share, note=note)
            data["loss"] = event.scalars["loss"]
        case events.Validated():
            data["validation_dice"] = event.mean
            if remarks:
                tell_people(
                    f"Dice on the validation cases after {event.step} steps: {event.mean:.3f}"
                )
        case Predicting():
            measured = (event.index + event.share) / event.total
            bar.update(task, description="Evaluating", completed=measured, note=event.case)
        case events.Warned(sentence):
            tell_people(sentence, style="yellow")
        case events.Finished():
            data |= {"status": event.status, "steps": event.steps}
            data["seconds"] = round(event.seconds, 1)


def evaluate_run(
    study: Study, run: str | None, device: str = "auto", largest_component: bool | None = None
) -> Evaluation:
    """Measure a run on the held-out cases with a progress bar."""
    from napari_semiseg.engine.evaluation.held_out import evaluate as evaluate_study
    from napari_semiseg.engine.inference.prediction import Predicting

    with progress_bar() as bar:
        task = bar.add_task("Evaluating", total=1.0, note="")
        work = Drained(evaluate_study(study, run, device, largest_component))
        for event in work:
            if isinstance(event, Predicting):
                done = (event.index + event.share) / event.total
                bar.update(task, completed=done, note=event.case)
        return work.result


def predict_to_files(
    study: Study,
    out: Path,
    run: str | None,
    cases: Sequence[str] | None,
    device: str,
    overlap: float,
    skip_air: bool,
) -> dict[str, dict[str, Any]]:
    """Predict cases with a progress bar and write their maps; return the files and seconds of each.

    Everything is as for `napari_semiseg.engine.inference.prediction.predict`, and ``out`` is the
    folder of the files.
    """
    from napari_semiseg.engine.inference.files import write_maps
    from napari_semiseg.engine.inference.prediction import CasePredicted, predict

    written: dict[str, dict[str, Any]] = {}
    names = {info.value: info.name for info in study.classes}
    with progress_bar() as bar:
        task = bar.add_task("Predicting", total=1.0, note="")
        for event in predict(study, run, cases, device=device, overlap=overlap, skip_air=skip_air):
            if isinstance(event, CasePredicted):
                files = write_maps(out, event.maps, names)
                written[event.case] = {kind: str(path) for kind, path in files.items()}
                written[event.case]["seconds"] = round(event.maps.seconds, 2)
            else:
                done = (event.index + event.share) / event.total
                bar.update(task, completed=done, note=event.case)
    return written


def suggest_next(study: Study, run: str | None, count: int, device: str) -> list[Suggestion]:
    """Choose what to label next with a progress bar."""
    from napari_semiseg.engine.review.suggestions import suggest_cases

    with progress_bar() as bar:
        task = bar.add_task("Looking at the scans", total=1.0, note="")
        work = Drained(suggest_cases(study, run, count, device=device))
        for step in work:
            done = (step.index + step.share) / step.total
            bar.update(task, completed=done, note=step.case)
        return work.result


def evaluation_table(evaluation: Evaluation) -> None:
    """Print the reported metrics of every case and class, and their means."""
    from napari_semiseg.engine.evaluation.measures import reported

    measures = reported()
    rows = [
        (case, name, *(each.text(scores[each.key]) for each in measures))
        for case, classes in [*evaluation.cases.items(), ("mean", evaluation.mean)]
        for name, scores in classes.items()
    ]
    if evaluation.left_out:
        tell_people(
            f"Not measured on {', '.join(evaluation.left_out)}: held-out scans whose labels are not "
            "finished, or from which the run learnt before they were locked away."
        )
    title = f"Run {evaluation.run} on {len(evaluation.cases)} held-out cases"
    heads = [f"{each.title} {each.unit}".strip() for each in measures]
    table(title, ("case", "class", *heads), rows)


def methods_table(data: dict[str, dict[str, Any]]) -> None:
    """Print the methods: key, paper, year, idea, and what a step costs (supervised = 1)."""
    rows = [
        (key, each["title"], each["year"], each["summary"], f"{each['cost']:g}")
        for key, each in data.items()
    ]
    table(f"{len(rows)} methods", ("key", "method", "year", "idea", "cost"), rows)
    tell_people("Cost: expected time of a step; a supervised one on as many crops is 1.", "dim")


def status_of(study: Study) -> dict[str, Any]:
    """Return the cases, their states and the runs of a study, ready for JSON."""
    cases = study.cases()
    labelled = sum(case.trains_with_label for case in cases)
    held_out = sum(case.held_out for case in cases)
    return {
        "study": str(study.path),
        "name": study.name,
        "classes": {info.value: info.name for info in study.classes},
        "cases": {case.name: str(case.state) for case in cases},
        "labelled": labelled,
        "unlabelled": len(cases) - labelled - held_out,
        "held_out": held_out,
        "runs": [
            {"run": run.identifier, "method": run.method, "status": run.status, "seed": run.seed}
            for run in study.runs.all()
        ],
    }


def status_tables(data: dict[str, Any]) -> None:
    """Print what `status_of` returned."""
    title = (
        f"{data['name']}: {data['labelled']} labelled, {data['unlabelled']} unlabelled, "
        f"{data['held_out']} held out"
    )
    table(title, ("case", "state"), list(data["cases"].items()))
    if data["runs"]:
        table(
            "Runs", ("run", "method", "status"), [tuple(run.values())[:3] for run in data["runs"]]
        )
