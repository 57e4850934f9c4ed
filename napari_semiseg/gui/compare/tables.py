"""The list of runs to tick, and the table of their figures, of the Compare page.

Views only: they show what they are given and tell what was ticked. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QFont
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_semiseg.engine.evaluation.measures import MEASURES, compared
from napari_semiseg.engine.study import ClassInfo
from napari_semiseg.gui.compare.figures import LETTERS, Column, Comparison, RunFigures
from napari_semiseg.gui.compare.layers import RUN_COLOURS
from napari_semiseg.gui.widgets.controls import describe, swatch

if TYPE_CHECKING:
    from qtpy.QtCore import QModelIndex

ROW_HEIGHT = 24
LIST_ROWS = 6
COLUMN_WIDTH = 48
FITTING_COLUMNS = 4
TOO_MANY = f"No more than {len(LETTERS)} runs can be compared at once: untick one first."


class RunList(QTableWidget):
    """All runs of a study with a tick for those that are compared.

    Parameters
    ----------
    parent : QWidget or None
        Qt's owner.

    Attributes
    ----------
    ticked : Signal(str, bool)
        Identifier of a run, and whether it is to be compared.
    """

    ticked = Signal(str, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self._runs: list[str] = []
        describe(self, "Runs", "Tick the runs that you want to compare; the newest come first.")
        self.setHorizontalHeaderLabels(["Run", "Dice"])
        _plain(self)
        header = _header(self)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setFixedHeight(ROW_HEIGHT * (LIST_ROWS + 1) + 4)
        self.itemChanged.connect(self._on_item)
        self.activated.connect(self._on_activated)

    def show_runs(self, comparison: Comparison | None, classes: Sequence[ClassInfo]) -> None:
        """Show the runs of a comparison; None empties the list.

        Parameters
        ----------
        classes : sequence of ClassInfo
            Classes of the study, for what a run's line tells when it is pointed at.
        """
        current = self.currentRow()
        with signals_blocked(self):
            runs = () if comparison is None else comparison.runs
            same = [each.identifier for each in runs] == self._runs
            self._runs = [each.identifier for each in runs]
            self.setRowCount(len(runs))
            chosen = 0 if comparison is None else len(comparison.columns)
            for row, figures in enumerate(runs):
                column = None if comparison is None else comparison.column(figures.identifier)
                full = chosen == len(LETTERS) and column is None
                for place, item in enumerate(_run_items(figures, column, full, classes)):
                    self.setItem(row, place, item)
            if same and current >= 0:
                self.setCurrentCell(current, 0)

    def _on_item(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            wanted = item.checkState() == Qt.CheckState.Checked
            self.ticked.emit(self._runs[item.row()], wanted)

    def _on_activated(self, index: QModelIndex) -> None:
        item = self.item(index.row(), 0)
        if item is not None and item.flags() & Qt.ItemFlag.ItemIsUserCheckable:
            ticked = item.checkState() == Qt.CheckState.Checked
            item.setCheckState(Qt.CheckState.Unchecked if ticked else Qt.CheckState.Checked)


def _run_items(
    figures: RunFigures, column: Column | None, full: bool, classes: Sequence[ClassInfo]
) -> tuple[QTableWidgetItem, QTableWidgetItem]:
    name = figures.name if column is None else f"{column.letter} · {figures.name}"
    first, second = QTableWidgetItem(name), QTableWidgetItem(_state(figures))
    reason = figures.why_not or (TOO_MANY if full else None)
    flags = Qt.ItemFlag.ItemIsSelectable
    if reason is None or column is not None:
        flags |= Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable
    first.setFlags(flags)
    second.setFlags(flags & ~Qt.ItemFlag.ItemIsUserCheckable)
    first.setCheckState(Qt.CheckState.Unchecked if column is None else Qt.CheckState.Checked)
    if column is not None:
        first.setIcon(swatch(RUN_COLOURS[LETTERS.index(column.letter)]))
    for item in (first, second):
        item.setToolTip(_about(figures, reason, classes))
    return first, second


def _state(figures: RunFigures) -> str:
    """Return a run's mean Dice, or why it has none, in a word or two."""
    if figures.metrics:
        dice = MEASURES["dice"].text(figures.dice[None])
        return f"{dice} …" if figures.missing else dice
    if figures.run.status == "running":
        return "training"
    return "not saved" if figures.why_not else "not measured"


