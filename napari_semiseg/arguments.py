"""What the options of the command line mean: settings of runs, and options with several values.

Called by the commands in `cli`. Engine imports are inside the functions, so that ``--help`` stays
instant.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from napari_semiseg.engine.errors import SettingsError

if TYPE_CHECKING:
    from napari_semiseg.engine.study import Study
    from napari_semiseg.engine.training.settings import TrainingSettings


def settings_of_a_run(
    study: Study,
    method: str | None,
    minutes: float | None,
    steps: int | None,
    seed: int,
    preset: str,
    assignments: Sequence[str],
    device: str,
    resume: str | None,
) -> TrainingSettings:
    """Gather the settings of a new run, or those of the run to resume with a new budget."""
    from napari_semiseg.engine.methods.registry import method_of
    from napari_semiseg.engine.training.preparation import settings_of_run
    from napari_semiseg.engine.training.settings import training_settings

    if minutes is not None and steps is not None:
        raise SettingsError("Give --minutes or --steps, not both.")
    changes: dict[str, Any] = {"device": device}
    if minutes is not None or steps is not None:
        changes |= {"minutes": minutes, "steps": steps}
    if resume is not None:
        if assignments or method not in (None, study.run(resume).method):
            raise SettingsError("A resumed run keeps its method and settings; leave them out.")
        return training_settings(**settings_of_run(study.run(resume)).model_dump() | changes)
    key = method or "ua-mt"
    fields = method_of(key).Settings.model_fields
    values = dict(assignment(text) for text in assignments)
    return training_settings(
        method=key,
        preset=preset,
        seed=seed,
        validation_cases=values.pop("validation_cases", None),
        method_settings={name: value for name, value in values.items() if name in fields},
        plan_overrides={name: value for name, value in values.items() if name not in fields},
        **changes,
    )


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
