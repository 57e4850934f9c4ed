"""The list of cases: a Qt model with an icon and a word for each state, and the view of it.

The Scans page shows all cases, the Review page the predicted ones; both can filter by name. State is
never told by colour alone. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSortFilterProxyModel, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_semiseg.engine.study import Case, CaseState

_COLOURS = {
    CaseState.UNLABELLED: "#8a8f99",
    CaseState.IN_PROGRESS: "#e69f00",
    CaseState.LABELLED: "#2fa36b",
    CaseState.PREDICTED: "#56b4e9",
    CaseState.ACCEPTED: "#2fa36b",
    CaseState.REJECTED: "#d55e00",
    CaseState.HELD_OUT: "#b08ad6",
}
_EXPLANATIONS = {
    CaseState.UNLABELLED: "no label yet",
    CaseState.IN_PROGRESS: "painting has begun; training leaves it alone until it is labelled",
    CaseState.LABELLED: "finished by a person; training learns from it",
    CaseState.PREDICTED: "a prediction waits for review",
    CaseState.ACCEPTED: "a person accepted the prediction; training learns from it",
    CaseState.REJECTED: "a person rejected the prediction",
    CaseState.HELD_OUT: "locked: never trained on, kept to measure quality",
}
_SIZE = 32


def state_icon(state: CaseState) -> QIcon:
    """Return the sign of a state; shape and colour both differ."""
    pixmap = QPixmap(_SIZE, _SIZE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = QColor(_COLOURS[state])
    painter.setPen(QPen(colour, 4))
    _draw(painter, state, colour)
    painter.end()
    return QIcon(pixmap)


def _draw(painter: QPainter, state: CaseState, colour: QColor) -> None:
    if state is CaseState.REJECTED:
        painter.drawLine(8, 8, 24, 24)
        painter.drawLine(8, 24, 24, 8)
    elif state is CaseState.ACCEPTED:
        painter.drawLine(6, 17, 13, 24)
        painter.drawLine(13, 24, 26, 8)
    elif state is CaseState.HELD_OUT:
        painter.drawArc(10, 4, 12, 18, 0, 180 * 16)
        painter.fillRect(7, 14, 18, 13, colour)
    elif state is CaseState.PREDICTED:
        painter.translate(16, 16)
        painter.rotate(45)
        painter.drawRect(-8, -8, 16, 16)
    else:
        painter.drawEllipse(6, 6, 20, 20)
        painter.setBrush(colour)
        if state is CaseState.LABELLED:
            painter.drawEllipse(6, 6, 20, 20)
        elif state is CaseState.IN_PROGRESS:
            painter.drawPie(6, 6, 20, 20, 90 * 16, 180 * 16)


class CaseTableModel(QAbstractTableModel):
    """Cases as rows: name, state, and for reviews how unsure the prediction is.

    Parameters
    ----------
    with_unsure : bool
        Whether there is a third column with the mean uncertainty.
    parent : QObject or None
        Qt's owner.
    """

    def __init__(self, with_unsure: bool = False, parent: Any = None) -> None:
        super().__init__(parent)
        self._cases: tuple[Case, ...] = ()
        self._unsure: Mapping[str, float | None] = {}
        self._headers = ["Scan", "State", *(["Unsure"] if with_unsure else [])]
        self._icons = {state: state_icon(state) for state in CaseState}

    def set_cases(
        self, cases: Sequence[Case], unsure: Mapping[str, float | None] | None = None
    ) -> None:
        """Show these cases, in this order."""
        names = [case.name for case in cases]
        unsure = dict(unsure or {})
        if names != [case.name for case in self._cases]:
            self.beginResetModel()
            self._cases, self._unsure = tuple(cases), unsure
            self.endResetModel()
            return
        self._cases, self._unsure = tuple(cases), unsure
        if cases:
            last = self.index(len(cases) - 1, len(self._headers) - 1)
            self.dataChanged.emit(self.index(0, 0), last)

    def case_at(self, row: int) -> Case:
        """Return the case of a row."""
        return self._cases[row]

    def row_of(self, name: str | None) -> int:
        """Return the row of a case; -1 where it is not shown."""
        return next((row for row, case in enumerate(self._cases) if case.name == name), -1)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of cases (Qt's name)."""
        return 0 if parent is not None and parent.isValid() else len(self._cases)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Return the number of columns (Qt's name)."""
        return 0 if parent is not None and parent.isValid() else len(self._headers)

    def headerData(  # noqa: N802
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return the title of a column (Qt's name)."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return self._headers[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        case = self._cases[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return (case.name, case.state.value, self._unsure_text(case.name))[index.column()]
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 1:
            return self._icons[case.state]
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._tooltip(case)
        return None

    def _unsure_text(self, name: str) -> str:
        mean = self._unsure.get(name)
        return "" if mean is None else f"{100 * mean:.0f} %"

    def _tooltip(self, case: Case) -> str:
        size = " × ".join(str(length) for length in reversed(case.geometry.shape))
        spacing = " × ".join(f"{length:.2f}" for length in reversed(case.geometry.spacing))
        kind = f"{case.modality}, " if case.modality else ""
        return (
            f"{case.name}: {_EXPLANATIONS[case.state]}.\n"
            f"{kind}{size} voxels of {spacing} mm\n{case.source.paths[0]}"
        )


class CaseTable(QTableView):
    """A list of cases with a filter.

    Parameters
    ----------
    with_unsure : bool
        Whether it has the column of uncertainty.
    name : str
        Accessible name.
    parent : QWidget or None
        Qt's owner.

    Attributes
    ----------
    chosen : Signal(str)
        Name of the case that was double-clicked or entered.
    selected : Signal()
        Another case, or none, is selected.
    """

    chosen = Signal(str)
    selected = Signal()

    def __init__(self, name: str, with_unsure: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.cases = CaseTableModel(with_unsure, self)
        self._filter = QSortFilterProxyModel(self)
        self._filter.setSourceModel(self.cases)
        self._filter.setFilterCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        self._filter.setFilterKeyColumn(-1)
        self.setModel(self._filter)
        self.setAccessibleName(name)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        rows, header = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert header is not None
        rows.hide()
        rows.setDefaultSectionSize(24)
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, self.cases.columnCount()):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self.activated.connect(self._on_activated)

    def set_filter(self, text: str) -> None:
        """Show only cases with this text in their name or state."""
        self._filter.setFilterFixedString(text)

    def selected_name(self) -> str | None:
        """Return the name of the selected case."""
        selection = self.selectionModel()
        rows = [] if selection is None else selection.selectedRows()
        return self.cases.case_at(self._filter.mapToSource(rows[0]).row()).name if rows else None

    def select(self, name: str | None) -> None:
        """Select a case; nothing where it is not shown."""
        row = self.cases.row_of(name)
        index = self._filter.mapFromSource(self.cases.index(row, 0)) if row >= 0 else None
        if index is None or not index.isValid():
            self.clearSelection()
        elif self.selected_name() != name:
            self.selectRow(index.row())
            self.scrollTo(index)

    def selectionChanged(self, *changes: Any) -> None:  # noqa: N802
        """Tell that another case is selected (Qt's name)."""
        super().selectionChanged(*changes)
        self.selected.emit()

    def _on_activated(self, index: QModelIndex) -> None:
        self.chosen.emit(self.cases.case_at(self._filter.mapToSource(index).row()).name)
