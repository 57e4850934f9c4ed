"""The verbs of the project without a display: the same studies, runs and maps as in napari.

Every command that reports takes ``--json``; every problem is one sentence on standard error and exit
status 1. Heavy imports are inside the commands, so that ``--help`` is instant.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_semiseg.cli.arguments import (
    Device,
    Devices,
    Jobs,
    Json,
    KeepAir,
    Minutes,
    Nodes,
    Overlap,
    RunName,
    Steps,
    StudyPath,
    settings_of_a_run,
    spread,
)
from napari_semiseg.cli.benchmark.command import benchmark
from napari_semiseg.cli.console import (
    Report,
    clock,
    one_sentence,
    progress_bar,
    table,
    tell_people,
)
from napari_semiseg.cli.progress import (
    evaluate_run,
    evaluation_table,
    methods_table,
    predict_to_files,
    status_of,
    status_tables,
    suggest_next,
    train_run,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Study

app = typer.Typer(
    help="Label 3D medical scans with few annotations. For research use only; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command()(benchmark)


@app.command()
def new(
    study: StudyPath,
    classes: Annotated[str, typer.Option(help="Structures, such as 1=anterior,2=posterior.")],
    name: Annotated[str | None, typer.Option(help="Name to show; the folder's by default.")] = None,
    as_json: Json = False,
) -> None:
    """Create a study."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study, parse_classes

        with Study.create(study, parse_classes(classes), name) as made:
            data = {"study": str(made.path), "name": made.name, "classes": _classes(made)}
            Report(as_json).tell(data, f"Created study “{made.name}” in {made.path}.")


