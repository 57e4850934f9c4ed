"""What is still missing in a study, and what to do next, in a clinician's words.

Pure functions of the records, without Qt; the step bar, the pages and the disabled controls show
what they return. A sentence says what, and what to do.
"""

from __future__ import annotations

from collections.abc import Iterable

from napari_semiseg.engine.study import Case, CaseState, Run
from napari_semiseg.gui.open_study.records import Snapshot

PAGES = ("Scans", "Label", "Train", "Review", "Compare")


def count(cases: Iterable[Case], *states: CaseState) -> int:
    """Return how many cases are in one of the states."""
    return sum(case.state in states for case in cases)


def plural(number: int, word: str) -> str:
    """Return a number with its noun, such as ``"1 scan"`` or ``"3 scans"``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def trainable(records: Snapshot) -> int:
    """Return how many cases training learns from with their labels."""
    return sum(case.trains_with_label for case in records.cases)


def step_captions(records: Snapshot, training: bool = False) -> tuple[str, str, str, str, str]:
    """Return what each of the five steps still lacks, in a few letters under its name."""
    labelled = trainable(records)
    review = count(records.cases, CaseState.PREDICTED)
    if training:
        trained = "running"
    elif not records.runs:
        trained = "not yet" if labelled else "no labels"
    else:
        trained = plural(len(records.runs), "run")
    return (
        str(len(records.cases)) if records.cases else "add scans",
        f"{labelled} done" if labelled else ("none yet" if records.cases else "no scans"),
        trained,
        f"{review} to do" if review else ("nothing" if records.usable_run else "not yet"),
        _comparable(records),
    )


def _comparable(records: Snapshot) -> str:
    if not measurable(records):
        return "hold out" if records.usable_run else "not yet"
    runs = len(usable_runs(records))
    return plural(runs, "run") if runs else "no runs"


def measurable(records: Snapshot) -> int:
    """Return how many held-out cases have a finished label to measure against."""
    return sum(case.is_reference for case in records.cases)


def usable_runs(records: Snapshot) -> list[Run]:
    """Return the runs that have ended in good order."""
    return [run for run in records.runs if run.status in ("finished", "stopped")]


def why_not_compare(records: Snapshot, training: bool) -> str | None:
    """Return what is missing to compare runs, and what to do about it, or None."""
    if not measurable(records):
        return (
            "No labelled scan is held out to measure on: on the Scans page choose a labelled scan "
            "and press “Held-out” (at least three scans), then train."
        )
    runs = len(usable_runs(records))
    if runs > 1:
        return None
    if training or any(run.status == "running" for run in records.runs):
        return "A run is still training: when it is done it can be measured and compared here."
    if runs:
        return "One run is there. Train another, such as “Supervised only”, to compare it with."
    return "Nothing has been trained yet: train at least two runs on the Train page."


def why_not_train(records: Snapshot, active: bool) -> str | None:
    """Return why training cannot start, or None."""
    if active:
        return "Training is under way already: stop it before you start another."
    if not records.cases:
        return "There are no scans yet: add some on the Scans page."
    if not trainable(records):
        return "No label is finished yet: paint one on the Label page and mark it as labelled."
    return None


def why_not_predict(records: Snapshot, busy: str | None) -> str | None:
    """Return why no scans can be predicted, or None; ``busy`` names the job under way."""
    if busy is not None:
        return f"{busy} is under way: wait, or stop it below."
    if records.usable_run is None:
        return "Nothing has been trained yet: train on the Train page first."
    if not any(not (case.trains_with_label or case.held_out) for case in records.cases):
        return "Every scan has a label already: add more scans on the Scans page."
    return None


def why_not_accept(case: Case | None, has_prediction: bool) -> str | None:
    """Return why the prediction on the screen cannot be accepted or fixed, or None."""
    if case is None:
        return "No scan is on the screen: choose one in the list."
    if not has_prediction:
        return "This scan has no prediction: predict it first."
    if case.held_out:
        return "This scan is held out to measure quality: its label has to be drawn by hand."
    if case.label_belongs_to_a_person:
        return "A person made the label of this scan, and a prediction never replaces one."
    if case.state is CaseState.ACCEPTED and not case.accepted_in_part:
        return "This prediction is accepted already."
    return None


def next_step(records: Snapshot, page: str, training: bool) -> str:
    """Return one sentence on what to do next on a page.

    Parameters
    ----------
    page : str
        One of `PAGES`.
    training : bool
        Whether training is under way.
    """
    if not records.cases:
        return "Add scans: drop files or folders here, or press “Add files”."
    labelled = trainable(records)
    waiting = count(records.cases, CaseState.PREDICTED)
    if page == "Scans":
        if not labelled:
            return "Name what you want to mark under “Classes”, then go to 2 Label."
        return _next_for_scans(records, labelled)
    if page == "Label":
        started = count(records.cases, CaseState.IN_PROGRESS)
        if not labelled and not started:
            return "Choose a scan, pick a class and paint. A few finished scans are enough."
        if not labelled:
            return "When a scan is painted in full, press “Mark as labelled”."
        return f"{plural(labelled, 'scan')} to learn from. Go to 3 Train, or label another."
    if page == "Train":
        return _next_for_training(records, labelled, training)
    if page == "Compare":
        return "Do the unlabelled scans help? Tick runs, measure them, and look where they differ."
    if waiting:
        return f"{plural(waiting, 'prediction')} to look at: accept, fix or reject each."
    if records.usable_run is None:
        return "Nothing to review yet: train first (3 Train), then predict here."
    decided = count(records.cases, CaseState.ACCEPTED, CaseState.REJECTED)
    if decided:
        return "All predictions are decided. Train again to learn from the accepted ones."
    return "Press “Predict the other scans” to get predictions to review."


def _next_for_scans(records: Snapshot, labelled: int) -> str:
    held_out = measurable(records)
    if not held_out:
        return "Ready. Lock a few labelled scans as held-out if you want to measure quality later."
    return f"{plural(labelled, 'scan')} to learn from, {held_out} held out to measure quality on."


def _next_for_training(records: Snapshot, labelled: int, training: bool) -> str:
    if training:
        return "You can go on labelling and scrolling while it trains."
    if not labelled:
        return "Training needs at least one finished label: go to 2 Label."
    if records.usable_run is None:
        return "Choose how long to train and press “Start training”."
    return "Trained. Go to 4 Review and predict the other scans, or train again."
