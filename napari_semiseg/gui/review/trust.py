"""How far each prediction may be trusted: judged in the background, for the list on the Review page.

Judging reads stored maps and labels on a worker's thread by
`judge_predictions`; all else is on the main thread.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.study import Study
from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.open_study.records import JobStep
from napari_semiseg.gui.review.predictions import predicted_cases
from napari_semiseg.gui.viewer.maps_on_show import run_with_prediction

if TYPE_CHECKING:
    from napari_semiseg.engine.review.case_queue import TrustedCase
    from napari_semiseg.gui.open_study.open_study import OpenStudy

STOPPED = "Judging the predictions was stopped: the list is in the order of “Unsure”."


def judge_predictions(
    study: Study, cases: Sequence[str]
) -> Generator[JobStep | list[TrustedCase], None, None]:
    """Judge the newest stored prediction of each case, run by run.

    Parameters
    ----------
    cases : sequence of str
        Names of predicted cases; those without a stored prediction are passed over.

    Yields
    ------
    JobStep or list of TrustedCase
        Progress, and what became known of the cases of one run.
    """
    from napari_semiseg.engine.review.case_queue import queue_cases

    of_run: dict[str, list[str]] = {}
    for name in cases:
        run = run_with_prediction(study, name)
        if run is not None:
            of_run.setdefault(run, []).append(name)
        yield JobStep(None, name)
    for place, (run, names) in enumerate(of_run.items()):
        judging = Drained(queue_cases(study, run, names))
        for step in judging:
            yield JobStep((place + step.index / step.total) / len(of_run), step.case)
        yield judging.result


class PredictionTrust:
    """What is known of how far the predictions of the open study may be trusted.

    Attributes
    ----------
    cases : dict of str to TrustedCase
        By name of the case; those that were not judged, or cannot be, are not among them.
    share : float or None
        How far judging is, 0…1; None while unknown.
    problem : str or None
        Why judging ended early, in one sentence.
    changed, progressed : psygnal.Signal
        Emitted after judging begins, tells of cases or ends, and after it went on.
    """

    changed = Signal()
    progressed = Signal()

    def __init__(self, open_study: OpenStudy) -> None:
        self._open = open_study
        self.cases: dict[str, TrustedCase] = {}
        self.share: float | None = None
        self.problem: str | None = None
        self._work = Latest(open_study)
        self._grounds: tuple[Any, ...] | None = None
        open_study.leaving.connect(self._forget)

    @property
    def busy(self) -> bool:
        """Whether predictions are being judged."""
        return self._work.busy

    @property
    def scores(self) -> dict[str, float]:
        """Trust in the prediction of each judged case, 0…1."""
        return {name: item.trust.score for name, item in self.cases.items()}

    def judge_missing(self) -> None:
        """Judge the predictions again where they, or what is usual among the labels, have changed.

        Not during a long job: predicting stores one answer after the other, and each changes what
        is usual for all.
        """
        study, grounds = self._open.study, self._find_grounds()
        if study is None or self._open.job is not None or grounds == self._grounds:
            return
        names = self._names()
        self._cancel()
        self._grounds, self.problem = grounds, None
        self.cases = {name: item for name, item in self.cases.items() if name in names}
        if names:
            self._work.start(
                judge_predictions,
                study,
                names,
                done=lambda _: self._on_ended(None),
                failed=self._on_ended,
                progress=self._on_value,
            )
        self.changed.emit()

    def judge_again(self) -> None:
        """Judge all predictions, whatever is known of them."""
        self._grounds = None
        self.judge_missing()

    def outdate(self, name: str) -> None:
        """Forget what was known of a case that has another prediction now."""
        self.cases.pop(name, None)
        self._grounds = None

    def stop(self) -> None:
        """Stop judging; what is known already stays."""
        if self.busy:
            self._cancel()
            self.problem = STOPPED
            self.changed.emit()

    def _forget(self) -> None:
        self._cancel()
        self.cases, self.problem, self._grounds = {}, None, None
        self.changed.emit()

    def _find_grounds(self) -> tuple[Any, ...]:
        """Return what, where it changes, makes the judgements out of date.

        Decisions are not among it: the list must not be shuffled with each prediction accepted.
        """
        records = self._open.records
        labels = frozenset(
            (case.name, case.label_hash)
            for case in records.cases
            if case.trains_with_label and case.label_origin == "human"
        )
        runs = tuple((run.identifier, run.finished) for run in records.runs)
        return frozenset(self._names()), labels, runs, records.classes

    def _names(self) -> list[str]:
        cases = predicted_cases(self._open.records.cases)
        return [case.name for case in cases if not case.held_out]

    def _cancel(self) -> None:
        self._work.drop()
        self.share = None

    def _on_value(self, value: JobStep | list[TrustedCase]) -> None:
        if isinstance(value, JobStep):
            self.share = value.share
            self.progressed.emit()
        else:
            self.cases.update({item.case: item for item in value})
            self.changed.emit()

    def _on_ended(self, problem: str | None) -> None:
        self.share, self.problem = None, problem
        self.changed.emit()
