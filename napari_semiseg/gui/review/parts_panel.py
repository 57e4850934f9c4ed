"""The part of the Review page that decides on parts of a prediction. Main thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QItemSelectionModel, Qt
from qtpy.QtGui import QHideEvent, QShowEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt import QLabeledSlider
from superqt.utils import signals_blocked

from napari_semiseg.gui.review.parts import NOT_UNSURE, class_name, classes_by_value
from napari_semiseg.gui.widgets.case_columns import millilitres, percent
from napari_semiseg.gui.widgets.controls import Fold, allow, button, caption, describe, swatch

if TYPE_CHECKING:
    from napari_semiseg.engine.review.parts import Part
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.review.parts import PartReview
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

COLUMNS = (
    ("Part", "A connected piece of one structure that nobody has decided on."),
    ("Size", "Millilitres."),
    ("Sure", "How sure the program is, on average over the part."),
    ("Label", "Whether the part touches what is in the label already, or is on its own."),
)
MOST_ROWS = 100
BACKGROUND_COLOUR = "#808080"


class PartSection(Fold):
    """The parts of the prediction on the screen, how sure they must be, and the decisions on them."""

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, review: PartReview) -> None:
        super().__init__(
            "Parts of the prediction",
            "Accept what the program is sure of, part by part, and leave the rest to the brush.",
        )
        self._open = open_study
        self._on_show = on_show
        self._review = review
        self._listed: tuple[Part, ...] = ()
        self._make_controls()
        self._make_table()
        self._make_buttons()
        self.words = caption(faint=True)
        self._lay_out()
        self.switch.clicked.connect(self._on_fold)
        self._review.changed.connect(self.refresh)
        self.refresh()

    def _make_controls(self) -> None:
        self.certainty = QLabeledSlider(Qt.Orientation.Horizontal)
        self.certainty.setRange(0, 99)
        self.certainty.setValue(round(100 * self._review.certainty))
        describe(
            self.certainty,
            "How sure, in percent",
            "Parts hold only voxels that are at least as sure. What would be accepted is outlined.",
        )
        self.certainty.valueChanged.connect(lambda value: self._review.set_certainty(value / 100))
        self.background = QCheckBox("Background too")
        describe(
            self.background,
            "Background too",
            "Offer what is surely background, so that training learns where nothing is.",
        )
        self.background.toggled.connect(self._review.include_background)

    def _make_table(self) -> None:
        self.table = QTableWidget(0, len(COLUMNS))
        describe(
            self.table, "Parts of the prediction", "Choose a part here, or click it in the image."
        )
        for column, (title, tooltip) in enumerate(COLUMNS):
            item = QTableWidgetItem(title)
            item.setToolTip(tooltip)
            self.table.setHorizontalHeaderItem(column, item)
        rows, header = self.table.verticalHeader(), self.table.horizontalHeader()
        if rows is not None:
            rows.hide()
            rows.setDefaultSectionSize(22)
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.setFixedHeight(118)
        self.table.itemSelectionChanged.connect(self._on_row)

    def _make_buttons(self) -> None:
        review = self._review
        self.accept = button(
            "Accept part", "Take the chosen part into the label (Shift+A).", review.accept_chosen
        )
        self.reject = button(
            "Reject part",
            "The chosen part is wrong: it is not offered again, nor trained on (Shift+R).",
            review.reject_chosen,
        )
        self.accept_all = button(
            "Accept all these",
            "Take all parts in the list into the label (Shift+E).",
            review.accept_all,
        )
        self.undo = button("Undo", "Take the last decision on a part back (U).", review.undo)

    def _lay_out(self) -> None:
        how_sure = QWidget()
        row = QHBoxLayout(how_sure)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(caption("At least"))
        row.addWidget(self.certainty, 1)
        row.addWidget(caption("% sure"))
        decisions = QWidget()
        grid = QGridLayout(decisions)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for place, made in enumerate((self.accept, self.reject, self.accept_all, self.undo)):
            grid.addWidget(made, place // 2, place % 2)
        for part in (how_sure, self.background, self.table, decisions, self.words):
            self.add(part)

    # what shows

    def _on_fold(self) -> None:
        self._review.show(self._unfolded)
        self.refresh()

    @property
    def _unfolded(self) -> bool:
        return not self._body.isHidden()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Outline the parts when the page comes up (Qt's name)."""
        super().showEvent(event)
        self._review.show(self._unfolded)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Take the outlines off when the page goes (Qt's name)."""
        self._review.show(False)
        super().hideEvent(event)

    def refresh(self) -> None:
        """Show what is left to decide on."""
        review = self._review
        left = review.left
        self._list(() if left is None else left.found.table)
        reason, why_not_one = review.why_not(), review.why_not_one()
        allow(self.certainty, None if review.tells_certainty else NOT_UNSURE)
        allow(self.accept, why_not_one)
        allow(self.reject, why_not_one)
        allow(self.accept_all, reason)
        allow(self.undo, review.why_not_undo())
        self.words.setText(" ".join(filter(None, (reason or self._summary(), self._standing()))))

    def _list(self, table: tuple[Part, ...]) -> None:
        shown = table[:MOST_ROWS]
        with signals_blocked(self.table):
            if shown != self._listed:
                self._listed = shown
                self.table.setRowCount(len(shown))
                for row, part in enumerate(shown):
                    self._fill(row, part)
            chosen = self._review.chosen
            model = self.table.selectionModel()
            if model is not None:
                if chosen is not None and chosen in shown:
                    self.table.selectRow(shown.index(chosen))
                else:
                    model.select(model.selection(), QItemSelectionModel.SelectionFlag.Deselect)

    def _fill(self, row: int, part: Part) -> None:
        classes = self._open.records.classes
        name = class_name(part.class_value, classes_by_value(classes))
        colours = {item.value: item.colour for item in classes}
        touching = self._review.left is not None and part.number in self._review.left.touching
        texts = (
            f"{name} {part.component}",
            millilitres(part.size_ml),
            percent(part.certainty),
            "touches" if touching else "apart",
        )
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(COLUMNS[column][1])
            if column in (1, 2):
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(row, column, item)
        first = self.table.item(row, 0)
        if first is not None:
            first.setIcon(swatch(colours.get(part.class_value, BACKGROUND_COLOUR)))

    def _on_row(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self._listed) and self._listed[row] != self._review.chosen:
            self._review.choose(self._listed[row])

    def _summary(self) -> str:
        left = self._review.left
        if left is None:
            return ""
        table = left.found.table
        marked = sum(part.size_ml for part in table if part.class_value)
        what = "1 part" if len(table) == 1 else f"{len(table)} parts"
        if len(table) > MOST_ROWS:
            what += f" (the largest {MOST_ROWS} are listed)"
        return f"{what}, {millilitres(marked)} of the {millilitres(left.left_ml)} left to decide."

    def _standing(self) -> str:
        """Return what training sees of a case that is accepted in part."""
        case = self._on_show.case
        if case is None or not case.accepted_in_part:
            return ""
        return (
            "Accepted in part: training learns from what was accepted or painted, and takes the rest "
            "for not annotated."
        )
