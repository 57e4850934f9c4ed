"""Trainings that take a second: tiny networks on the small study."""

from napari_semiseg.engine.training import events
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings

TINY = {
    "network.filters": 4,
    "patch": (16, 16, 16),
    "network.strides": [[2, 2, 2]],
}


def tiny(method="ua-mt", **settings):
    if "minutes" not in settings:
        settings.setdefault("steps", 6)
    settings.setdefault("device", "cpu")
    overrides = TINY | settings.pop("plan_overrides", {})
    return TrainingSettings(method=method, plan_overrides=overrides, **settings)


def run_training(study, settings, resume=None, answer=None):
    """Train to the end; ``answer`` gets each event and returns a request. Events and the run."""
    work = train(study, settings, resume)
    seen = [next(work)]
    while True:
        try:
            seen.append(work.send(answer(seen[-1]) if answer else None))
        except StopIteration as end:
            return seen, end.value


def of_kind(seen, kind):
    return [event for event in seen if isinstance(event, kind)]


def losses(seen):
    return [event.scalars["loss"] for event in of_kind(seen, events.Progress)]
