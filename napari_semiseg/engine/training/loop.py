"""Training as a generator of events.

`train` is all that a caller needs. The same generator serves the command line, the dock widget's
worker thread, notebooks and tests; it knows no Qt and no callbacks. A step is a pure function of the
seed and of where the sampler's streams stand, so a resumed run continues the same loss curve.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_semiseg.engine.errors import SemisegError, TrainingError
from napari_semiseg.engine.evaluation.metrics import dice_per_class
from napari_semiseg.engine.inference.class_prototypes import measure_prototypes
from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.methods.assembly import save_checkpoint
from napari_semiseg.engine.planning.freed_memory import freed_memory_kept
from napari_semiseg.engine.study import Run, Study
from napari_semiseg.engine.training.events import (
    Event,
    Finished,
    Preparing,
    Preview,
    Release,
    Released,
    Request,
    Saved,
    ShowCase,
    Started,
    Stop,
    Validated,
    Warned,
)
from napari_semiseg.engine.training.memory_backoff import is_out_of_memory, step_within_memory
from napari_semiseg.engine.training.preparation import prepare
from napari_semiseg.engine.training.processes import lost_process
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.training.work import Work

PREVIEW_SECONDS = 4.0
VALIDATION_SECONDS = 10.0
SIDE_WORK_SHARE = 0.1  # previews and validation may each take this share of the time
OVERLAPS = {"preview": 0.25, "validation": 0.5}  # of windows; a preview is to be quick
PROTOTYPE_SECONDS = 30.0
LOST_PROCESS = (
    "Another process of {} has ended or no longer answers; its own message tells why. A checkpoint "
    "that was written is kept: resume the run from it."
)
PREVIEW_PROTOTYPE_CASES = 4


def train(
    study: Study, settings: TrainingSettings, resume: str | None = None
) -> Generator[Event, Request | None, Run]:
    """Train a method on a study.

    Parameters
    ----------
    study : Study
        Open study; labels are read as they are when training starts.

    Yields
    ------
    Event
        See `napari_semiseg.engine.training.events`. `Stop`, `Release` and `ShowCase` may be sent in
        at any yield. Closing the generator also leaves a checkpoint.

    Returns
    -------
    Run
        The run's record.

    Raises
    ------
    SemisegError
        One sentence on what is wrong; the run is then marked as failed and its last checkpoint kept.
    """
    work = yield from _prepared(study, settings, resume)
    with _recorded(work) as outcome, freed_memory_kept(work.machine.device):
        for event in _events(work):
            request = yield event
            _heed(work, request)
            if work.release:
                yield from _released(work)
    yield Finished(work.run.identifier, outcome.status, work.step, work.seconds)
    return study.runs.get(work.run.identifier)


@dataclass
class _Outcome:
    status: Literal["finished", "stopped"] = "finished"


@contextmanager
def _recorded(work: Work) -> Iterator[_Outcome]:
    """Write down how the run ends, whichever way it does."""
    outcome, status = _Outcome(), "failed"
    try:
        yield outcome
        outcome.status = "stopped" if work.stop and work.share < 1.0 else "finished"
        status = outcome.status
    except GeneratorExit:
        status = "stopped"
        _leave(work)
        raise
    except KeyboardInterrupt:
        status = "stopped"  # in the middle of a step: the last checkpoint counts
        raise
    except (RuntimeError, MemoryError) as problem:
        told = _told(work, problem)
        if told is None:
            raise
        raise told from problem
    finally:
        if work.processes.leads:
            # the pace of a run tells how long the next one takes
            work.study.runs.update(
                work.run.identifier,
                status=status,
                steps=work.step,
                seconds=round(work.seconds, 3),
                device=work.machine.device_name,
            )


def _told(work: Work, problem: RuntimeError | MemoryError) -> TrainingError | None:
    """Say in one sentence what a user can do about it; None where it is a defect."""
    if is_out_of_memory(problem):
        return TrainingError(
            f"The {work.machine.device_name} has too little free memory for this plan; close other "
            "programs, choose fewer filters or a smaller patch, or train on the CPU."
        )
    if work.processes.count > 1 and lost_process(problem):
        return TrainingError(LOST_PROCESS.format(f"run {work.run.identifier}"))
    return None


def _leave(work: Work) -> None:
    """Keep what there is when the caller wants no more events, and let other processes go."""
    work.stop = True
    if work.stepping:
        _goes_on(work)
    if work.step and work.processes.leads:
        save_checkpoint(work.run.folder, work.method, work.progress())


def _prepared(
    study: Study, settings: TrainingSettings, resume: str | None
) -> Generator[Event, Request | None, Work]:
    """Prepare the run; what the caller asks for meanwhile counts from the first step on."""
    asked: list[Request | None] = []
    preparation = prepare(study, settings, resume)
    while True:
        try:
            event = next(preparation)
        except StopIteration as prepared:
            work: Work = prepared.value
            break
        except RuntimeError as problem:
            if not lost_process(problem):
                raise
            raise TrainingError(LOST_PROCESS.format("this training")) from problem
        asked.append((yield event))
        if isinstance(asked[-1], Stop):
            preparation.close()
            raise TrainingError(
                "Training was stopped while the scans were being read; there is nothing to keep."
            )
    for request in asked:
        _heed(work, request)
    return work


def _events(work: Work) -> Generator[Event, None, None]:
    """Train, preview, validate and save until the budget is used or a stop is asked for."""
    work.stepping = True
    yield _started(work)
    while _goes_on(work):
        yield from step_within_memory(work)
        if work.processes.leads:
            yield from _side_work(work)
    work.stepping = False
    if not work.processes.leads:
        return
    yield Preparing(0, 1, "finishing")
    work.method.prototypes = measure_prototypes(work.method, work.sampler.labelled)
    if work.validation and not work.stop:
        yield from _validate(work)
    yield _save(work)


def _goes_on(work: Work) -> bool:
    """Whether another step is to be taken; the first process decides for all."""
    seconds, stop = work.processes.numbers_of_the_first(work.seconds, float(work.stop))
    work.seconds, work.stop = seconds, bool(stop)
    return work.share < 1.0 and not work.stop


def _side_work(work: Work) -> Generator[Event, None, None]:
    """Do what is due besides learning; other processes wait meanwhile."""
    if _due(work, "preview", PREVIEW_SECONDS) and work.shown_case is not None:
        yield from _preview(work)
    if _due(work, "validation", VALIDATION_SECONDS) and work.validation:
        yield from _validate(work)
    if work.seconds - work.last_save > work.settings.checkpoint_seconds:
        yield _save(work)


def _started(work: Work) -> Started:
    return Started(
        run=work.run.identifier,
        method_title=work.method.title,
        device=work.machine.device_name,
        precision=str(work.method.fabric.strategy.precision.precision),
        labelled=len(work.sampler.labelled),
        unlabelled=len(work.study.unlabelled_cases()) if work.method.uses_unlabelled else 0,
        plan=work.method.plan.model_dump(mode="json"),
    )


def _due(work: Work, what: str, seconds: float) -> bool:
    """Tell whether it is time for side work, so that it takes a small share of the whole."""
    last, cost = work.spent_on.get(what, (0.0, 0.0))
    return work.seconds - last >= max(seconds, cost / SIDE_WORK_SHARE)


def _preview(work: Work) -> Generator[Event, None, None]:
    """Make the maps of the case on screen; a preview that fails must not end training."""
    name = work.shown_case
    assert name is not None
    started = time.perf_counter()
    prototypes = _prototypes_of_now(work) if "similarity" in work.shown_kinds else None
    try:
        maps = yield from _maps(work, name, work.shown_kinds, "preview", prototypes)
    except SemisegError as problem:
        work.shown_case = None
        yield Warned(f"No preview of “{name}”: {problem}")
        return
    work.spent_on["preview"] = (work.seconds, time.perf_counter() - started)
    if maps is not None:
        yield Preview(name, maps, work.step)


def _prototypes_of_now(work: Work) -> Tensor | None:
    """Measure prototypes with the weights of this moment, on few cases and not at every preview."""
    if work.prototypes is None or work.seconds - work.prototypes_at >= PROTOTYPE_SECONDS:
        shown = [case for case in work.sampler.labelled if case.foreground]
        work.prototypes = measure_prototypes(work.method, shown[:PREVIEW_PROTOTYPE_CASES])
        work.prototypes_at = work.seconds
    return work.prototypes


def _validate(work: Work) -> Generator[Event, None, None]:
    """Measure the Dice on the cases set aside, on their own grids."""
    started = time.perf_counter()
    values = work.method.plan.class_values
    dice: dict[int, list[float]] = {value: [] for value in values}
    for case in work.validation:
        maps = yield from _maps(work, case.name, (), "validation")
        truth = work.study.labels.load(case.name)
        if maps is None or truth is None:
            return
        for value, score in dice_per_class(maps.prediction, truth, values).items():
            if score is not None:
                dice[value].append(score)
    work.spent_on["validation"] = (work.seconds, time.perf_counter() - started)
    means = {value: float(np.mean(scores)) for value, scores in dice.items() if scores}
    if means:
        yield Validated(work.step, means, float(np.mean(list(means.values()))))


def _maps(
    work: Work,
    case: str,
    kinds: tuple[str, ...],
    what: str,
    prototypes: Tensor | None = None,
) -> Generator[Event, None, CaseMaps | None]:
    """Predict a case window by window, so that a stop takes effect at once; None when stopped.

    The method has ``prototypes`` only during a window: a checkpoint must never keep a preview's.
    """
    volume, overlap = work.study.scans.read(case), OVERLAPS[what]
    prediction = predict_case(work.method, case, volume, kinds, overlap=overlap)
    own = work.method.prototypes
    while not work.stop:
        try:
            work.method.prototypes = own if prototypes is None else prototypes
            share = next(prediction)
        except StopIteration as finished:
            maps: CaseMaps | None = finished.value
            return maps
        finally:
            work.method.prototypes = own
        yield Preparing(round(100 * share), 100, what)
    return None


def _save(work: Work) -> Saved:
    save_checkpoint(work.run.folder, work.method, work.progress())
    work.last_save = work.seconds
    return Saved(work.step)


def _heed(work: Work, request: Request | None) -> None:
    """Note what the caller asked for; it is done between two events."""
    if isinstance(request, Stop):
        work.stop = True
    elif isinstance(request, Release):
        work.release = True
    elif isinstance(request, ShowCase):
        work.shown_case, work.shown_kinds = request.name, request.kinds


def _released(work: Work) -> Generator[Event, Request | None, None]:
    """Leave the accelerator until the caller asks for the next event."""
    device = work.method.fabric.device
    work.method.move(torch.device("cpu"))
    if device.type == "cuda":
        torch.cuda.empty_cache()
    work.release = False
    request = yield Released(work.step)
    work.method.move(device)
    _heed(work, request)
