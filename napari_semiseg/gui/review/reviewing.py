"""The reviewing part of the session: predicting scans, showing their maps, and deciding on them.

Every decision goes to the study's audit trail. A prediction becomes a label only when a person
accepts it, or takes it as the start of a label of their own. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psygnal import Signal, SignalInstance

from napari_semiseg.engine.inference.maps import PREVIEW_KINDS
from napari_semiseg.engine.study import Case, CaseState, Run, Study
from napari_semiseg.gui.review import predictions
from napari_semiseg.gui.review.before_after import BeforeAfter
from napari_semiseg.gui.review.parts import RegionReview
from napari_semiseg.gui.review.sizes import ScanSizes
from napari_semiseg.gui.review.trust import PredictionTrust
from napari_semiseg.gui.review.worst_slices import WorstSlices

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import NativeMap
    from napari_semiseg.gui.session import Session

DECIDED = (CaseState.ACCEPTED, CaseState.REJECTED)


class Reviewing:
    """Predictions and the decisions on them.

    Parameters
    ----------
    session : Session
        The session that this is a part of.

    Attributes
    ----------
    unsure : dict of str to float or None
        How unsure the prediction of each case is, 0…1, mean over what it marks.
    run_shown : str or None
        Run whose maps are on the screen.
    own_maps : dict of str to NativeMap
        What the run's method alone shows of the case on the screen, by kind.
    wanted_kinds : set of str
        Maps that the user wants to see.
    class_shown : int or None
        Class whose maps are shown of those with one for each class; None takes the first.
    sizes : ScanSizes
        How large the structures are in the scan on the screen.
    trust : PredictionTrust
        How far the predictions may be trusted.
    worst : WorstSlices
        Which slices of the prediction on the screen most need a look.
    regions : RegionReview
        The parts of the prediction on the screen that can be accepted or rejected one by one.
    before : BeforeAfter
        The label as it was before the last decision or correction.
    maps_changed, unsure_changed, fixed : psygnal.Signal
        Emitted after maps come or go on the screen, after `unsure` changed, and when a prediction
        has become a label to correct.
    """

    maps_changed = Signal()
    unsure_changed = Signal()
    fixed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.unsure: dict[str, float | None] = {}
        self.run_shown: str | None = None
        self.own_maps: dict[str, NativeMap] = {}
        self.wanted_kinds = {*PREVIEW_KINDS}
        self.class_shown: int | None = None
        self._measuring: Any = None
        self._maps_of: str | None = None
        self._on_page = self._gave_way = False
        self._awaited: str | None = None
        session.labelling.shown_changed.connect(self._on_shown)
        session.layers.maps_arrived.connect(self._on_arrived)
        self.sizes = ScanSizes(session, self)
        self.trust = PredictionTrust(session, self)
        self.worst = WorstSlices(session)
        self.regions = RegionReview(session)
        self.before = BeforeAfter(session)

    @property
    def signals(self) -> tuple[SignalInstance, ...]:
        """All signals that widgets listen to."""
        return (
            self.maps_changed,
            self.unsure_changed,
            self.fixed,
            self.trust.changed,
            self.trust.progressed,
            self.worst.changed,
            self.regions.changed,
            self.before.changed,
        )

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

        wanted = (CaseState.PREDICTED, *DECIDED)
        return sorted((c for c in self._session.records.cases if c.state in wanted), key=order)

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
        study = self._session.study
        missing = [case.name for case in self.cases() if case.name not in self.unsure]
        if study is None or not missing or self._measuring is not None:
            return

        def ended(_: Any) -> None:
            self._measuring = None

        self.unsure.update(dict.fromkeys(missing))
        self._measuring = self._session.background(
            predictions.measure_unsure,
            study,
            missing,
            done=ended,
            failed=ended,
            progress=self._on_unsure,
        )

    def _on_unsure(self, measured: predictions.Unsure) -> None:
        self.unsure[measured.case] = measured.mean
        self.unsure_changed.emit()

    # predicting

    def predict_unlabelled(self) -> None:
        """Predict every scan without a human label that is not held out, with the newest run."""
        session = self._session
        if session.study is None or session.records.usable_run is None:
            return
        session.labelling.flush()
        session.start_job(
            "Predicting",
            predictions.predict_cases,
            session.study,
            session.records.usable_run.identifier,
            None,
            done=self._on_predicted,
            progress=self._on_one_predicted,
        )

    def _on_one_predicted(self, measured: predictions.Unsure) -> None:
        self.trust.outdate(measured.case)
        self._on_unsure(measured)
        self._session.refresh()
        if measured.case == self._session.labelling.shown:
            self.show_maps()

    def _on_predicted(self, count: int) -> None:
        self._session.tell(f"{count} scans were predicted: look at them on the Review page.")

    # maps

    @property
    def predicted_by(self) -> Run | None:
        """The run whose prediction is on the screen."""
        if "prediction" not in self.kinds_on_screen():
            return None
        runs = self._session.records.runs
        return next((run for run in runs if run.identifier == self.run_shown), None)

    @property
    def under_review(self) -> bool:
        """Whether a stored prediction is on the screen to be decided on."""
        return self._on_page and self.run_shown is not None

    def open_page(self, opened: bool) -> None:
        """Note that the Review page comes onto the screen or goes; bring back what gave way."""
        self._on_page = opened
        if opened and self._gave_way:
            self._gave_way = False
            self.show_maps()

    def give_way(self) -> None:
        """Let the maps of a model in training take the place of stored ones.

        They come back with the Review page: what is decided on is never another map than that on show.
        """
        if self.run_shown is not None:
            self._gave_way = True
            self.run_shown, self.own_maps = None, {}
            self.worst.forget()
            self.regions.forget()
            self.maps_changed.emit()

    @property
    def reading(self) -> bool:
        """Whether a case with its maps is on its way to the screen."""
        labelling = self._session.labelling
        return self._awaited is not None and self._awaited == (labelling.reading or labelling.shown)

    def show(self, name: str) -> None:
        """Show a case with the maps of the newest run that predicted it."""
        self.run_shown, self.own_maps = None, {}
        self._awaited = name
        self._session.labelling.show_case(name, then=self.show_maps, maps_follow=True)

    def show_maps(self) -> None:
        """Show the stored maps of the case on the screen."""
        study, name = self._session.study, self._session.labelling.shown
        if study is None or name is None:
            return
        self._session.background(
            predictions.read_maps,
            study,
            name,
            done=lambda found: self._on_maps(name, found),
            failed=self._on_no_maps,
        )

    def _on_shown(self) -> None:
        """Forget which run predicted the case before: not every way to a case reads its maps."""
        if self._session.labelling.shown != self._maps_of:
            self.run_shown, self.own_maps, self._maps_of = None, {}, None
            self._gave_way = False
            self.worst.forget()
            self.regions.forget()

    def _on_no_maps(self, sentence: str) -> None:
        self._awaited = None
        self._session.layers.clear_maps()  # those of the scan before may wait there
        self._session.tell_problem(sentence)

    def _on_maps(self, name: str, found: Any) -> None:
        if name != self._session.labelling.shown:
            return
        self._awaited, self._maps_of = None, name
        if found is None:
            self.run_shown, self.own_maps = None, {}
            self._session.layers.clear_maps()
            self.worst.forget()
            self.regions.forget()
        else:
            run, maps = found
            self.run_shown = run
            self.own_maps = {kind: item.description for kind, item in maps.native.items()}
            self._session.layers.show_maps(maps, self._session.records.classes, self.run_shown)
            self._apply_visibility()
            self.worst.measure(maps)
            self.regions.look(run, maps)
        self.maps_changed.emit()

    def _on_arrived(self) -> None:
        self._apply_visibility()
        if self._session.layers.maps_complete:
            self.maps_changed.emit()

    def show_kind(self, kind: str, wanted: bool) -> None:
        """Show or hide the maps of one kind: one of `MAP_KINDS` or of `own_maps`."""
        (self.wanted_kinds.add if wanted else self.wanted_kinds.discard)(kind)
        self._apply_visibility()

    def show_class(self, value: int) -> None:
        """Choose the class whose maps are shown of those with one for each class."""
        self.class_shown = value
        self._apply_visibility()

    def kinds_on_screen(self) -> set[str]:
        """Return the kinds of maps that can be shown of the case on the screen."""
        return {key.split(":")[0] for key in self._session.layers.map_layers()}

    def kinds_a_class(self) -> set[str]:
        """Return the kinds of maps on the screen that have a layer for each class."""
        keys = self._session.layers.map_layers()
        return {key.split(":")[0] for key in keys if ":" in key}

    def _apply_visibility(self) -> None:
        classes = self._session.records.classes
        value = self.class_shown or (classes[0].value if classes else 1)
        for key, layer in self._session.layers.map_layers().items():
            kind, _, of_class = key.partition(":")
            visible = kind in self.wanted_kinds and of_class in ("", str(value))
            if layer.visible != visible:  # napari arranges the scene anew even if nothing changes
                layer.visible = visible

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
        decision: Callable[[Study, str], None],
        then: Callable[[], None] | None = None,
    ) -> None:
        self._session.labelling.flush()

        def work(study: Study) -> None:
            run = predictions.run_with_prediction(study, name)
            decision(study, run or study.run(None).identifier)

        def decided(_: None) -> None:
            if name == self._session.labelling.shown:
                if self._session.labelling.reading is None:  # else another one is awaited
                    self._awaited = name
                self._session.labelling.show_again(then=self.show_maps, maps_follow=True)
            if then is not None:
                then()

        self._session.change(work, decided)

    def forget(self) -> None:
        """Forget the predictions of a study that is left."""
        if self._measuring is not None:
            self._measuring.cancel()
            self._measuring = None
        self.unsure, self.run_shown, self.class_shown = {}, None, None
        self.own_maps = {}
        self._maps_of = self._awaited = None
        self.sizes.forget()
        self.trust.forget()
        self.worst.forget()
        self.regions.forget()
        self.maps_changed.emit()
