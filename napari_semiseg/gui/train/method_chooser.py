"""The method chooser of the Train page: what is chosen, and a list to choose from by idea.

The list is folded away until it is asked for; every row that is walked to is chosen at once, as in a
box of choices, so that its explanation can be read below. Main thread only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_semiseg.gui.train.method_shelf import (
    Shelf,
    cost_in_words,
    first_key,
    for_comparisons,
    maps_in_words,
    paper_of,
    shelves,
)
from napari_semiseg.gui.widgets.controls import allow, button, caption, describe, heading

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.contract import Method

KEY = Qt.ItemDataRole.UserRole
LIST_HEIGHT = 230
COST_WIDTH = 46
WARNING = "For comparisons only, never for real labels."


class MethodChooser(QWidget):
    """Shows the chosen method and lets the user choose another.

    Attributes
    ----------
    changed : Signal
        Another method is chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._methods: dict[str, type[Method]] = {}
        self._key: str | None = None
        self.title = heading("")
        self.title.setAccessibleName("Chosen method")
        self.summary = caption("Loading the methods…")
        self.cost = caption(faint=True)
        self.change = button("Change…", "Choose another way to learn.", self._toggle)
        self._make_list()
        head = QHBoxLayout()
        head.addWidget(self.title, 1)
        head.addWidget(self.change, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(head)
        layout.addWidget(self.list)
        layout.addWidget(self.summary)
        layout.addWidget(self.cost)
        layout.addWidget(self.details)
        self.expand(False)
        self._show_chosen()

    def _make_list(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search: name, idea, author, year, map…")
        self.search.setClearButtonEnabled(True)
        describe(
            self.search, "Search methods", "Finds words in names, explanations, papers and maps."
        )
        self.search.textChanged.connect(self._fill)
        self.search.installEventFilter(self)
        self._make_tree()
        self.nothing = caption("No method has all these words.", faint=True)
        self.details = caption(faint=True)
        self.list = QWidget()
        layout = QVBoxLayout(self.list)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self.search)
        layout.addWidget(self.tree)
        layout.addWidget(self.nothing)

    def _make_tree(self) -> None:
        self.tree = QTreeWidget()
        self.tree.setColumnCount(2)
        self.tree.setHeaderHidden(True)
        self.tree.setRootIsDecorated(False)
        self.tree.setIndentation(10)
        # the short name of a method stands at the end of its title
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.setFixedHeight(LIST_HEIGHT)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        describe(
            self.tree,
            "Methods by idea",
            "The number is how long a step takes; a supervised one is 1. Arrow keys walk through "
            "the methods, Return closes the list.",
        )
        header = self.tree.header()
        if header is not None:
            header.setMinimumSectionSize(COST_WIDTH)
            header.setStretchLastSection(False)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(1, COST_WIDTH)
        self.tree.currentItemChanged.connect(self._on_item)
        self.tree.itemDoubleClicked.connect(lambda *_: self.expand(False))
        self.tree.installEventFilter(self)

    @property
    def key(self) -> str | None:
        """Key of the chosen method; None while there are none."""
        return self._key

    def offer(self, methods: Mapping[str, type[Method]], default: str) -> None:
        """Offer methods, of which the chosen one, else ``default``, is chosen."""
        self._methods = dict(methods)
        if self._key not in self._methods:
            self._key = first_key(self._methods, default)
        self._fill()
        self._show_chosen()
        self.changed.emit()

    def choose(self, key: str) -> None:
        """Choose a method by its key; one that is not offered is ignored."""
        if key in self._methods and key != self._key:
            self._key = key
            self._mark_chosen()
            self._show_chosen()
            self.changed.emit()

    def expand(self, expanded: bool = True) -> None:
        """Show the list, or fold it away."""
        self.list.setVisible(expanded)
        self.details.setVisible(expanded)
        self.change.setText("Done" if expanded else "Change…")
        self.change.setAccessibleName(
            "Close the list of methods" if expanded else "Change the method"
        )

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Let Return and Escape close the list, and Down go from the search into it (Qt's name)."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return super().eventFilter(watched, event)
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape):
            self.expand(False)
            self.change.setFocus()
            return True
        if watched is self.search and event.key() == Qt.Key.Key_Down:
            self.tree.setFocus()
            return True
        return super().eventFilter(watched, event)

    def _toggle(self) -> None:
        self.expand(self.list.isHidden())
        if not self.list.isHidden():
            self.search.clear()
            self._mark_chosen()
            self.search.setFocus()

    def _fill(self) -> None:
        with signals_blocked(self.tree):
            self.tree.clear()
            found = shelves(self._methods, self.search.text())
            for shelf in found:
                self._add_shelf(shelf)
            self.tree.expandAll()
        self.tree.setVisible(bool(found))
        self.nothing.setVisible(not found and bool(self._methods))
        self._mark_chosen()

    def _add_shelf(self, shelf: Shelf) -> None:
        group = QTreeWidgetItem([shelf.idea.title])
        group.setFlags(Qt.ItemFlag.ItemIsEnabled)  # a heading cannot be chosen
        group.setToolTip(0, shelf.idea.sentence)
        font = group.font(0)
        font.setBold(True)
        group.setFont(0, font)
        self.tree.addTopLevelItem(group)
        group.setFirstColumnSpanned(True)
        for key in shelf.keys:
            method = self._methods[key]
            row = QTreeWidgetItem([method.title, f"{method.cost.relative:.1f} ×"])
            row.setData(0, KEY, key)
            row.setToolTip(0, f"{method.title}\n{method.summary}\n{paper_of(method)}")
            row.setToolTip(1, f"A step takes {cost_in_words(method)}.")
            row.setTextAlignment(1, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            group.addChild(row)

    def _mark_chosen(self) -> None:
        """Select the first row of the chosen method; a recommended one has two."""
        current = self.tree.currentItem()
        if current is not None and current.data(0, KEY) == self._key:
            return
        with signals_blocked(self.tree):
            self.tree.setCurrentItem(None)
            for row in self._rows():
                if row.data(0, KEY) == self._key:
                    self.tree.setCurrentItem(row)
                    self.tree.scrollToItem(row)
                    break

    def _rows(self) -> list[QTreeWidgetItem]:
        groups = [self.tree.topLevelItem(index) for index in range(self.tree.topLevelItemCount())]
        return [
            row
            for group in groups
            if group is not None
            for index in range(group.childCount())
            if (row := group.child(index)) is not None
        ]

    def _on_item(self, item: QTreeWidgetItem | None) -> None:
        key = None if item is None else item.data(0, KEY)
        if key is not None:
            self.choose(key)

    def _show_chosen(self) -> None:
        method = self._methods.get(self._key or "")
        allow(self.change, None if self._methods else "The methods are still being loaded.")
        for part in (self.title, self.cost):
            part.setVisible(method is not None)
        if method is None:
            return
        self.title.setText(method.title)
        warning = f"{WARNING} " if for_comparisons(method) else ""
        self.summary.setText(f"{warning}{method.summary}")
        self.cost.setText(f"{method.paper.year} · a step takes {cost_in_words(method)}")
        self.details.setText(f"{paper_of(method)}\nMaps: {maps_in_words(method)}")
