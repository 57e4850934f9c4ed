"""The queue of answers to review: the predicted cases of a run, the least trusted first.

Measures the stored answers of a run one case at a time, learns from them and from the labels what is
usual, and judges each. Held-out cases are passed over, and their labels never read.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_semiseg.engine.review.answer_measures import (
    Answer,
    Shape,
    measure_answer,
    measure_shapes,
)
from napari_semiseg.engine.review.trust import Trust, judge
from napari_semiseg.engine.review.usual import what_is_usual
from napari_semiseg.engine.study import Case, Study


@dataclass(frozen=True)
class MeasuringAnswer:
    """A case is under way; ``index`` of ``total`` labels and answers were before it."""

    case: str
    index: int
    total: int


@dataclass(frozen=True)
class TrustedCase:
    """A case with the trust that its answer deserves.

    Attributes
    ----------
    case : str
        Name of the case.
    run : str
        Identifier of the run that answered.
    trust : Trust
        Score and reasons.
    """

    case: str
    run: str
    trust: Trust


def queue_cases(
    study: Study,
    run: str | None = None,
    cases: Sequence[str] | None = None,
    other_run: str | None = None,
) -> Generator[MeasuringAnswer, None, list[TrustedCase]]:
    """Judge the stored answers of a run.

    Parameters
    ----------
    run : str, optional
        Identifier of the run; the newest with a checkpoint by default.
    cases : sequence of str, optional
        Names of the cases to judge; by default all with a prediction of the run that are not held
        out and whose label the run did not learn from.
    other_run : str, optional
        A run whose predictions to compare with, where it has some.

    Returns
    -------
    list of TrustedCase
        The least trusted first.

    Raises
    ------
    StudyError
        No such run or case, or a label that is damaged.
    """
    record = study.runs.get(run)
    others = [case for case in study.cases() if not case.held_out]
    labelled = [case for case in others if case.trains_with_label and case.done_slices is None]
    predicted = [
        case
        for case in others
        if case.name not in record.labelled and _is_predicted(study, record.identifier, case)
    ]
    values = [item.value for item in study.classes]
    names = {item.value: item.name for item in study.classes}
    total = len(labelled) + len(predicted)
    labels: list[Mapping[int, Shape]] = []
    for index, case in enumerate(labelled):
        yield MeasuringAnswer(case.name, index, total)
        label = study.labels.load(case.name)
        if label is not None:
            labels.append(measure_shapes(label, case.geometry, values))
    answers: dict[str, dict[int, Answer]] = {}
    for index, case in enumerate(predicted, start=len(labelled)):
        yield MeasuringAnswer(case.name, index, total)
        answers[case.name] = _measure(study, record.identifier, case, values, other_run)
    usual = what_is_usual(labels, list(answers.values()), values)
    wanted = answers if cases is None else {study.case(name).name for name in cases} & set(answers)
    judged = [
        TrustedCase(name, record.identifier, judge(answers[name], usual, names))
        for name in answers
        if name in wanted
    ]
    return sorted(judged, key=lambda each: each.trust.score)


def _is_predicted(study: Study, run: str, case: Case) -> bool:
    return "prediction" in study.runs.maps.kinds(run, case.name)


def _measure(
    study: Study, run: str, case: Case, values: Sequence[int], other_run: str | None
) -> dict[int, Answer]:
    kinds = study.runs.maps.kinds(run, case.name)
    other = None
    if other_run is not None and _is_predicted(study, other_run, case):
        other = _array(study, other_run, case, "prediction")
    return measure_answer(
        _array(study, run, case, "prediction"),
        case.geometry,
        values,
        uncertainty=_optional(study, run, case, "uncertainty", kinds),
        disagreement=_optional(study, run, case, "disagreement", kinds),
        other_prediction=other,
    )


def _array(study: Study, run: str, case: Case, kind: str) -> np.ndarray:
    return np.asarray(study.runs.maps.load(run, case.name, kind).array[...])


def _optional(
    study: Study, run: str, case: Case, kind: str, kinds: Sequence[str]
) -> np.ndarray | None:
    return _array(study, run, case, kind) if kind in kinds else None
