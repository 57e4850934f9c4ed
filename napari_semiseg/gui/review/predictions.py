"""Predictions and their maps, made and read away from the main thread.

These functions run on worker threads and touch neither viewer nor widgets; generators yield what
progress shows.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import Case, CaseState, Study
from napari_semiseg.gui.open_study.records import JobStep
from napari_semiseg.gui.viewer.maps_on_show import run_with_prediction

DECIDED = (CaseState.ACCEPTED, CaseState.REJECTED)


def predicted_cases(cases: Iterable[Case]) -> list[Case]:
    """Return the cases with a prediction to decide on, or one that was decided on."""
    return [case for case in cases if case.state in (CaseState.PREDICTED, *DECIDED)]


@dataclass(frozen=True)
class Unsure:
    """How unsure a prediction is of one case: the mean over what it marks, 0…1; None if unknown."""

    case: str
    mean: float | None


def predict_cases(
    study: Study, run: str | None, cases: Sequence[str] | None
) -> Generator[JobStep | Unsure, None, int]:
    """Predict cases, store their maps, and tell how unsure each prediction is.

    Parameters
    ----------
    run : str or None
        Identifier; None takes the newest that can predict.
    cases : sequence of str or None
        Names; None takes every scan without a human label that is not held out.

    Yields
    ------
    JobStep or Unsure
        Progress, and one `Unsure` for each case that is done.
    """
    from napari_semiseg.engine.inference.prediction import CasePredicted, predict

    count = 0
    yield JobStep(None, "loading the network")
    for event in predict(study, run, cases):
        if isinstance(event, CasePredicted):
            count += 1
            yield Unsure(event.case, mean_unsure(event.maps.prediction, event.maps.uncertainty))
        else:
            share = (event.index + event.share) / event.total
            yield JobStep(share, f"{event.case} ({event.index + 1} of {event.total})")
    return count


def mean_unsure(prediction: np.ndarray, uncertainty: np.ndarray | None) -> float | None:
    """Return the mean uncertainty over the voxels that a prediction marks.

    The background is left out: it is large and sure, and would make all cases look alike.

    Parameters
    ----------
    prediction : ndarray
        (z, y, x) class values.
    uncertainty : ndarray or None
        (z, y, x) float32, 0…1.

    Returns
    -------
    float or None
        0…1; over all voxels where the prediction is empty; None without an uncertainty map.
    """
    if uncertainty is None:
        return None
    marked = prediction > 0
    return float(uncertainty[marked].mean() if marked.any() else uncertainty.mean())


def measure_unsure(study: Study, cases: Sequence[str]) -> Generator[Unsure, None, None]:
    """Tell how unsure the stored predictions of cases are."""
    for name in cases:
        run = run_with_prediction(study, name)
        if run is None:
            continue
        uncertainty = None
        if "uncertainty" in study.runs.maps.kinds(run, name):
            uncertainty = np.asarray(study.runs.maps.load(run, name, "uncertainty").array[...])
        prediction = np.asarray(study.runs.maps.load(run, name, "prediction").array[...])
        yield Unsure(name, mean_unsure(prediction, uncertainty))


def start_from_prediction(study: Study, name: str, run: str) -> None:
    """Copy a prediction into a label that a person goes on with; the case is then in progress.

    Raises
    ------
    StudyError
        If a person made the label of the case already, or it is held out.
    """
    case = study.case(name)
    if case.label_belongs_to_a_person:
        raise StudyError(
            f"The case '{name}' has a label that a person made, and a prediction never replaces "
            "one: correct that label on the Label page."
        )
    if case.held_out:
        raise StudyError(
            f"The case '{name}' is held out and is measured against what a person draws: draw its "
            "label by hand on the Label page."
        )
    prediction = np.asarray(study.runs.maps.load(run, name, "prediction").array[...])
    study.labels.save(name, prediction, state=CaseState.IN_PROGRESS, origin="human", run=run)
    study.time_spent.begin_correction(name)
