"""The list of cases: a Qt model with an icon and a word for each state, and the view of it.

The Scans page shows all cases in detail, the Review page the predicted ones. State is never told by
colour alone. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QFont, QIcon
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_semiseg.engine.study import Case, CaseState, ClassInfo
from napari_semiseg.engine.study.overview import CaseOverview
from napari_semiseg.gui.widgets.case_columns import (
    SCAN,
    STATE,
    TRUST,
    UNSURE,
    CaseRow,
    Column,
    detailed_columns,
    full_text,
    sorted_rows,
)
from napari_semiseg.gui.widgets.controls import swatch
from napari_semiseg.gui.widgets.state_icons import state_icon
from napari_semiseg.gui.widgets.thumbnails import (
    REMARK_ROLE,
    ROW_HEIGHT,
    SIDE,
    ScanDelegate,
    Thumbnails,
)

__all__ = ["CaseTable", "CaseTableModel", "state_icon"]

_CELL_MARGIN = 8


class CaseTableModel(QAbstractTableModel):
    """Cases as rows, which can be filtered and sorted.

    It filters and sorts by itself: Qt's own proxy asks Python for every comparison, which hundreds of
    cases feel.

    Parameters
    ----------
    with_unsure : bool
        Whether there are columns with the mean uncertainty and the trust in predictions.
    detailed : bool
        Whether there are pictures, volumes and all other columns.
    parent : QObject or None
        Qt's owner.
    """

    def __init__(
        self, with_unsure: bool = False, detailed: bool = False, parent: Any = None
    ) -> None:
        super().__init__(parent)
        self._detailed = detailed
        self.columns = (
            detailed_columns(())
            if detailed
            else (SCAN, STATE, *((UNSURE, TRUST) if with_unsure else ()))
        )
        self._rows: list[CaseRow] = []
        self._shown: list[CaseRow] = []
        self._text = ""
        self._wanted: Callable[[CaseRow], bool] | None = None
        self._sorting: tuple[int, bool] | None = None
        self._thumbnails = Thumbnails()
        self._icons = {state: state_icon(state) for state in CaseState}
        self._swatches: dict[int, QIcon] = {}
        self._slanted = QFont()
        self._slanted.setItalic(True)

    # what is shown

    def set_cases(
        self,
        cases: Sequence[Case],
        unsure: Mapping[str, float | None] | None = None,
        overviews: Mapping[str, CaseOverview] | None = None,
        trust: Mapping[str, float | None] | None = None,
    ) -> None:
        """Show these cases, in this order until the user sorts them.

        Parameters
        ----------
        unsure : mapping of str to float or None, optional
            Mean uncertainty of their predictions, 0…1; by default that of the overviews.
        trust : mapping of str to float or None, optional
            How far their predictions may be trusted, 0…1.
        """
        unsure, overviews, trust = unsure or {}, overviews or {}, trust or {}
        self._rows = [
            _row(case, overviews.get(case.name), unsure.get(case.name), trust.get(case.name))
            for case in cases
        ]
        self._arrange()

    def set_overviews(self, overviews: Mapping[str, CaseOverview]) -> None:
        """Show what more is known of some of the cases."""
        for place, row in enumerate(self._rows):
            found = overviews.get(row.case.name)
            if found is not None:
                self._rows[place] = _row(row.case, found, None, row.trust)
        self._arrange()

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Give each class a column for its volume; only for a detailed list."""
        self.beginResetModel()
        self.columns = detailed_columns(classes)
        self._swatches = {item.value: swatch(item.colour) for item in classes}
        self._sorting = None
        self._shown = self._arranged()
        self.endResetModel()

    def set_filter(self, text: str) -> None:
        """Show only cases with this text in their name, state or remark."""
        self._text = text.strip().lower()
        self._arrange()

    def set_wanted(self, wanted: Callable[[CaseRow], bool] | None) -> None:
        """Show only cases for which a function is true; None shows all."""
        self._wanted = wanted
        self._arrange()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; -1 gives the order of `set_cases` (Qt's name)."""
        self._sorting = None if column < 0 else (column, order == Qt.SortOrder.DescendingOrder)
        self._arrange()

    def _arranged(self) -> list[CaseRow]:
        rows = [row for row in self._rows if self._text in row.words] if self._text else self._rows
        if self._wanted is not None:
            rows = [row for row in rows if self._wanted(row)]
        if self._sorting is None:
            return list(rows)
        column, descending = self._sorting
        return sorted_rows(rows, self.columns[column], descending)

    def _arrange(self) -> None:
        before = [row.case.name for row in self._shown]
        shown = self._arranged()
        after = [row.case.name for row in shown]
        if after == before:
            self._shown = shown
            if shown:
                last = self.index(len(shown) - 1, len(self.columns) - 1)
                self.dataChanged.emit(self.index(0, 0), last)
        elif len(after) == len(before) and set(after) == set(before):
            self._reorder(shown)
        else:
            self.beginResetModel()
            self._shown = shown
            self.endResetModel()

    def _reorder(self, shown: list[CaseRow]) -> None:
        """Put the same cases into another order; the selection stays on its case."""
        self.layoutAboutToBeChanged.emit()
        kept = self.persistentIndexList()
        names = [self._shown[index.row()].case.name for index in kept]
        self._shown = shown
        places = {row.case.name: place for place, row in enumerate(shown)}
        moved = [
            self.index(places[name], index.column())
            for name, index in zip(names, kept, strict=True)
        ]
        self.changePersistentIndexList(kept, moved)
        self.layoutChanged.emit()

    # what Qt asks

    def case_at(self, row: int) -> Case:
        """Return the case of a row."""
        return self._shown[row].case

    def row_of(self, name: str | None) -> int:
        """Return the row of a case; -1 where it is not shown."""
        return next((place for place, row in enumerate(self._shown) if row.case.name == name), -1)

    def names(self) -> list[str]:
        """Return the names of the cases that are shown, in their order."""
        return [row.case.name for row in self._shown]

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of cases (Qt's name)."""
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns (Qt's name)."""
        return 0 if parent is not None and parent.isValid() else len(self.columns)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the title of a column (Qt's name)."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self.columns):
            return None
        column = self.columns[section]
        if role == Qt.ItemDataRole.DisplayRole:
            return column.title
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{column.tooltip} Press to sort." if self._detailed else column.tooltip
        if role == Qt.ItemDataRole.DecorationRole and column.class_value is not None:
            return self._swatches.get(column.class_value)
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        row, column = self._shown[index.row()], self.columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            # in detail the word for the state stands under the name
            return "" if self._detailed and column is STATE else column.text(row)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            remarked = self._detailed and column is SCAN
            return f"{row.case.name}, {row.remark}" if remarked else column.text(row)
        if role == Qt.ItemDataRole.ToolTipRole:
            return full_text(row)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._decoration(row, column)
        if self._detailed:
            return self._detail(row, column, role)
        return None

    def _decoration(self, row: CaseRow, column: Column) -> QIcon | None:
        if column is STATE:
            return self._icons.get(row.case.state) or state_icon(row.case.state)
        if column is SCAN and self._detailed:
            picture = None if row.overview is None else row.overview.thumbnail
            return self._thumbnails.icon(row.case.name, picture)
        return None

    def _detail(self, row: CaseRow, column: Column, role: int) -> Any:
        if role == REMARK_ROLE and column is SCAN:
            return row.remark
        if role == Qt.ItemDataRole.TextAlignmentRole and column not in (SCAN, STATE):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.FontRole and column.class_value is not None:
            marked = None if row.overview is None else row.overview.marked
            return self._slanted if marked is not None and marked.run is not None else None
        return None


def _row(
    case: Case, overview: CaseOverview | None, unsure: float | None, trust: float | None
) -> CaseRow:
    if unsure is None and overview is not None and overview.marked is not None:
        unsure = overview.marked.unsure
    return CaseRow(case, overview, unsure, trust)


class CaseTable(QTableView):
    """A list of cases with a filter.

    Parameters
    ----------
    with_unsure : bool
        Whether it has the columns of uncertainty and, where it is known, of trust.
    detailed : bool
        Whether it shows pictures, volumes and all other columns, and sorts by them.
    parent : QWidget or None
        Qt's owner.

    Attributes
    ----------
    cases : CaseTableModel
        What it shows.
    chosen : Signal(str)
        Name of the case that was double-clicked or entered.
    selected : Signal()
        Another case, or none, is selected.
    """

    chosen = Signal(str)
    selected = Signal()

    def __init__(
        self,
        name: str,
        with_unsure: bool = False,
        detailed: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.cases = CaseTableModel(with_unsure, detailed, self)
        self._detailed = detailed
        self._kept: str | None = None
        self.setModel(self.cases)
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self._shape_columns()
        self.cases.modelAboutToBeReset.connect(self._keep_selection)
        self.cases.modelReset.connect(self._restore_selection)
        self.activated.connect(self._on_activated)

    def _shape_columns(self) -> None:
        rows, header = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        header.setHighlightSections(False)
        header.setTextElideMode(Qt.TextElideMode.ElideRight)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        if self._detailed:
            rows.setDefaultSectionSize(ROW_HEIGHT)
            self.setItemDelegateForColumn(0, ScanDelegate(self))
            self.setIconSize(QSize(SIDE, SIDE))
            self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
            header.setMinimumSectionSize(24)
            header.setSectionsClickable(True)
            header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
            self.setSortingEnabled(True)
            self._size_columns()
        else:
            self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            rows.setDefaultSectionSize(24)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            for column in range(1, self.cases.columnCount()):
                header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)

    def _size_columns(self) -> None:
        # from the texts that they have to hold: asking every row would take long
        letters = self.fontMetrics()
        for place, column in enumerate(self.cases.columns):
            widest = column.title if column is STATE else column.widest
            width = letters.horizontalAdvance(widest) + 2 * _CELL_MARGIN
            self.setColumnWidth(place, width + (SIDE if place == 0 else 0))

    def set_classes(self, classes: Sequence[ClassInfo]) -> None:
        """Give each class a column for its volume; only for a detailed list."""
        self.cases.set_classes(classes)
        header = self.horizontalHeader()
        if header is not None:
            header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self._size_columns()

    def set_cases(self, cases: Sequence[Case], **known: Any) -> None:
        """Show these cases; as `CaseTableModel.set_cases`, but without columns that say nothing."""
        self.cases.set_cases(cases, **known)
        if TRUST in self.cases.columns:
            self.setColumnHidden(self.cases.columns.index(TRUST), not known.get("trust"))

    def set_filter(self, text: str) -> None:
        """Show only cases with this text in their name, state or remark."""
        self.cases.set_filter(text)

    def selected_name(self) -> str | None:
        """Return the name of the selected case."""
        selection = self.selectionModel()
        rows = [] if selection is None else selection.selectedRows()
        return self.cases.case_at(rows[0].row()).name if rows else None

    def select(self, name: str | None) -> None:
        """Select a case; nothing where it is not shown."""
        row = self.cases.row_of(name)
        if row < 0:
            self.clearSelection()
        elif self.selected_name() != name:
            self.selectRow(row)
            self.scrollTo(self.cases.index(row, 0))

    def neighbour(self, name: str | None, distance: int) -> str | None:
        """Return the case ``distance`` rows below another; the first row where that is not shown."""
        names = self.cases.names()
        if name not in names:
            return names[0] if names else None
        place = names.index(name) + distance
        return names[place] if 0 <= place < len(names) else None

    def selectionChanged(self, *changes: Any) -> None:  # noqa: N802
        """Tell that another case is selected (Qt's name)."""
        super().selectionChanged(*changes)
        self.selected.emit()

    def _keep_selection(self) -> None:
        self._kept = self.selected_name()

    def _restore_selection(self) -> None:
        if self._kept is not None:
            self.select(self._kept)
        if self.selected_name() != self._kept:
            self.selected.emit()  # a reset takes the selection away without a word

    def _on_activated(self, index: QModelIndex) -> None:
        self.chosen.emit(self.cases.case_at(index.row()).name)
