"""A run measured on the cases that it never saw.

Held-out cases are locked: no training, no validation, no choice of a checkpoint reads them. The last
checkpoint of the run is measured, on the scans' own grids, in mm.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation.measures import reported
from napari_semiseg.engine.evaluation.metrics import (
    CaseMetrics,
    ClassMeans,
    ClassMetrics,
    MeanMetrics,
    mean_of,
    measure_case,
)
from napari_semiseg.engine.evaluation.recorded import record_case
from napari_semiseg.engine.inference.prediction import Predicting, method_to_ask, predict_of_many
from napari_semiseg.engine.study import Case, Run, Study


@dataclass(frozen=True)
class CaseEvaluated:
    """A held-out case is measured."""

    case: str
    metrics: CaseMetrics


@dataclass(frozen=True)
class Evaluation:
    """What a run reaches on the held-out cases.

    Attributes
    ----------
    run : str
        Identifier of the run.
    class_names : dict
        Name of each class value.
    metrics : dict
        Metrics of each case.
    means : MeanMetrics
        Means over the cases.
    left_out : tuple of str
        Held-out cases that were not measured: their labels are not finished, or the run learnt from
        them before they were locked away.
    """

    run: str
    class_names: dict[int, str]
    metrics: dict[str, CaseMetrics]
    means: MeanMetrics
    left_out: tuple[str, ...] = ()

    @property
    def dice(self) -> float | None:
        """Mean Dice over classes and cases."""
        return self.means.overall["dice"]

    @property
    def cases(self) -> dict[str, dict[str, dict[str, float | None]]]:
        """The reported metrics by case and class name."""
        return {case: self._named(metrics.classes) for case, metrics in self.metrics.items()}

    @property
    def mean(self) -> dict[str, dict[str, float | None]]:
        """Means by class name, and over all classes under ``"all"``."""
        return self._named(self.means.classes) | {"all": _scores(self.means.overall)}

    def _named(self, classes: Any) -> dict[str, dict[str, float | None]]:
        return {self.class_names[value]: _scores(each) for value, each in classes.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        overall = self.means.overall
        return {
            "run": self.run,
            "unit": self.means.unit,
            "dice": self.dice,
            "cases": self.cases,
            "mean": self.mean,
            "counted": overall.counted,
            "not_counted": overall.not_counted,
            "one_empty": overall.one_empty,
            "left_out": list(self.left_out),
        }


def _scores(metrics: ClassMetrics | ClassMeans) -> dict[str, float | None]:
    return {each.key: metrics[each.key] for each in reported()}


def reference_cases(study: Study) -> list[Case]:
    """Return the held-out cases with a finished label, which models may be measured on.

    Raises
    ------
    StudyError
        There is none.
    """
    cases = [case for case in study.held_out_cases() if case.is_reference]
    if not cases:
        raise StudyError(
            f"Study “{study.name}” has no held-out scan with a finished label to measure on; lock "
            "some labelled scans away (--held-out) before training."
        )
    return cases


def cases_to_measure(study: Study, run: Run) -> list[Case]:
    """Return the reference cases whose labels a run has never learnt from.

    Raises
    ------
    StudyError
        There is none.
    """
    references = reference_cases(study)
    cases = [case for case in references if case.name not in run.learnt_from]
    if not cases:
        raise StudyError(
            f"Run {run.identifier} has learnt from the labels of all {len(references)} held-out "
            "scans: train a new one to measure on them."
        )
    return cases


def evaluate(
    study: Study,
    run: str | None = None,
    device: str = "auto",
    largest_component: bool | None = None,
) -> Generator[Predicting | CaseEvaluated, None, Evaluation]:
    """Measure a run on the held-out cases and record the figures in the study.

    Parameters
    ----------
    run : str, optional
        Identifier; the newest with a checkpoint by default.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
    largest_component : bool, optional
        Measure with or without clearing each class of all but its largest component, and record
        nothing; None measures as the run's plan says, and records it.

    Yields
    ------
    Predicting or CaseEvaluated
        Progress, and each case's metrics.

    Returns
    -------
    Evaluation
        Per class, per case and mean; distances in mm.

    Raises
    ------
    StudyError
        No run, or no held-out case with a finished label that the run has not learnt from.
    """
    record = study.runs.get(run)
    cases = cases_to_measure(study, record)
    method = method_to_ask(record.folder, device)
    measured: dict[str, CaseMetrics] = {}
    for index, case in enumerate(cases):
        maps = yield from predict_of_many(
            method, study, case, index, len(cases), (), largest_component
        )
        truth = study.labels.load(case.name)
        assert truth is not None
        measured[case.name] = measure_case(
            maps.prediction, truth, method.plan.class_values, case.geometry.spacing
        )
        if largest_component is None:
            record_case(study, record, case, measured[case.name])
        yield CaseEvaluated(case.name, measured[case.name])
    names = {value: str(value) for value in method.plan.class_values}  # a class may be gone since
    names |= {info.value: info.name for info in study.classes}
    left_out = tuple(case.name for case in study.held_out_cases() if case.name not in measured)
    return Evaluation(record.identifier, names, measured, mean_of(measured.values()), left_out)
