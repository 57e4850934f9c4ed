"""From a study and settings to everything that the loop needs: cases, plan, method, sampler.

Reads and normalises scans (the slow part, reported as `Preparing` events), plans, builds the method
or takes it out of a checkpoint, and opens the run's record in the study.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from napari_semiseg.engine.errors import SettingsError, TrainingError
from napari_semiseg.engine.methods.assembly import Checkpoint, assemble, load_checkpoint
from napari_semiseg.engine.methods.contract import Method, MethodSettings
from napari_semiseg.engine.methods.distance_head import maps_of_whole_cases
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.planning.fingerprint import take_fingerprint
from napari_semiseg.engine.planning.machine import Machine, describe_machine
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.sampling.batches import BatchSampler
from napari_semiseg.engine.sampling.patch_cache import CachedCase, Labels, cache_cases
from napari_semiseg.engine.study import Case, Run, Study
from napari_semiseg.engine.training.budget import Budget
from napari_semiseg.engine.training.events import PREVIEW_KINDS, Event, Preparing, Warned
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.training.warm_start import (
    load_networks,
    plan_for_weights,
    starting_checkpoint,
)

VALIDATE_FROM = 10  # labelled cases; below, every label is worth more in training
VALIDATION_SHARE = 0.2
MOST_VALIDATION_CASES = 5


@dataclass(eq=False)
class Work:
    """A training run in progress: the state of the loop."""

    study: Study
    run: Run
    settings: TrainingSettings
    machine: Machine
    method: Method
    sampler: BatchSampler
    budget: Budget
    validation: list[Case]
    step: int = 0
    seconds: float = 0.0
    stop: bool = False
    release: bool = False
    shown_case: str | None = None
    shown_kinds: tuple[str, ...] = PREVIEW_KINDS
    prototypes: Tensor | None = None
    """Of the weights at ``prototypes_at`` seconds, for previews only."""
    prototypes_at: float = 0.0
    last_save: float = 0.0
    skipped_in_a_row: int = 0
    spent_on: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Share of the budget used."""
        return self.budget.share(self.step, self.seconds)

    def progress(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of the loop."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "seed": self.settings.seed,
            "streams": self.sampler.state_dict(),
        }


def prepare(
    study: Study, settings: TrainingSettings, resume: str | None
) -> Generator[Event, None, Work]:
    """Prepare a new run, or continue run ``resume``.

    Raises
    ------
    TrainingError
        No labelled case, or a resumed run that has used its budget.
    SettingsError
        A setting that does not exist or is out of range, or a run to start from that does not fit.
    """
    yield Preparing(0, 1, "looking at the scans")
    method_settings = settings_of(method_of(settings.method), settings.method_settings)
    machine = describe_machine(settings.device)
    training, validation = _split(study, settings)
    checkpoint = _checkpoint(study, settings, resume)
    former = starting_checkpoint(study, settings) if resume is None else None
    if checkpoint is None:
        plan = _new_plan(study, settings, machine)
        if former is not None:
            plan = plan_for_weights(plan, former.plan, settings)
    else:
        plan = checkpoint.plan
        method_settings = settings_of(method_of(checkpoint.method), checkpoint.settings)
        _refuse_used_budget(settings, checkpoint, resume)
    labelled, unlabelled = yield from _cases(study, plan, training, settings, method_settings)
    method = _method(settings, plan, method_settings, machine, checkpoint)
    if former is not None:
        load_networks(method, former, str(settings.start_from))
    sampler = BatchSampler(
        labelled,
        unlabelled,
        plan,
        settings.seed,
        method.fabric.device,
        positions=method.needs_positions,
        hidden_labels=method.needs_hidden_labels,
    )
    run = _run(study, settings, plan, resume)
    work = Work(study, run, settings, machine, method, sampler, Budget.of(settings), validation)
    if checkpoint is not None:
        work.step = int(checkpoint.progress["step"])
        work.seconds = float(checkpoint.progress["seconds"])
        work.last_save = work.seconds
        sampler.load_state_dict(checkpoint.progress["streams"])
    return work


