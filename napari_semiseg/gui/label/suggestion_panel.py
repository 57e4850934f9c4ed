"""The part of the Label page that suggests which scans to label next, and why. Main thread only."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from napari_semiseg.gui.widgets.controls import allow, button, caption

if TYPE_CHECKING:
    from napari_semiseg.engine.review.suggestions import Suggestion
    from napari_semiseg.gui.label.suggesting import Suggesting
    from napari_semiseg.gui.open_study.open_study import OpenStudy

ALL_BEGUN = "All suggested scans are begun or labelled: ask again."


class SuggestionPanel(QWidget):
    """The button that asks, and the suggested scans with their reasons."""

    def __init__(self, open_study: OpenStudy, suggesting: Suggesting) -> None:
        super().__init__()
        self._suggesting = suggesting
        self._listed: tuple[Suggestion, ...] = ()
        self.ask = button(
            "What to label ne&xt?",
            "Picks scans the model is unsure about and that are unlike the labelled ones.",
            self._suggesting.look,
        )
        self.hide_all = button("Hide", "Put the suggestions away.", self._suggesting.forget)
        self.note = caption(ALL_BEGUN, faint=True)
        self._rows = QWidget()
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.ask, 1)
        row.addWidget(self.hide_all)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        self._column.addLayout(row)
        self._column.addWidget(self._rows)
        self._column.addWidget(self.note)
        for signal in (open_study.records_changed, open_study.job_changed, suggesting.changed):
            signal.connect(self.refresh)
        self._fill()
        self.refresh()

    @property
    def choices(self) -> list[QWidget]:
        """The buttons of the suggested scans, the best first."""
        layout = self._rows.layout()
        items = [] if layout is None else [layout.itemAt(i) for i in range(0, layout.count(), 2)]
        return [widget for item in items if item and (widget := item.widget()) is not None]

    def refresh(self) -> None:
        """Show what is suggested, or why nothing can be."""
        allow(self.ask, self._suggesting.why_not())
        listed = tuple(self._suggesting.suggestions)
        if listed != self._listed:
            self._listed = listed
            self._fill()
        asked = self._suggesting.run is not None
        self.hide_all.setVisible(asked)
        self._rows.setVisible(bool(listed))
        self.note.setVisible(asked and not listed)

    def _fill(self) -> None:
        former, self._rows = self._rows, QWidget()
        column = QVBoxLayout(self._rows)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        for suggestion in self._listed:
            slices = suggestion.slices
            where = f" · slice {slices[0].index}" if slices else ""
            choice = button(
                f"{suggestion.case}{where}".replace("&", "&&"),
                f"Show this scan at the slice to begin with. Chosen with {self._suggesting.run}.",
                partial(self._suggesting.open, suggestion),
            )
            choice.setStyleSheet("text-align: left; padding-left: 6px;")
            choice.setMinimumWidth(40)
            column.addWidget(choice)
            column.addWidget(caption(_sentence(suggestion.reason), faint=True))
        self._column.replaceWidget(former, self._rows)
        for before, after in pairwise((self.hide_all, *self.choices)):
            QWidget.setTabOrder(before, after)
        former.hide()
        former.deleteLater()


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
