"""The Label page: which scan and slice, which class, how the brush paints, and what is finished.

Main thread only; the tools are in `panels`.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel
from superqt.utils import signals_blocked

from napari_semiseg.engine.review.time_ledger import time_words
from napari_semiseg.engine.study import CaseState, ClassInfo
from napari_semiseg.gui.label.panels import BrushPanel, ClassPanel, SlicePanel
from napari_semiseg.gui.label.suggestion_panel import SuggestionPanel
from napari_semiseg.gui.widgets.case_table import state_icon
from napari_semiseg.gui.widgets.controls import (
    allow,
    button,
    caption,
    check,
    describe,
    heading,
    how_long_ago,
    swatch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_semiseg.gui.label.labelling import Labelling
    from napari_semiseg.gui.label.suggesting import Suggesting
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

MOST_KEYS = 9
RENEW_MILLISECONDS = 2000
NO_SCAN = "No scan is on the screen: choose one above."


class LabelPage(QWidget):
    """The scan on the screen, its classes and its state."""

    def __init__(
        self,
        open_study: OpenStudy,
        on_show: CaseOnShow,
        labelling: Labelling,
        suggesting: Suggesting,
    ) -> None:
        super().__init__()
        self._open = open_study
        self._on_show = on_show
        self._labelling = labelling
        self._slices = labelling.slices
        self._saving = labelling.saving
        self._classes: tuple[ClassInfo, ...] = ()
        self._listed: list[tuple[str, CaseState]] = []
        self._icons = {state: state_icon(state) for state in CaseState}
        self._brushes = QButtonGroup(self)
        self._brushes.setExclusive(False)
        self._make_case_row()
        self._make_tools(suggesting)
        self._make_state()
        self._lay_out()
        for signal in (
            open_study.records_changed,
            on_show.shown_changed,
            self._saving.changed,
        ):
            signal.connect(self.refresh)
        labelling.brush_changed.connect(self._refresh_brush)
        self._no_slices = self._slices.no_slices
        self._slices.changed.connect(self._on_slices)
        self._timer = QTimer(self)
        self._timer.setInterval(RENEW_MILLISECONDS)
        self._timer.timeout.connect(self._renew_state)
        self._timer.start()
        self.refresh()

    def _make_case_row(self) -> None:
        self.previous = button("◀", "Show the scan before (PageUp).", self._show_previous)
        self.previous.setAccessibleName("Previous scan")
        self.next = button("▶", "Show the next scan (PageDown).", self._show_next)
        self.next.setAccessibleName("Next scan")
        for widget in (self.previous, self.next):
            widget.setFixedWidth(38)
        self.case = QComboBox()
        self.case.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.case.setMinimumContentsLength(8)
        self.case.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        describe(self.case, "Scan", "The scan on the screen.")
        self.case.activated.connect(lambda row: self._on_show.show(self.case.itemText(row)))

    def _make_tools(self, suggesting: Suggesting) -> None:
        self.suggestions = SuggestionPanel(self._open, suggesting)
        self.slices = SlicePanel(self._on_show, self._slices)
        self.brushes = QWidget()
        self.brush = BrushPanel(self._labelling)
        self.brush_size = self.brush.diameter
        self.tools = ClassPanel(self._labelling)
        self.class_title = heading("")
        self.hint = caption(
            "Ctrl+Z takes a stroke back, Ctrl+Shift+Z brings it again. Every stroke is saved.",
            faint=True,
        )

    def _make_state(self) -> None:
        self.state = QElidingLabel()
        self.state.setAccessibleName("State of the label")
        self.done = button(
            "&Mark as labelled", "The label is finished: training may learn from it (M).", self.mark
        )
        self.done.setMinimumHeight(32)
        self.why = caption(faint=True)
        self.restore = button(
            "&Restore previous label",
            "Exchange the label with the one before the last save; press again to go back.",
            self._labelling.restore_previous,
        )

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        for widget, stretch in ((self.previous, 0), (self.case, 1), (self.next, 0)):
            row.addWidget(widget, stretch)
        layout = self._column = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.suggestions)
        layout.addWidget(self.state)
        layout.addWidget(self.slices)
        layout.addWidget(heading("Paint"))
        layout.addWidget(self.brushes)
        layout.addWidget(self.brush)
        layout.addWidget(self.class_title)
        layout.addWidget(self.tools)
        layout.addWidget(self.hint)
        layout.addSpacing(6)
        layout.addWidget(self.done)
        layout.addWidget(self.why)
        layout.addWidget(self.restore)
        layout.addStretch(1)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return the keys that act on the image while this page is on show."""
        values = [0, *(item.value for item in self._open.records.classes)][: MOST_KEYS + 1]
        keys: dict[str, Callable[[], None]] = {
            str(index): partial(self._labelling.paint_with, value)
            for index, value in enumerate(values)
        }
        return keys | {
            "M": self.mark,
            "D": self._slices.mark_current,
            "S": self.brush.switch_shape,
            "W": self.brush.switch_limits,
            "I": self._labelling.tools.interpolate,
            "K": self._labelling.tools.keep_largest,
            "H": self.tools.fill_enclosed,
            "PageUp": self._show_previous,
            "PageDown": self._show_next,
        }

    def refresh(self) -> None:
        """Show the scan on the screen and its state."""
        if self._open.records.classes != self._classes:
            self._classes = self._open.records.classes
            self._fill_brushes()
        self._refresh_cases()
        self._refresh_state()
        self._refresh_brush()
        self.slices.refresh()

    def _renew_state(self) -> None:
        """Let the time since the last save run on."""
        if self.isVisible():
            self.state.setText(self._state_text())

    def _refresh_cases(self) -> None:
        cases = self._open.records.cases
        shown = self._on_show.reading or self._on_show.name
        with signals_blocked(self.case):
            listed = [(case.name, case.state) for case in cases]
            if listed != self._listed:
                self._listed = listed
                self.case.clear()
                for name, state in listed:
                    self.case.addItem(self._icons.get(state) or state_icon(state), name)
            self.case.setCurrentIndex(self.case.findText(shown) if shown else -1)
            self.case.setPlaceholderText("Choose a scan" if cases else "No scans yet")
        row = self.case.currentIndex()
        first = "This is the first scan." if row == 0 else None
        last = "This is the last scan." if row == len(cases) - 1 and row >= 0 else None
        empty = None if cases else "There are no scans yet: add some on the Scans page."
        allow(self.case, empty)
        allow(self.previous, empty or first)
        allow(self.next, empty or last)

    def _refresh_state(self) -> None:
        case = self._on_show.case
        self.state.setText(self._state_text())
        reason = NO_SCAN if case is None else None
        finished = case is not None and case.hidden_state is CaseState.LABELLED
        if case is not None and not case.has_label and not self._saving.under_way:
            reason = "Nothing is painted yet: choose a class and paint first."
        self.done.setText("Back to &in progress" if finished else "&Mark as labelled")
        allow(self.done, reason)
        self.why.setText(reason or "")
        self.why.setVisible(reason is not None)
        no_previous = case is None or case.previous_label_version is None
        allow(self.restore, "There is no earlier version of this label." if no_previous else None)

    def _state_text(self) -> str:
        if self._on_show.reading is not None:
            return f"Reading {self._on_show.reading}…"
        case = self._on_show.case
        if case is None:
            return ""
        parts = [case.state.value.capitalize()]
        if self._saving.under_way:
            parts.append("saving…")
        elif self._saving.failed:
            parts.append("not saved, kept for another try")
        elif self._saving.saved_at is not None:
            parts.append(f"saved {how_long_ago(time.time() - self._saving.saved_at)}")
        elif case.label_saved_at is not None:
            saved = datetime.fromisoformat(case.label_saved_at).astimezone()
            parts.append(f"saved {saved:%d %b %Y, %H:%M}")
        if case.time.edits:
            parts.append(time_words(case.time))
        return " · ".join(parts)

    def _fill_brushes(self) -> None:
        former = self.brushes
        self.brushes = QWidget()
        grid = QGridLayout(self.brushes)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for made in self._brushes.buttons():
            self._brushes.removeButton(made)
        erase = ClassInfo(0, "Erase", "#000000")
        for index, item in enumerate((*self._classes, erase)):
            key = (index + 1 if index < MOST_KEYS else None) if item.value else 0
            brush = self._brush(item, key)
            self._brushes.addButton(brush, item.value)
            grid.addWidget(brush, index // 2, index % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self._column.replaceWidget(former, self.brushes)
        reached = [self.slices.done, *self._brushes.buttons(), self.brush_size]
        for before, after in pairwise(reached):
            QWidget.setTabOrder(before, after)
        former.hide()
        former.deleteLater()

    def _brush(self, item: ClassInfo, key: int | None) -> QPushButton:
        hint = "" if key is None else f" (key {key} on the image)"
        what = "Take paint away" if item.value == 0 else f"Paint {item.name}"
        text = item.name if key is None else f"{key}  {item.name}"
        brush = button(
            text.replace("&", "&&"), f"{what}{hint}.", lambda: self._paint_with(item.value)
        )
        brush.setCheckable(True)
        brush.setMinimumWidth(40)
        brush.setStyleSheet("text-align: left; padding-left: 6px;")
        brush.setAccessibleName(what)
        if item.value:
            brush.setIcon(swatch(item.colour))
        return brush

    def _on_slices(self) -> None:
        """Refresh the tools where the view has come to cut slices, or none: not for every slice."""
        reason = self._slices.no_slices
        if reason != self._no_slices:
            self._no_slices = reason
            self._refresh_brush()

    def _paint_with(self, value: int) -> None:
        self._labelling.paint_with(value)
        self._refresh_brush()

    def _refresh_brush(self) -> None:
        value = self._labelling.brush_value
        reason = None if self._on_show.name is not None else NO_SCAN
        if reason is None and self._on_show.layers.label_layer is None:
            reason = self._slices.no_slices
        for brush in self._brushes.buttons():
            check(brush, self._brushes.id(brush) == value)
            allow(brush, reason)
        self.brush.refresh(reason)
        self.tools.refresh(reason)
        name = next((item.name for item in self._classes if item.value == self._in_hand()), None)
        self.class_title.setText("All of a class" if name is None else f"All of {name}")

    def _in_hand(self) -> int | None:
        """Return the class that tools act on: the one the brush has, also while it is put away."""
        layer = self._on_show.layers.label_layer
        return None if layer is None else int(layer.selected_label)

    def mark(self) -> None:
        """Mark the label as finished, or as in progress again."""
        case = self._on_show.case
        if case is None:
            return
        if case.hidden_state is CaseState.LABELLED:
            self._labelling.mark_in_progress()
        else:
            self._labelling.mark_labelled()

    def _show_previous(self) -> None:
        self._on_show.show_neighbour(-1)

    def _show_next(self) -> None:
        self._on_show.show_neighbour(1)