def _about(figures: RunFigures, reason: str | None, classes: Sequence[ClassInfo]) -> str:
    run = figures.run
    terms = run.settings.get("training", {})
    time = f"{terms['steps']} steps" if terms.get("steps") else f"{terms.get('minutes')} minutes"
    lines = [
        f"{run.identifier}: {figures.title}",
        f"{run.status}, {time}, seed {run.seed}, {len(run.labelled)} labelled scans",
    ]
    if figures.metrics:
        text = MEASURES["dice"].text
        each = [f"{info.name} {text(figures.dice.get(info.value))}" for info in classes]
        lines.append(f"Dice on {len(figures.metrics)} held-out scans: {', '.join(each)}")
    return "\n".join([*lines, reason] if reason else lines)


class FigureTable(QTableWidget):
    """The means of the compared runs: a column for each run, a row for each measure.

    Parameters
    ----------
    parent : QWidget or None
        Qt's owner.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        describe(self, "Figures", "Means over the held-out scans; the best of each row is bold.")
        _plain(self)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        _header(self).setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        _header(self).setDefaultSectionSize(COLUMN_WIDTH)
        self.verticalHeader().show()  # type: ignore[union-attr]
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAsNeeded)

    def show_columns(
        self, columns: Sequence[Column], classes: Sequence[ClassInfo], structure: int | None
    ) -> None:
        """Show the means of runs.

        Parameters
        ----------
        classes : sequence of ClassInfo
            Classes of the study; each has a row for its Dice.
        structure : int or None
            Class value whose distances and volumes show; None shows the means over the classes.
        """
        rows: list[tuple[str, str, int | None]] = [("Dice, mean", "dice", None)]
        rows += [(f"Dice, {info.name}", "dice", info.value) for info in classes]
        rows += [(each.heading, each.key, structure) for each in compared() if each.key != "dice"]
        self.setRowCount(len(rows))
        self.setColumnCount(len(columns))
        self.setVerticalHeaderLabels([title for title, _, _ in rows])
        for place, column in enumerate(columns):
            head = QTableWidgetItem(
                swatch(RUN_COLOURS[LETTERS.index(column.letter)]), column.letter
            )
            head.setToolTip(column.figures.name)
            self.setHorizontalHeaderItem(place, head)
        for row, (title, measure, value) in enumerate(rows):
            self._fill_row(row, title, measure, value, columns)
        bar = self.horizontalScrollBar()
        assert bar is not None
        below = bar.sizeHint().height() if len(columns) > FITTING_COLUMNS else 0
        self.setFixedHeight(ROW_HEIGHT * (len(rows) + 1) + 4 + below)
        self.setVisible(bool(columns))

    def _fill_row(
        self,
        row: int,
        title: str,
        measure: str,
        structure: int | None,
        columns: Sequence[Column],
    ) -> None:
        info = MEASURES[measure]
        means = [each.means.get((measure, structure)) for each in columns]
        texts = [info.text(mean) for mean in means]
        known = [mean for mean in means if mean is not None]
        best = (
            "" if len(known) < 2 else info.text(max(known) if info.more_is_better else min(known))
        )
        bold = QFont(self.font())
        bold.setBold(True)
        head = self.verticalHeaderItem(row)
        if head is not None:
            head.setToolTip(info.meaning)
        for place, (text, column) in enumerate(zip(texts, columns, strict=True)):
            item = QTableWidgetItem(text)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            item.setToolTip(f"{column.figures.name}\n{title}: {text}\n{info.meaning}")
            item.setFlags(Qt.ItemFlag.ItemIsEnabled)
            if text == best:
                item.setFont(bold)
            self.setItem(row, place, item)


def _plain(table: QTableWidget) -> None:
    """Give a table the look of the desk's lists."""
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setShowGrid(False)
    table.setTabKeyNavigation(False)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    rows = table.verticalHeader()
    assert rows is not None
    rows.hide()
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    rows.setDefaultSectionSize(ROW_HEIGHT)
    _header(table).setHighlightSections(False)


def _header(table: QTableWidget) -> QHeaderView:
    header = table.horizontalHeader()
    assert header is not None
    return header
