"""The verb `benchmark` of the command line: its options, its progress, and its tables.

Imported by the command line, so that everything heavy is imported when the verb runs.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_semiseg.cli.benchmark.workload import QUICK, Shape, Workload
from napari_semiseg.cli.console import Report, one_sentence, progress_bar, tell_people
from napari_semiseg.engine.errors import SettingsError

if TYPE_CHECKING:
    from napari_semiseg.cli.benchmark.section import Section

SECTIONS = {
    "machine": "machine:measure_machine",
    "steps": "steps:measure_steps",
    "loading": "loading:measure_loading",
    "distance": "distance_maps:measure_distance_maps",
    "scan": "whole_scan:measure_whole_scan",
    "metrics": "metrics:measure_metrics",
    "memory": "memory:measure_memory",
    "activations": "activations:measure_activations",
    "first-prediction": "first_prediction:measure_first_prediction",
    "start-up": "start_up:measure_start_up",
}
"""Where each section is measured, by its key, in the order of the tables."""


Sections = Annotated[
    list[str] | None, typer.Option(help=f"Sections: {', '.join(SECTIONS)}; all by default.")
]
Methods = Annotated[
    list[str] | None, typer.Option(help="Keys of the methods to step; all by default.")
]
Patches = Annotated[
    list[str] | None, typer.Option(help="Crop, such as 112x112x80 (x, y, z); may be repeated.")
]
Filters = Annotated[int | None, typer.Option(help="Filters of the networks.", min=4)]
Repeats = Annotated[int | None, typer.Option(help="Timed runs of each.", min=1)]
Scan = Annotated[
    Path | None, typer.Option(help="Scan file to predict; a generated one by default.")
]
StudyFolder = Annotated[
    Path | None,
    typer.Option(
        help="Study to train in until a prediction is useful, which adds a run to it and empties its "
        "cache; the sample brains by default."
    ),
]
Useful = Annotated[
    float | None,
    typer.Option(
        help="Mean held-out Dice of a useful prediction; 0.82, or 0.75 for the sample brains.",
        min=0.0,
        max=1.0,
    ),
]
FirstMethod = Annotated[str, typer.Option(help="Method to train until a prediction is useful.")]
Minutes = Annotated[
    float | None, typer.Option(help="Budget until a prediction is useful.", min=0.01)
]
Quick = Annotated[bool, typer.Option("--quick", help="Tiny sizes, for a first look.")]
Out = Annotated[Path | None, typer.Option(help="Markdown file whose tables to write anew.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def benchmark(
    only: Sections = None,
    methods: Methods = None,
    patch: Patches = None,
    filters: Filters = None,
    repeats: Repeats = None,
    scan: Scan = None,
    study: StudyFolder = None,
    useful: Useful = None,
    first_method: FirstMethod = "supervised",
    minutes: Minutes = None,
    quick: Quick = False,
    out: Out = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Measure speed and memory on this machine, side by side with the usual ways."""
    with one_sentence(as_json):
        given = {
            "methods": tuple(methods or ()),
            "patches": tuple(parse_patch(text) for text in patch) if patch else None,
            "filters": filters, "repeats": repeats, "scan_file": scan, "study": study,
            "useful": useful, "first_method": first_method, "minutes": minutes, "device": device,
        }  # fmt: skip
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        workload = replace(QUICK if quick else Workload(), **changes)
        sections = measure(chosen_sections(only), workload, out)
        _tell(sections, workload, as_json)


def parse_patch(text: str) -> Shape:
    """Read a crop as people write it, x first, and return it as (z, y, x).

    Raises
    ------
    SettingsError
        It is not three whole numbers of at least 16.
    """
    try:
        x, y, z = (int(extent) for extent in text.lower().replace("×", "x").split("x"))
    except ValueError as problem:
        raise SettingsError(
            f"“{text}” is no crop; write three numbers such as 112x112x80."
        ) from problem
    if any(extent % 16 for extent in (x, y, z)) or min(x, y, z) < 16:
        raise SettingsError(f"The crop “{text}” cannot be halved; use multiples of 16.")
    return z, y, x


def chosen_sections(only: Sequence[str] | None) -> list[str]:
    """Return the keys of the sections to measure, in the order of the tables.

    Raises
    ------
    SettingsError
        There is no such section.
    """
    unknown = [key for key in only or () if key not in SECTIONS]
    if unknown:
        raise SettingsError(
            f"The benchmark has no section “{unknown[0]}”; choose from {', '.join(SECTIONS)}."
        )
    return [key for key in SECTIONS if not only or key in only]


def section_function(key: str) -> Callable[[Workload], Section]:
    """Import what measures the section ``key``."""
    module, name = SECTIONS[key].split(":")
    function: Callable[[Workload], Section] = getattr(
        import_module(f"napari_semiseg.cli.benchmark.{module}"), name
    )
    return function


def measure(keys: Sequence[str], workload: Workload, out: Path | None = None) -> dict[str, Section]:
    """Measure sections one after the other; each is in ``out`` as soon as it is there."""
    from napari_semiseg.cli.benchmark.machine import short_description
    from napari_semiseg.cli.benchmark.table import write_tables

    command = shlex.join(["napari-semiseg", *sys.argv[1:]])
    origin = f"`{command}` on {short_description(workload.device)}."
    measured: dict[str, Section] = {}
    with progress_bar() as bar:
        task = bar.add_task("Measuring", total=len(keys), note="")
        for key in keys:
            bar.update(task, note=key)
            measured[key] = section_function(key)(workload)
            if out is not None:
                write_tables(out, {key: measured[key]}, tuple(SECTIONS), origin)
            bar.update(task, advance=1)
    if out is not None:
        tell_people(f"The tables are in {out}.")
    return measured


def _tell(sections: dict[str, Section], workload: Workload, as_json: bool) -> None:
    from napari_semiseg.cli.benchmark.machine import short_description
    from napari_semiseg.cli.benchmark.table import show

    def print_all() -> None:
        for section in sections.values():
            show(section)

    data = {
        "machine": short_description(workload.device),
        "patches": workload.patches,
        "filters": workload.filters,
        "repeats": workload.repeats,
        "sections": {key: section.to_dict() for key, section in sections.items()},
    }
    Report(as_json).tell(data, print_all)
