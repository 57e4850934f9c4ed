"""What the options of the command line mean: settings of runs, and options with several values.

Engine imports are inside the functions, so that ``--help`` stays instant.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_semiseg.engine.errors import SettingsError

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Study
    from napari_semiseg.engine.training.settings import TrainingSettings

StudyPath = Annotated[
    Path, typer.Argument(help="The study's folder, NAME.semiseg.", metavar="STUDY")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
RunName = Annotated[
    str | None, typer.Option("--run", help="Run, such as 003-ua-mt; the newest by default.")
]
Minutes = Annotated[float | None, typer.Option(help="Budget of optimiser time.")]
Steps = Annotated[int | None, typer.Option(help="Budget in optimiser steps.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Devices = Annotated[
    int,
    typer.Option(
        help="Devices of this machine that train together; each takes the crops of a step, so that "
        "a step sees as many times more.",
        min=1,
    ),
]
Nodes = Annotated[
    int,
    typer.Option(
        help="Machines that train together, each with as many devices; start the same command on "
        "each with MASTER_ADDR, MASTER_PORT and its NODE_RANK set, or by SLURM or torchrun.",
        min=1,
    ),
]
Overlap = Annotated[
    float,
    typer.Option(
        help="Share of a window that its neighbour sees again: less is faster and shows seams.",
        min=0.0,
        max=0.9,
    ),
]
KeepAir = Annotated[
    bool,
    typer.Option(
        "--keep-air", help="Look at the air around the patient too, which is background otherwise."
    ),
]
Jobs = Annotated[
    int,
    typer.Option(help="Runs at a time: one a graphics card, or sharing the CPU's cores.", min=1),
]


def settings_of_a_run(
    study: Study,
    method: str | None,
    minutes: float | None,
    steps: int | None,
    seed: int,
    preset: str | None,
    assignments: Sequence[str],
    where: Mapping[str, Any],
    resume: str | None,
    start_from: str | None = None,
) -> TrainingSettings:
    """Gather the settings of a new run, or those of the run to resume with a new budget.

    A run that starts from another keeps the other's settings where no new ones are given. ``where`` are
    the settings that name devices, which a resumed run may change.
    """
    from napari_semiseg.engine.methods.registry import method_of
    from napari_semiseg.engine.training.preparation import settings_of_run
    from napari_semiseg.engine.training.settings import training_settings

    if minutes is not None and steps is not None:
        raise SettingsError("Give --minutes or --steps, not both.")
    if resume is not None and start_from is not None:
        raise SettingsError("Give --resume or --start-from, not both.")
    changes: dict[str, Any] = dict(where)
    if minutes is not None or steps is not None:
        changes |= {"minutes": minutes, "steps": steps}
    if resume is not None:
        if assignments or method not in (None, study.runs.get(resume).method):
            raise SettingsError("A resumed run keeps its method and settings; leave them out.")
        return training_settings(**settings_of_run(study.runs.get(resume)).model_dump() | changes)
    former = None if start_from is None else settings_of_run(study.runs.get(start_from))
    key = method or (former.method if former else "ua-mt")
    fields = method_of(key).Settings.model_fields
    values = dict(assignment(text) for text in assignments)
    aside = former.validation_cases if former else None
    given: dict[str, Any] = {
        "method": key,
        "preset": preset or (former.preset if former else "modern"),
        "seed": seed,
        "validation_cases": values.pop("validation_cases", aside),
        "method_settings": {name: value for name, value in values.items() if name in fields},
        "plan_overrides": {name: value for name, value in values.items() if name not in fields},
        "start_from": start_from,
    }
    if former is not None and former.method == key:  # else training refuses in one sentence
        for part in ("method_settings", "plan_overrides"):
            given[part] = getattr(former, part) | given[part]
    return training_settings(**given, **changes)


def assignment(text: str) -> tuple[str, Any]:
    """Split ``NAME=VALUE``; the value is JSON where it can be read so, else text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"“--set {text}” needs the form NAME=VALUE.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def spread(arguments: Sequence[str], options: Collection[str]) -> list[str]:
    """Let each of ``options`` be followed by several values, as in ``--cases A B C``."""
    spread_out: list[str] = []
    inside: str | None = None
    for argument in arguments:
        if argument in options:
            inside = argument
            continue
        if argument.startswith("-"):
            inside = None
        if inside is not None:
            spread_out.append(inside)
        spread_out.append(argument)
    return spread_out
