"""Starting a run with the networks of an earlier one, to learn on after labels changed.

Only networks are taken over. Optimiser, schedule, budget and everything that a method remembers of
the earlier run begin anew, for the labels are other ones now. What the weights depend on (voxel size,
patch, intensities, network) stays as it was; what a recipe decides may change.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.assembly import Checkpoint, load_checkpoint
from napari_semiseg.engine.methods.contract import Method
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.settings import TrainingSettings

KEPT = ("spacing", "patch", "normalisation", "network")
"""Parts of the plan that weights are made for."""


def starting_checkpoint(study: Study, settings: TrainingSettings) -> Checkpoint | None:
    """Return the checkpoint that a run starts with; None where it starts afresh.

    Raises
    ------
    StudyError
        There is no such run, or it has no checkpoint.
    SettingsError
        It was trained with another method.
    """
    if settings.start_from is None:
        return None
    checkpoint = load_checkpoint(study.runs.get(settings.start_from).folder)
    if checkpoint.method != settings.method:
        raise SettingsError(
            f"Run {settings.start_from} was trained with {checkpoint.method}, and its networks are "
            f"of no use to {settings.method}; choose {checkpoint.method}, or start afresh."
        )
    return checkpoint


def plan_for_weights(planned: Plan, former: Plan, settings: TrainingSettings) -> Plan:
    """Return the plan of a run that starts with the weights of another.

    Parameters
    ----------
    planned : Plan
        What would be planned without them.
    settings : TrainingSettings
        Names the run, and what the user has set by hand.

    Raises
    ------
    SettingsError
        Classes, channels or preset are others, or the user set something else that the weights
        depend on.
    """
    run = settings.start_from
    if planned.class_values != former.class_values:
        raise SettingsError(
            f"Run {run} knows the classes {_listed(former.class_values)} and the study has "
            f"{_listed(planned.class_values)} now; start afresh."
        )
    if planned.channels != former.channels:
        raise SettingsError(
            f"Run {run} was trained on scans with {former.channels} channels and these have "
            f"{planned.channels}; start afresh."
        )
    if planned.preset != former.preset:
        raise SettingsError(
            f"Run {run} was trained with the preset “{former.preset}”, not “{planned.preset}”; "
            f"choose “{former.preset}”, or start afresh."
        )
    for name in settings.plan_overrides:
        if name.partition(".")[0] in KEPT and _value(planned, name) != _value(former, name):
            raise SettingsError(
                f"The weights of run {run} were trained with another {name}; leave “{name}” out, or "
                "start afresh."
            )
    kept: dict[str, Any] = {name: getattr(former, name) for name in KEPT}
    kept["reasons"] = (*former.reasons, f"Weights: those that run {run} ended with.")
    return planned.model_copy(update=kept)


def load_networks(method: Method, checkpoint: Checkpoint, run: str) -> None:
    """Give the networks of ``method`` the weights of a checkpoint, and nothing else of it.

    Raises
    ------
    SettingsError
        They do not fit: the method's settings make other networks.
    """
    stored = checkpoint.state["networks"]
    try:
        for name, network in method.networks().items():
            network.load_state_dict(stored[name])
    except (KeyError, RuntimeError) as problem:
        raise SettingsError(
            f"The networks of run {run} do not fit these settings of {method.title}; take the "
            "settings of that run, or start afresh."
        ) from problem


def _value(plan: Plan, name: str) -> Any:
    return reduce(getattr, name.split("."), plan)


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))
