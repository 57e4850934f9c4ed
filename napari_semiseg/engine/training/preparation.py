"""From a study and settings to everything that the loop needs: cases, plan, method, sampler.

Reads and normalises scans (the slow part, reported as `Preparing` events), plans, builds the method
or takes it out of a checkpoint, and opens the run's record in the study.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import BaseModel

from napari_semiseg.engine.errors import SettingsError, StudyError, TrainingError
from napari_semiseg.engine.methods.assembly import (
    Checkpoint,
    assemble,
    load_checkpoint,
    stored_settings,
)
from napari_semiseg.engine.methods.contract import Method, MethodSettings
from napari_semiseg.engine.methods.registry import (
    available_methods,
    method_of,
    method_of_run,
    settings_of,
)
from napari_semiseg.engine.planning.fingerprint import take_fingerprint
from napari_semiseg.engine.planning.machine import Machine, describe_machine
from napari_semiseg.engine.planning.plan import Plan, has_field
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.sampling.batches import BatchSampler
from napari_semiseg.engine.sampling.patch_cache import CachedCase
from napari_semiseg.engine.stored import from_stored
from napari_semiseg.engine.study import Case, Run, Study
from napari_semiseg.engine.training.budget import Budget
from napari_semiseg.engine.training.events import Event, Preparing, Warned
from napari_semiseg.engine.training.memory_probe import Trial, plan_that_fits
from napari_semiseg.engine.training.processes import Processes
from napari_semiseg.engine.training.scan_reading import ScanReader
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.training.warm_start import (
    load_networks,
    plan_for_weights,
    starting_checkpoint,
)
from napari_semiseg.engine.training.work import Work

VALIDATE_FROM = 10  # labelled cases; below, every label is worth more in training
VALIDATION_SHARE = 0.2
MOST_VALIDATION_CASES = 5
BUDGET_CHANGED = "budget_changed"
"""Detail of a run: whether it went on with another budget, so that its rates took a bend."""
VALIDATION = "validation"
"""Detail of a run: cases that are set aside to follow the Dice on."""


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
    basis = _basis(study, settings, resume)
    source = resume or settings.start_from
    former = None if source is None else study.runs.get(source)
    for sentence in unknown_parts(former) if former is not None else ():
        yield Warned(sentence)
    training, validation = _split(study, settings, former)
    processes = Processes.gather(settings, describe_machine(settings.device))
    machine = _machine_of_all(settings, processes)
    plan = processes.of_the_first(_plan(study, settings, machine, basis))
    reader = ScanReader(study, plan, settings.method, basis.method_settings)
    labelled, unlabelled = yield from reader.read(training, processes)

    def make_sampler(method: Method) -> BatchSampler:
        return _sampler(method, labelled, unlabelled, settings.seed, processes)

    trial = Trial(settings.method, basis.method_settings, make_sampler, processes)
    plan, machine = yield from plan_that_fits(trial, plan, machine)
    method = _method(settings, plan, basis, machine, processes)
    run = _run(study, settings, plan, resume, processes, former)
    if processes.leads:
        set_aside: dict[str, Any] = {VALIDATION: [case.name for case in validation]}
        study.runs.update(run, **set_aside)
    budget = Budget.of(settings)
    sampler = make_sampler(method)
    work = Work(study, run, settings, machine, processes, method, sampler, budget, validation)
    if basis.checkpoint is not None:
        _stand_where_it_stood(work, basis.checkpoint)
    return work


@dataclass(frozen=True, eq=False)
class _Basis:
    """What a run starts from.

    Attributes
    ----------
    method_settings : MethodSettings
        Hyper-parameters, those of the checkpoint where there is one.
    checkpoint : Checkpoint or None
        Of the run to continue.
    former : Checkpoint or None
        Of the run whose networks a new one starts with.
    """

    method_settings: MethodSettings
    checkpoint: Checkpoint | None
    former: Checkpoint | None


def _basis(study: Study, settings: TrainingSettings, resume: str | None) -> _Basis:
    if resume is None:
        method_settings = settings_of(method_of(settings.method), settings.method_settings)
        return _Basis(method_settings, None, starting_checkpoint(study, settings))
    checkpoint = _checkpoint(study, settings, resume)
    _refuse_used_budget(settings, checkpoint, resume)
    return _Basis(stored_settings(checkpoint, resume), checkpoint, None)


def _machine_of_all(settings: TrainingSettings, processes: Processes) -> Machine:
    """Describe the device of this process, and compute in the precision of the first."""
    mine = describe_machine(settings.device)
    return replace(mine, precision=processes.of_the_first(mine.precision))


def _plan(study: Study, settings: TrainingSettings, machine: Machine, basis: _Basis) -> Plan:
    if basis.checkpoint is not None:
        return basis.checkpoint.plan
    plan = _new_plan(study, settings, machine)
    if basis.former is None:
        return plan
    return plan_for_weights(plan, basis.former.plan, settings)


def _stand_where_it_stood(work: Work, checkpoint: Checkpoint) -> None:
    work.step = int(checkpoint.progress["step"])
    work.seconds = float(checkpoint.progress["seconds"])
    work.last_save = work.seconds
    work.sampler.load_state_dict(checkpoint.progress["streams"])


def _split(
    study: Study, settings: TrainingSettings, former: Run | None
) -> tuple[list[Case], list[Case]]:
    """Divide the labelled cases into those to train on and those to follow the Dice on.

    Where weights are taken over from a ``former`` run, the Dice is followed on cases that they have
    not learnt from: those that were set aside then, and those that were labelled since.
    """
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
    if former is not None:
        aside_then = former.details.get(VALIDATION, ())
        seen = set(former.learnt_from).difference(aside_then)
        whole = [case for case in whole if case.name not in seen]
        whole.sort(key=lambda case: case.name not in aside_then)  # stable: new ones stay shuffled
    elif settings.validation_cases is not None and count > len(whole):
        raise SettingsError(
            f"Only {len(whole)} of the labelled scans are labelled in every slice, fewer than the "
            f"{count} validation cases; set aside fewer or finish more scans."
        )
    aside = {case.name for case in whole[:count]}
    training = [case for case in labelled if case.name not in aside]
    return training, [case for case in labelled if case.name in aside]


def _checkpoint(study: Study, settings: TrainingSettings, resume: str) -> Checkpoint:
    checkpoint = load_checkpoint(study.runs.get(resume).folder)
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


def _refuse_used_budget(settings: TrainingSettings, checkpoint: Checkpoint, resume: str) -> None:
    step, seconds = checkpoint.progress["step"], checkpoint.progress["seconds"]
    if Budget.of(settings).share(int(step), float(seconds)) >= 1.0:
        raise TrainingError(
            f"Run {resume} has already used its budget; give more minutes or steps to go on with it."
        )


def _sampler(
    method: Method,
    labelled: list[CachedCase],
    unlabelled: list[CachedCase],
    seed: int,
    processes: Processes,
) -> BatchSampler:
    return BatchSampler(
        labelled,
        unlabelled,
        method.plan,
        seed,
        method.fabric.device,
        positions=method.needs_positions,
        hidden_labels=method.needs_hidden_labels,
        process=processes.rank,
        processes=processes.count,
    )


def _method(
    settings: TrainingSettings, plan: Plan, basis: _Basis, machine: Machine, processes: Processes
) -> Method:
    """Put the method together, with the weights that the run starts from."""
    torch.manual_seed(settings.seed)
    # A trial may have changed the precision of a run by one process; several are launched only once.
    fabric = processes.fabric if processes.count > 1 else None
    method = assemble(settings.method, plan, basis.method_settings, machine, fabric)
    if basis.checkpoint is not None:
        method.load_state_dict(basis.checkpoint.state)
        method.move(method.fabric.device)
    if basis.former is not None:
        load_networks(method, basis.former, str(settings.start_from))
    return method


def _run(
    study: Study,
    settings: TrainingSettings,
    plan: Plan,
    resume: str | None,
    processes: Processes,
    former: Run | None,
) -> Run:
    """Open the record of the run; the first process does it for all."""
    identifier = resume
    record = {
        "training": settings.model_dump(mode="json"),
        "plan": plan.model_dump(mode="json"),
    }
    if processes.leads and resume is None:
        run = study.runs.create(settings.method, record, settings.seed, former)
        identifier = run.identifier
    elif processes.leads and former is not None:
        before = settings_of_run(former)
        study.runs.resume(former.identifier, record)
        if (before.steps, before.minutes) != (settings.steps, settings.minutes):
            changed: dict[str, Any] = {BUDGET_CHANGED: True}
            study.runs.update(former, **changed)
    return study.runs.get(str(processes.of_the_first(identifier)))


def settings_of_run(run: Run) -> TrainingSettings:
    """Return the settings with which ``run`` was started, to resume or repeat it.

    Those that this version does not know are left out; `unknown_parts` tells which.

    Raises
    ------
    StudyError
        It was recorded with a value that this version does not know.
    """
    recorded = {"method": run.method, **run.settings.get("training", {})}
    unknown = _unknown_settings(run)
    for part in ("method_settings", "plan_overrides"):
        own = recorded.get(part, {}).items()
        recorded[part] = {name: value for name, value in own if name not in unknown}
    return from_stored(TrainingSettings, recorded, f"The settings of run {run.identifier}")


def unknown_parts(run: Run) -> list[str]:
    """Say what about a run this version does not know: its method, or some of its settings.

    Returns
    -------
    list of str
        Sentences; none for a run that can be repeated as it was.
    """
    said = []
    try:
        method_of_run(run.method, run.identifier)
        settings_of_run(run)
    except StudyError as problem:
        said.append(str(problem))
    unknown = _unknown_settings(run)
    if unknown:
        said.append(
            f"Run {run.identifier} was recorded with settings that this version of napari-semiseg does "
            f"not know ({', '.join(unknown)}): they are left out."
        )
    return said


def _unknown_settings(run: Run) -> list[str]:
    recorded = run.settings.get("training", {})
    method = available_methods().get(run.method)
    known: list[tuple[Any, type[BaseModel]]] = [(recorded, TrainingSettings)]
    known += [] if method is None else [(recorded.get("method_settings", {}), method.Settings)]
    unknown = [name for values, kind in known for name in values if name not in kind.model_fields]
    overrides = recorded.get("plan_overrides", {})
    return unknown + [name for name in overrides if not has_field(name)]