def _split(study: Study, settings: TrainingSettings) -> tuple[list[Case], list[Case]]:
    """Divide the labelled cases into those to train on and those to follow the Dice on."""
    labelled = study.labelled_cases()
    if not labelled:
        raise TrainingError(
            f"Study “{study.name}” has no labelled scan to learn from; paint at least one "
            "and mark it as labelled."
        )
    count = settings.validation_cases
    if count is None:
        wanted = min(MOST_VALIDATION_CASES, round(VALIDATION_SHARE * len(labelled)))
        count = wanted if len(labelled) >= VALIDATE_FROM else 0
    if count >= len(labelled):
        raise SettingsError(
            f"{count} validation cases would leave none of the {len(labelled)} labelled scans "
            "to learn from; set aside fewer."
        )
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(len(labelled), generator=generator).tolist()
    # A Dice over slices that nobody has looked at would mean nothing.
    whole = [labelled[index] for index in order if labelled[index].done_slices is None]
    if settings.validation_cases is not None and count > len(whole):
        raise SettingsError(
            f"Only {len(whole)} of the labelled scans are labelled in every slice, fewer than the "
            f"{count} validation cases; set aside fewer or finish more scans."
        )
    aside = {case.name for case in whole[:count]}
    training = [case for case in labelled if case.name not in aside]
    return training, [case for case in labelled if case.name in aside]


def _checkpoint(study: Study, settings: TrainingSettings, resume: str | None) -> Checkpoint | None:
    if resume is None:
        return None
    checkpoint = load_checkpoint(study.run(resume).folder)
    if checkpoint.method != settings.method:
        raise SettingsError(
            f"Run {resume} was trained with {checkpoint.method}, not {settings.method}; "
            "leave the method out to resume it."
        )
    return checkpoint


def _new_plan(study: Study, settings: TrainingSettings, machine: Machine) -> Plan:
    """Plan for these scans and this machine; what the user sets wins over what the method wants."""
    values = tuple(info.value for info in study.classes)
    wanted = method_of(settings.method).plan_overrides(settings.preset) | settings.plan_overrides
    return make_plan(take_fingerprint(study), machine, values, settings.preset, wanted)


def _refuse_used_budget(
    settings: TrainingSettings, checkpoint: Checkpoint, resume: str | None
) -> None:
    step, seconds = checkpoint.progress["step"], checkpoint.progress["seconds"]
    if Budget.of(settings).share(int(step), float(seconds)) >= 1.0:
        raise TrainingError(
            f"Run {resume} has already used its budget; give more minutes or steps to go on with it."
        )


def _cases(
    study: Study,
    plan: Plan,
    training: list[Case],
    settings: TrainingSettings,
    method_settings: MethodSettings,
) -> Generator[Event, None, tuple[list[CachedCase], list[CachedCase]]]:
    """Read what training needs; a supervised method leaves the unlabelled scans alone."""
    others = study.unlabelled_cases() if method_of(settings.method).uses_unlabelled else []
    total = len(training) + len(others)
    labelled: list[CachedCase] = []
    unlabelled: list[CachedCase] = []
    distances = maps_of_whole_cases(method_settings, plan)
    for case in cache_cases(study, plan, training, labels="all", distances=distances):
        labelled.append(case)
        yield Preparing(len(labelled), total, "reading scans")
    empty = [case.name for case in labelled if not case.foreground]
    if len(empty) == len(labelled):
        raise TrainingError(
            f"No label of study “{study.name}” has a voxel of any class at the model's voxel size; "
            "paint a structure in at least one scan and mark it as labelled."
        )
    if empty:
        yield Warned(
            f"The label of “{empty[0]}” has no voxel of any class; training takes it as a scan "
            "without the structures. Mark it as unlabelled if that is wrong."
        )
    hidden: Labels = "any" if method_of(settings.method).needs_hidden_labels else "none"
    for case in cache_cases(study, plan, others, labels=hidden):
        unlabelled.append(case)
        yield Preparing(len(labelled) + len(unlabelled), total, "reading scans")
    return labelled, unlabelled


def _method(
    settings: TrainingSettings,
    plan: Plan,
    method_settings: MethodSettings,
    machine: Machine,
    checkpoint: Checkpoint | None,
) -> Method:
    torch.manual_seed(settings.seed)
    method = assemble(settings.method, plan, method_settings, machine)
    if checkpoint is not None:
        method.load_state_dict(checkpoint.state)
        method.move(method.fabric.device)
    return method


def _run(study: Study, settings: TrainingSettings, plan: Plan, resume: str | None) -> Run:
    if resume is not None:
        study.update_run(resume, status="running")
        return study.run(resume)
    record = {"training": settings.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}
    return study.create_run(settings.method, record, settings.seed)


def settings_of_run(run: Run) -> TrainingSettings:
    """Return the settings with which ``run`` was started, to resume or repeat it."""
    return TrainingSettings.model_validate(run.settings["training"])
