"""The methods that can be chosen: those of this package and those that other packages register.

Another package adds methods through the entry-point group ``napari_semiseg.methods``, each naming a
subclass of `Method`. Read by training, the settings form, the command line and the benchmark.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.contract import Method, MethodSettings
from napari_semiseg.engine.methods.cpcl import CyclicPrototypeConsistency
from napari_semiseg.engine.methods.dtc import DualTaskConsistency
from napari_semiseg.engine.methods.dtml import DualTaskMutualLearning
from napari_semiseg.engine.methods.mean_teacher import MeanTeacher
from napari_semiseg.engine.methods.reciprocal import ReciprocalLearning
from napari_semiseg.engine.methods.supervised import Supervised
from napari_semiseg.engine.methods.ua_mt import UncertaintyAwareMeanTeacher
from napari_semiseg.engine.methods.ug_mcl import MutualConsistency

ENTRY_POINT_GROUP = "napari_semiseg.methods"
BUILT_IN: tuple[type[Method], ...] = (
    Supervised,
    MeanTeacher,
    UncertaintyAwareMeanTeacher,
    DualTaskConsistency,
    DualTaskMutualLearning,
    ReciprocalLearning,
    MutualConsistency,
    CyclicPrototypeConsistency,
)


@cache
def available_methods() -> dict[str, type[Method]]:
    """Return every method by its key; built-in ones first and never replaced."""
    methods = {method.key: method for method in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        method = entry.load()
        methods.setdefault(method.key, method)
    return methods


def method_of(key: str) -> type[Method]:
    """Return the method with that key.

    Raises
    ------
    SettingsError
        There is none; the message names the nearest.
    """
    methods = available_methods()
    if key in methods:
        return methods[key]
    near = difflib.get_close_matches(key, methods, n=1)
    hint = f"did you mean “{near[0]}”?" if near else f"choose one of {', '.join(methods)}."
    raise SettingsError(f"There is no method “{key}”; {hint}")


def settings_of(method: type[Method], values: Mapping[str, Any]) -> MethodSettings:
    """Check ``values`` against the settings of ``method`` and fill in the paper's defaults.

    Raises
    ------
    SettingsError
        An unknown name, or a value of the wrong type or out of its range.
    """
    fields = method.Settings.model_fields
    for name in values:
        if name not in fields:
            known = ", ".join(fields) or "none"
            raise SettingsError(f"{method.title} has no setting “{name}”; it has: {known}.")
    try:
        return method.Settings.model_validate(dict(values))
    except ValidationError as problem:
        first = problem.errors()[0]
        raise SettingsError(
            f"The setting “{first['loc'][0]}” of {method.title} cannot be {first['input']!r}: "
            f"{first['msg'][0].lower()}{first['msg'][1:]}."
        ) from problem
