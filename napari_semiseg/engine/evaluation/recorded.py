"""What was measured with a run, kept with what it was measured against.

A figure holds only for the weights and the label that it was measured with: a run that was trained
further, or a held-out label that was corrected, makes it outdated. The held-out evaluation records
here, and the desk's comparison reads; on any thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_semiseg.engine.evaluation.metrics import CaseMetrics
from napari_semiseg.engine.study import Case, Run, Study

_LABEL, _TRAINED = "label_hash", "run_finished"


@dataclass(frozen=True)
class RecordedMetrics:
    """The figures of a run on some cases.

    Attributes
    ----------
    current : dict of str to CaseMetrics
        By case; those that hold for the run and the labels of now.
    outdated : tuple of str
        Cases whose figures were measured before the run was trained further, or before their label
        was changed.
    """

    current: dict[str, CaseMetrics]
    outdated: tuple[str, ...]


def record_case(study: Study, run: Run, case: Case, metrics: CaseMetrics) -> None:
    """Keep what was measured of a case with a run, in place of the former figures."""
    measured_with = {_LABEL: case.label_hash, _TRAINED: run.finished}
    study.runs.record_metrics(run.identifier, case.name, metrics.to_dict() | measured_with)


def recorded_metrics(study: Study, run: Run, cases: Iterable[Case]) -> RecordedMetrics:
    """Return the figures of a run on those of the cases that it was measured on.

    Figures that do not tell what they were measured with are taken for current.
    """
    stored = study.runs.metrics(run)
    current: dict[str, CaseMetrics] = {}
    outdated = []
    for case in cases:
        figures = stored.get(case.name)
        if figures is None:
            continue
        now = {_LABEL: case.label_hash, _TRAINED: run.finished}
        if any(figures.get(key, value) != value for key, value in now.items()):
            outdated.append(case.name)
        else:
            current[case.name] = CaseMetrics.from_dict(figures)
    return RecordedMetrics(current, tuple(outdated))
