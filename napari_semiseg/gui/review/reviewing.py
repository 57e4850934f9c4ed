"""Reviewing: predicting scans, the order in which to look at them, and deciding on them.

Every decision goes to the study's audit trail. A prediction becomes a label only when a person
accepts it, or takes it as the start of a label of their own. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_semiseg.engine.study import Case, CaseState, Study
from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.review import predictions
from napari_semiseg.gui.review.before_after import BeforeAfter
from napari_semiseg.gui.review.parts import PartReview
from napari_semiseg.gui.review.predictions import DECIDED, predicted_cases
from napari_semiseg.gui.review.sizes import ScanSizes
from napari_semiseg.gui.review.trust import PredictionTrust
from napari_semiseg.gui.review.worst_slices import WorstSlices
from napari_semiseg.gui.viewer.maps_on_show import run_with_prediction

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow


class Reviewing:
    """Predictions and the decisions on them.

    Attributes
    ----------
    unsure : dict of str to float or None
        How unsure the prediction of each case is, 0…1, mean over what it marks.
    sizes : ScanSizes
        How large the structures are in the scan on the screen.
    trust : PredictionTrust
        How far the predictions may be trusted.
    worst : WorstSlices
        Which slices of the prediction on the screen most need a look.
    parts : PartReview
        The parts of the prediction on the screen that can be accepted or rejected one by one.
    before : BeforeAfter
        The label as it was before the last decision or correction.
    unsure_changed, fixed : psygnal.Signal
        Emitted after `unsure` changed, and when a prediction has become a label to correct.
    """

    unsure_changed = Signal()
    fixed = Signal()

    def __init__(
        self, open_study: OpenStudy, on_show: CaseOnShow, maps: MapsOnShow, slices: SlicesOnShow
    ) -> None:
        self._open = open_study
        self._on_show = on_show
        self._maps = maps
        self.unsure: dict[str, float | None] = {}
        self._measuring = Latest(open_study)
        self.sizes = ScanSizes(open_study, on_show, maps)
        self.trust = PredictionTrust(open_study)
        self.worst = WorstSlices(open_study, maps, slices)
        self.parts = PartReview(open_study, on_show, maps)
        self.before = BeforeAfter(open_study, on_show)
        open_study.leaving.connect(self._forget)

    def _forget(self) -> None:
        self.unsure = {}

    # which cases

    def cases(self) -> list[Case]:
        """Return the predicted cases, least trusted first, then those that are decided.

        Cases that are accepted in part come after those that nobody has begun with. Cases of which
        the trust is not known come after the others, the most unsure first.
        """
        trust = self.trust.scores

        def order(case: Case) -> tuple[int, bool, float]:
            score = trust.get(case.name)
            unsure = self.unsure.get(case.name) or 0.0
            decided = 1 if case.accepted_in_part else 2 * (case.state in DECIDED)
            return decided, score is None, -unsure if score is None else score

        return sorted(predicted_cases(self._open.records.cases), key=order)

    def next_case(self, after: str | None) -> str | None:
        """Return the case to look at next: the first of the list with something left to decide."""
        waiting = [
            case.name
            for case in self.cases()
            if case.state is CaseState.PREDICTED or case.accepted_in_part
        ]
        return next((name for name in waiting if name != after), None)

    def measure_missing(self) -> None:
        """Find out how unsure the stored predictions are that were made in another session."""
        study = self._open.study
        missing = [case.name for case in self.cases() if case.name not in self.unsure]
        if study is None or not missing or self._measuring.busy:
            return
        self.unsure.update(dict.fromkeys(missing))
        self._measuring.start(
            predictions.measure_unsure,
            study,
            missing,
            done=lambda _: None,
            failed=lambda _: None,
            progress=self._on_unsure,
        )

    def _on_unsure(self, measured: predictions.Unsure) -> None:
        self.unsure[measured.case] = measured.mean
        self.unsure_changed.emit()

    # predicting

    def predict_unlabelled(self) -> None:
        """Predict every scan without a human label that is not held out, with the newest run."""
        study, run = self._open.study, self._open.records.usable_run
        if study is None or run is None:
            return
        self._open.start_job(
            "Predicting",
            predictions.predict_cases,
            study,
            run.identifier,
            None,
            done=self._on_predicted,
            progress=self._on_one_predicted,
        )

    def _on_one_predicted(self, measured: predictions.Unsure) -> None:
        self.trust.outdate(measured.case)
        self._on_unsure(measured)
        self._open.refresh()
        if measured.case == self._on_show.name:
            self._maps.show_stored()

    def _on_predicted(self, count: int) -> None:
        self._open.tell(f"{count} scans were predicted: look at them on the Review page.")

    # decisions

    def accept(self, name: str) -> None:
        """Make the prediction the label of a case; training then learns from it."""
        self._decide(name, lambda study, run: study.accept(name, run))

    def reject(self, name: str, reason: str = "") -> None:
        """Record that the prediction is not good enough."""
        self._decide(name, lambda study, run: study.reject(name, run, reason))

    def fix(self, name: str) -> None:
        """Start a human label from the prediction and open it; the case is then in progress."""
        self._decide(
            name,
            lambda study, run: predictions.start_from_prediction(study, name, run),
            self.fixed.emit,
        )

    def _decide(
        self,
        name: str,
        decision: Callable[[Study, str], object],
        then: Callable[[], None] | None = None,
    ) -> None:
        def work(study: Study) -> None:
            run = run_with_prediction(study, name)
            decision(study, run or study.runs.get(None).identifier)

        def decided(_: None) -> None:
            if name == self._on_show.name:
                self._maps.show_again()
            if then is not None:
                then()

        self._open.change(work, decided)
