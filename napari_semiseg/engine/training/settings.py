"""What a user decides about a training run; everything else is planned."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_semiseg.engine.errors import SettingsError

DEFAULT_MINUTES = 3.0


class TrainingSettings(BaseModel):
    """A training run.

    Give ``minutes`` or ``steps``; with neither, 3 minutes.

    Attributes
    ----------
    method : str
        Key of a method.
    preset : {"modern", "paper"}
        What trains best here, or the papers' own network, augmentation and schedule.
    minutes, steps : float, int or None
        The budget: optimiser time without previews and validation, or optimiser steps.
    seed : int
        Decides initial weights, crops, augmentation and dropout.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    devices, nodes : int
        Processes on each machine, one a device, and machines that train together. Each process takes
        the crops of the plan, so that a step sees as many times more; see `training.processes`.
    validation_cases : int or None
        Labelled cases set aside to follow the Dice during training; None sets aside one in five
        where there are at least ten.
    method_settings : dict
        Hyper-parameters of the method that differ from the paper's.
    plan_overrides : dict
        Fields of the plan set by hand, such as ``{"patch": (32, 64, 64)}``.
    checkpoint_seconds : float
        Time between two checkpoints.
    start_from : str or None
        Identifier of a run whose networks this one starts with, to learn on after labels changed;
        optimiser, schedule and budget are new.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: str = "ua-mt"
    preset: Literal["modern", "paper"] = "modern"
    minutes: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)
    device: str = "auto"
    devices: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    validation_cases: int | None = Field(default=None, ge=0)
    method_settings: dict[str, Any] = Field(default_factory=dict)
    plan_overrides: dict[str, Any] = Field(default_factory=dict)
    checkpoint_seconds: float = Field(default=30.0, gt=0)
    start_from: str | None = None

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingSettings:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("give minutes or steps, not both")
        return self

    @property
    def seconds(self) -> float | None:
        """The budget in seconds; None where steps are the budget."""
        if self.steps is not None:
            return None
        return 60.0 * (self.minutes or DEFAULT_MINUTES)


def training_settings(**values: Any) -> TrainingSettings:
    """Make the settings of a training run from what a user typed.

    Raises
    ------
    SettingsError
        A name that is no setting, or a value out of its range, in one sentence.
    """
    try:
        return TrainingSettings.model_validate(values)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "minutes or steps"
        raise SettingsError(
            f"The setting “{where}” is not possible: {first['msg'].removeprefix('Value error, ')}."
        ) from problem