@app.command()
def add(
    study: StudyPath,
    scans: Annotated[list[Path], typer.Argument(help="Scan files, folders, DICOM folders.")],
    labels: Annotated[
        Path | None, typer.Option(help="Folder of label files named like the scans.")
    ] = None,
    labelled: Annotated[
        Path | None, typer.Option(help="File with the cases whose labels to take, one a line.")
    ] = None,
    held_out: Annotated[
        Path | None, typer.Option("--held-out", help="File with the cases to lock away.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Add scans, take over labels by file name, and lock cases away for evaluation."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study, imports

        with Study.open(study) as opened, progress_bar() as bar:
            lists = imports.CaseLists.read(labelled, held_out)
            task = bar.add_task("Adding scans", total=None, note="")
            summary = imports.ImportSummary()
            for step in imports.import_cases(opened, scans, labels, lists):
                summary = summary.with_step(step)
                bar.update(task, advance=1, note=step.case)
                if step.problem:
                    tell_people(step.problem, style="yellow")
        Report(as_json).tell(summary.to_dict(), summary.sentence)
        if summary.problems:
            sys.exit(1)


@app.command()
def label(
    study: StudyPath,
    case: Annotated[str, typer.Argument(help="Name of the case.")],
    label_file: Annotated[Path, typer.Argument(help="Label file on the scan's grid.")],
    as_json: Json = False,
) -> None:
    """Take over a label file as the finished label of a case."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study

        with Study.open(study) as opened:
            opened.labels.import_file(case, label_file)
            state = str(opened.case(case).state)
        Report(as_json).tell(
            {"case": case, "state": state}, f"“{case}” is {state} with {label_file}."
        )


@app.command()
def train(
    study: StudyPath,
    method: Annotated[str | None, typer.Option(help="Key of a method; see `methods`.")] = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Annotated[int, typer.Option(help="Decides every random draw.")] = 0,
    preset: Annotated[str | None, typer.Option(help="modern (default) or paper.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE of the method or the plan; may be repeated."),
    ] = None,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    resume: Annotated[str | None, typer.Option(help="Run to continue.")] = None,
    start_from: Annotated[
        str | None,
        typer.Option("--start-from", help="Run whose networks to start with, on labels of now."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a method, or continue a run; Ctrl-C stops it with a checkpoint."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study

        where = {"device": device, "devices": devices, "nodes": nodes}
        with Study.open(study) as opened:
            chosen = settings_of_a_run(
                opened, method, minutes, steps, seed, preset, settings or [], where, resume,
                start_from,
            )  # fmt: skip
            data = train_run(opened, chosen, resume)
        if data:
            took = f"{data['steps']} steps in {clock(data['seconds'])}."
            Report(as_json).tell(data, f"Run {data['run']} {data['status']}: {took}")


@app.command()
def predict(
    study: StudyPath,
    out: Annotated[Path, typer.Option(help="Folder for the maps.")],
    run: RunName = None,
    cases: Annotated[
        list[str] | None, typer.Option(help="Cases; all unlabelled ones by default.")
    ] = None,
    overlap: Overlap = 0.5,
    keep_air: KeepAir = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Predict cases and write every map of each on the scan's own grid."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study

        with Study.open(study) as opened:
            written = predict_to_files(opened, out, run, cases, device, overlap, not keep_air)
        Report(as_json).tell(
            {"cases": written}, f"Wrote the maps of {len(written)} cases to {out}."
        )


@app.command()
def evaluate(
    study: StudyPath,
    run: RunName = None,
    device: Device = "auto",
    largest_component: Annotated[
        bool | None,
        typer.Option(
            help="Measure with or without clearing islands, and record nothing; by default as the "
            "run's plan says."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a run on the held-out cases: overlap, and distances in mm."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study

        with Study.open(study) as opened:
            evaluation = evaluate_run(opened, run, device, largest_component)
        Report(as_json).tell(evaluation.to_dict(), lambda: evaluation_table(evaluation))


@app.command()
def compare(
    study: StudyPath,
    methods: Annotated[list[str], typer.Option(help="Keys, such as ua-mt dtc, or all.")],
    presets: Annotated[
        list[str] | None, typer.Option(help="modern (default), paper or both.")
    ] = None,
    seeds: Annotated[
        list[int] | None, typer.Option(help="Seeds, such as 0 1; 0 by default.")
    ] = None,
    steps: Steps = None,
    minutes: Minutes = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of every plan; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Markdown file whose tables to write anew after each run.")
    ] = None,
    train_missing: Annotated[
        bool,
        typer.Option("--train/--no-train", help="Train what is missing, or show what is there."),
    ] = True,
    jobs: Jobs = 1,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train methods on equal terms, each with its supervised twin, and compare them on held-out cases.

    Runs that the study has already are not repeated: an interrupted comparison goes on where it stood.
    With both --steps and --minutes, every method is trained with each budget.
    """
    with one_sentence(as_json):
        from napari_semiseg.cli.compare import ComparisonOptions, compare_runs, comparison_tables
        from napari_semiseg.engine.study import Study

        options = ComparisonOptions.of(
            methods, presets, seeds, steps, minutes, settings or [], device
        )
        with Study.open(study) as opened:
            compared = compare_runs(opened, options, out, train_missing, jobs)
            comparison_tables(opened, compared, Report(as_json))


@app.command()
def export(
    study: StudyPath,
    out: Annotated[Path, typer.Option(help="Folder for the labels.")],
    as_json: Json = False,
) -> None:
    """Write human and accepted labels on the scans' own grids."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study, export_labels

        with Study.open(study) as opened:
            files = [str(path) for path in export_labels(opened, out)]
        Report(as_json).tell({"files": files}, f"Wrote {len(files)} labels to {out}.")


@app.command()
def suggest(
    study: StudyPath,
    run: RunName = None,
    count: Annotated[int, typer.Option(help="How many scans.", min=1)] = 5,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Suggest which scans to label next, with which slices to begin, and why."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study

        with Study.open(study) as opened:
            found = suggest_next(opened, run, count, device)
        rows = [(each.case, each.reason, "; ".join(map(str, each.slices))) for each in found]
        Report(as_json).tell(
            {"suggestions": [each.to_dict() for each in found]},
            lambda: table("Label next", ("scan", "why", "begin with"), rows),
        )


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods."""
    with one_sentence(as_json):
        from napari_semiseg.engine.methods.registry import available_methods

        data = {
            key: {
                "title": method.title,
                "summary": method.summary,
                "paper": str(method.paper),
                "year": method.paper.year,
                "cost": round(method.cost.relative, 2),
                "settings": method.Settings.model_json_schema().get("properties", {}),
            }
            for key, method in available_methods().items()
        }
        Report(as_json).tell({"methods": data}, lambda: methods_table(data))


@app.command()
def status(study: StudyPath, as_json: Json = False) -> None:
    """Show the cases, their states and the runs of a study."""
    with one_sentence(as_json):
        from napari_semiseg.engine.study import Study

        with Study.open(study) as opened:
            data = status_of(opened)
        Report(as_json).tell(data, lambda: status_tables(data))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Print versions, device, Qt and free memory, and what to fix."""
    with one_sentence(as_json):
        from napari_semiseg.cli.doctor import examine

        findings = examine()
        Report(as_json).tell(findings.to_dict(), findings.print)
        if findings.fatal:
            sys.exit(1)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the study, maps and picture.")] = Path(
        "demo_output"
    ),
    minutes: Annotated[float, typer.Option(help="Training time.")] = 2.5,
    open_napari: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open napari; decided by the screen.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run the main job on the shipped sample data: study, labels, training, maps, a picture."""
    with one_sentence(as_json):
        from napari_semiseg.cli.demo import run_demo

        data = run_demo(out, minutes)
        Report(as_json).tell(
            data,
            f"Held-out Dice {data['dice']:.3f} after {minutes:g} minutes with "
            f"{data['labelled']} labelled scans.\nPicture: {data['picture']}\nMaps: {data['maps']}",
        )
        if not as_json and (open_napari if open_napari is not None else _has_screen()):
            _open_viewer(Path(data["study"]))


@app.command(name="open")
def open_study(study: StudyPath) -> None:
    """Open a study in napari."""
    with one_sentence(False):
        from napari_semiseg.engine.study import Study

        Study.open(study).close()
        _open_viewer(study)


def _classes(study: Study) -> dict[int, str]:
    return {info.value: info.name for info in study.classes}


def _has_screen() -> bool:
    import os

    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _open_viewer(study: Path) -> None:
    from napari_semiseg.gui.hooks.launch import open_viewer

    open_viewer(study)


def main() -> None:
    """Run the command line."""
    app(args=spread(sys.argv[1:], ("--cases", "--methods", "--only", "--presets", "--seeds")))
