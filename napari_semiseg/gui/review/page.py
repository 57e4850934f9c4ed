"""The Review page: predicted scans, where the program is unsure, and the decision on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_semiseg.engine.inference.maps import MAPS
from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.gui.open_study.advice import why_not_accept, why_not_predict
from napari_semiseg.gui.review.more_maps import MoreMaps
from napari_semiseg.gui.review.parts_panel import PartSection
from napari_semiseg.gui.review.size_panel import SizeSection
from napari_semiseg.gui.review.time_panel import TimePanel
from napari_semiseg.gui.review.trust_panel import TrustPanel
from napari_semiseg.gui.widgets.case_table import CaseTable
from napari_semiseg.gui.widgets.controls import (
    allow,
    button,
    caption,
    check,
    describe,
    heading,
    swatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.review.reviewing import Reviewing
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

NO_MAP = "The scan on the screen has no such map."
NO_OWN_MAPS = "The run has no maps of its method's own for this scan."


class ReviewPage(QWidget):
    """The list of predictions, their maps, and the buttons to decide."""

    def __init__(
        self,
        open_study: OpenStudy,
        on_show: CaseOnShow,
        maps: MapsOnShow,
        slices: SlicesOnShow,
        reviewing: Reviewing,
    ) -> None:
        super().__init__()
        self._open = open_study
        self._on_show = on_show
        self._maps = maps
        self._reviewing = reviewing
        self._classes: tuple[ClassInfo, ...] = ()
        self.predict = button(
            "Predic&t the other scans",
            "Predict every scan without a label of yours, with the newest run.",
            self._reviewing.predict_unlabelled,
        )
        self.predict.setMinimumHeight(32)
        self.with_run = caption(faint=True)
        self.table = CaseTable("Predicted scans", with_unsure=True)
        self.table.setMinimumHeight(130)
        self.table.setToolTip("The least trusted come first. Double-click or press Enter to look.")
        self.table.chosen.connect(self._maps.show_case)
        self.trust = TrustPanel(open_study, on_show, reviewing.trust)
        self._make_maps()
        self._make_decisions()
        self.parts = PartSection(open_study, on_show, reviewing.parts)
        self.sizes = SizeSection(open_study, on_show, maps, reviewing.sizes)
        self.time = TimePanel(open_study, on_show)
        self._lay_out()
        self._listen(slices)
        self.refresh()

    def _listen(self, slices: SlicesOnShow) -> None:
        for signal in (
            self._open.records_changed,
            self._open.job_changed,
            self._on_show.shown_changed,
            self._maps.changed,
            self._reviewing.unsure_changed,
            self._reviewing.trust.changed,
        ):
            signal.connect(self.refresh)
        for moved in (self._reviewing.worst.changed, slices.changed):
            moved.connect(self._refresh_worst)
        self._reviewing.before.changed.connect(self._refresh_before)

    def _make_maps(self) -> None:
        self.maps: dict[str, QCheckBox] = {}
        for kind, item in MAPS.items():
            box = QCheckBox(item.box)
            describe(box, f"Show {item.box.lower()}", item.explanation)
            box.setChecked(kind in self._maps.wanted_kinds)
            box.toggled.connect(lambda wanted, kind=kind: self._maps.show_kind(kind, wanted))
            self.maps[kind] = box
        self.more_maps = MoreMaps()
        self.more_maps.chosen.connect(self._show_more)
        self.of_class = QComboBox()
        self.of_class.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.of_class.setMinimumContentsLength(8)
        describe(self.of_class, "Class", "The class whose maps are shown, such as its distance.")
        self.of_class.activated.connect(
            lambda row: self._maps.show_class(self.of_class.itemData(row))
        )

    def _make_decisions(self) -> None:
        self.accept = button(
            "&Accept", "Make the prediction the label of this scan (A).", self.accept_case
        )
        self.fix = button(
            "Fi&x", "Copy the prediction into a label of yours and correct it (F).", self.fix_case
        )
        self.reject = button("&Reject", "The prediction is not good enough (R).", self.reject_case)
        for made in (self.accept, self.fix, self.reject):
            made.setMinimumHeight(32)
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("Reason for rejecting (optional)")
        describe(self.reason, "Reason for rejecting", "Kept with the decision.")
        self.go_on = QCheckBox("Then show the next")
        self.go_on.setChecked(True)
        describe(self.go_on, "Show the next scan after a decision", "Go to the first scan left.")
        self.next = button(
            "&Next scan", "Show the first scan in the list that is left (N).", self._next
        )
        self.worst = button(
            "Worst slice",
            "Jump to the slice where most is probably wrong, then to the next worst (W).",
            self._reviewing.worst.show_next,
        )
        self.before = button(
            "Before",
            "Show the label as it was before the last decision or correction, and back (B).",
            self._reviewing.before.toggle,
        )
        self.before.setCheckable(True)
        self.worst_found = QElidingLabel()
        self.worst_found.setAccessibleName("What may be wrong in the slice")
        self.why = caption(faint=True)

    def _lay_out(self) -> None:
        maps = QGridLayout()
        for index, box in enumerate(self.maps.values()):
            maps.addWidget(box, index // 2, index % 2)
        maps.addWidget(self.more_maps, len(self.maps) // 2, len(self.maps) % 2)
        of_class = QHBoxLayout()
        of_class.addWidget(caption("Of class"))
        of_class.addWidget(self.of_class, 1)
        decisions = QHBoxLayout()
        decisions.setSpacing(4)
        for made in (self.accept, self.fix, self.reject):
            decisions.addWidget(made, 1)
        onward = QHBoxLayout()
        onward.addWidget(self.go_on, 1)
        onward.addWidget(self.next)
        slices = QHBoxLayout()
        slices.addWidget(self.worst)
        slices.addWidget(self.worst_found, 1)
        slices.addWidget(self.before)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.predict)
        layout.addWidget(self.with_run)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.trust)
        layout.addLayout(slices)
        layout.addLayout(decisions)
        layout.addWidget(self.why)
        layout.addWidget(self.reason)
        layout.addLayout(onward)
        layout.addWidget(self.time)
        layout.addWidget(self.parts)
        layout.addWidget(heading("Show"))
        layout.addLayout(maps)
        layout.addLayout(of_class)
        layout.addWidget(self.sizes)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return the keys that act on the image while this page is on show."""
        return {
            "A": self.accept_case,
            "F": self.fix_case,
            "R": self.reject_case,
            "N": self._next,
            "W": self._reviewing.worst.show_next,
            "B": self._reviewing.before.toggle,
            "P": self._reviewing.parts.choose_next,
            "Shift-A": self._reviewing.parts.accept_chosen,
            "Shift-R": self._reviewing.parts.reject_chosen,
            "Shift-E": self._reviewing.parts.accept_all,
            "U": self._reviewing.parts.undo,
        }

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Find out what the list lacks when the page comes up (Qt's name)."""
        super().showEvent(event)
        self._reviewing.measure_missing()
        self._reviewing.trust.judge_missing()

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Show the present label again when the page goes (Qt's name)."""
        self._reviewing.before.show(False)
        super().hideEvent(event)

    def refresh(self) -> None:
        """Show what is predicted and what can be decided."""
        records, job = self._open.records, self._open.job
        if self.isVisible():
            self._reviewing.measure_missing()
            self._reviewing.trust.judge_missing()
        self.table.set_cases(
            self._reviewing.cases(),
            unsure=self._reviewing.unsure,
            trust=self._reviewing.trust.scores,
        )
        shown = self._on_show.reading or self._on_show.name
        self.table.select(shown)
        reason = why_not_predict(records, None if job is None else job.title)
        allow(self.predict, reason)
        run = records.usable_run
        self.with_run.setText(reason or ("" if run is None else f"With the run {run.identifier}."))
        self._refresh_maps()
        self._refresh_decisions()
        self._refresh_worst()
        self._refresh_before()
        self.parts.refresh()
        self.trust.refresh()

    def _refresh_worst(self) -> None:
        allow(self.worst, self._reviewing.worst.why_not())
        self.worst_found.setText(self._reviewing.worst.words)

    def _refresh_before(self) -> None:
        allow(self.before, self._reviewing.before.why_not())
        check(self.before, self._reviewing.before.showing)

    def _refresh_maps(self) -> None:
        there, wanted = self._maps.kinds(), self._maps.wanted_kinds
        for kind, box in self.maps.items():
            check(box, kind in wanted)
            missing = MAPS[kind].missing if self._has_prediction() else ""
            allow(box, None if kind in there else missing or NO_MAP)
        own = {kind: item for kind, item in self._maps.own_maps.items() if kind in there}
        missing = NO_OWN_MAPS if self._has_prediction() else NO_MAP
        self.more_maps.offer(own, wanted, None if own else missing)
        classes = self._open.records.classes
        if classes != self._classes:
            self._classes = classes
            self.of_class.clear()
            for item in classes:
                self.of_class.addItem(swatch(item.colour), item.name, item.value)
        allow(self.of_class, None if self._maps.kinds_a_class() else NO_MAP)

    def _show_more(self, kind: str, wanted: bool) -> None:
        self._maps.show_kind(kind, wanted)
        self._refresh_maps()

    def _refresh_decisions(self) -> None:
        reason = self._why_not(accepting=True)
        allow(self.accept, reason)
        allow(self.fix, self._why_not(accepting=False))
        no_prediction = self._why_not_reject()
        allow(self.reject, no_prediction)
        allow(self.reason, no_prediction)
        self.why.setText(reason or "")
        self.why.setVisible(reason is not None)
        none_left = self._reviewing.next_case(self._on_show.name) is None
        allow(self.next, "No other prediction waits for a decision." if none_left else None)

    def _has_prediction(self) -> bool:
        return self._maps.predicted_by is not None

    def _why_not(self, accepting: bool) -> str | None:
        case = self._on_show.case
        reason = why_not_accept(case, self._has_prediction())
        fixable = case is not None and case.label_origin == "accepted" and not case.held_out
        return None if not accepting and fixable and self._has_prediction() else reason

    def _why_not_reject(self) -> str | None:
        if self._on_show.case is None:
            return "No scan is on the screen: choose one in the list."
        return None if self._has_prediction() else "This scan has no prediction: predict it first."

    # decisions

    def accept_case(self) -> None:
        """Accept the prediction on the screen."""
        name = self._on_show.name
        if name is not None and self._why_not(accepting=True) is None:
            self._reviewing.accept(name)
            self._go_on(name)

    def fix_case(self) -> None:
        """Start a label of the user's own from the prediction on the screen."""
        name = self._on_show.name
        if name is not None and self._why_not(accepting=False) is None:
            self._reviewing.fix(name)

    def reject_case(self) -> None:
        """Reject the prediction on the screen."""
        name = self._on_show.name
        if name is not None and self._why_not_reject() is None:
            self._reviewing.reject(name, self.reason.text().strip())
            self.reason.clear()
            self._go_on(name)

    def _go_on(self, after: str) -> None:
        following = self._reviewing.next_case(after)
        if self.go_on.isChecked() and following is not None:
            self._maps.show_case(following)

    def _next(self) -> None:
        following = self._reviewing.next_case(self._on_show.name)
        if following is not None:
            self._maps.show_case(following)
