"""The table of classes: key, colour, name and value of what is marked in the scans of a study.

Part of the Scans page. An edit goes to the study at once; where the study refuses it the rows go
back to what is recorded. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QGridLayout, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from napari_semiseg.engine.study import DEFAULT_COLOURS, ClassInfo
from napari_semiseg.gui.widgets.controls import button, caption, describe, swatch

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.scans.scans import Scans

HIGHEST_VALUE = 255
MOST_KEYS = 9
"""Classes that a digit on the keyboard stands for."""

_HEADERS = (
    ("Key", "The digit that takes the brush for the class in hand on the Label page."),
    ("Colour", "How the class is drawn; the first colours suit every eye."),
    ("Name", "What the structure is called."),
    ("Value", "The number that stands for the class in label files."),
)


class ClassEditor(QWidget):
    """Rows of classes with a button to add one."""

    def __init__(self, open_study: OpenStudy, scans: Scans) -> None:
        super().__init__()
        self._open = open_study
        self._scans = scans
        self._shown: tuple[ClassInfo, ...] = ()
        self._sent = False
        self._rows = QWidget()
        self.add = button(
            "&Add class", "Add another structure to mark in every scan.", self.add_class
        )
        layout = self._column = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._rows)
        layout.addWidget(self.add)
        open_study.records_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the classes that are recorded; rows in which a name is being typed stay."""
        if self._open.records.classes == self._shown and not self._sent:
            return
        self._sent = False
        self._shown = self._open.records.classes
        former = self._rows
        self._rows = QWidget()
        grid = QGridLayout(self._rows)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.setColumnStretch(2, 1)
        for column, (title, meaning) in enumerate(_HEADERS):
            header = caption(title, faint=True)
            header.setToolTip(meaning)
            grid.addWidget(header, 0, column)
        for row, item in enumerate(self._shown):
            self._fill_row(grid, row, item)
        self._column.replaceWidget(former, self._rows)
        former.hide()
        former.deleteLater()

    def _fill_row(self, grid: QGridLayout, row: int, item: ClassInfo) -> None:
        value = QSpinBox()
        value.setRange(1, HIGHEST_VALUE)
        value.setValue(item.value)
        value.setFixedWidth(64)
        describe(value, f"Value of {item.name}", "Number that stands for this class in the files.")
        value.editingFinished.connect(lambda: self._replace(row, value=value.value()))
        colour = button("", "Choose the colour of this class.", lambda: self._choose_colour(row))
        colour.setIcon(swatch(item.colour))
        colour.setFixedWidth(40)
        colour.setAccessibleName(f"Colour of {item.name}")
        name = QLineEdit(item.name)
        name.setMinimumWidth(60)
        describe(name, f"Name of class {item.value}", "What this structure is called.")
        name.editingFinished.connect(lambda: self._replace(row, name=name.text().strip()))
        drop = button("✕", f"Remove the class {item.name}.", lambda: self.remove_class(row))
        drop.setFixedWidth(34)
        drop.setAccessibleName(f"Remove {item.name}")
        key = caption(str(row + 1) if row < MOST_KEYS else "")
        key.setAlignment(Qt.AlignmentFlag.AlignCenter)
        key.setToolTip(f"On the Label page, this key takes the brush for {item.name} in hand.")
        key.setAccessibleName(f"Key of {item.name}: {row + 1}" if row < MOST_KEYS else "No key")
        for column, widget in enumerate((key, colour, name, value, drop)):
            grid.addWidget(widget, row + 1, column)

    def add_class(self) -> None:
        """Add a class with the next free value."""
        used = {item.value for item in self._shown}
        value = next((v for v in range(1, HIGHEST_VALUE + 1) if v not in used), None)
        if value is None:
            self._open.warn("All 255 values have a class: remove one before adding another.")
            return
        names = {item.name for item in self._shown}
        number = next(n for n in range(value, value + len(names) + 1) if f"class {n}" not in names)
        colour = DEFAULT_COLOURS[(value - 1) % len(DEFAULT_COLOURS)]
        self._send([*self._shown, ClassInfo(value, f"class {number}", colour)])

    def remove_class(self, row: int) -> None:
        """Remove the class of a row; the study refuses where labels use it."""
        self._send([*self._shown[:row], *self._shown[row + 1 :]])

    def _replace(self, row: int, **changes: object) -> None:
        old = self._shown[row]
        fields = {"value": old.value, "name": old.name, "colour": old.colour} | changes
        new = ClassInfo(**fields)  # type: ignore[arg-type]
        if new != old:
            self._send([*self._shown[:row], new, *self._shown[row + 1 :]])

    def _send(self, classes: list[ClassInfo]) -> None:
        self._sent = True  # the answer renews the rows, also where it is a refusal
        self._scans.set_classes(classes)

    def _choose_colour(self, row: int) -> None:
        item = self._shown[row]
        chosen = QColorDialog.getColor(QColor(item.colour), self, f"Colour of {item.name}")
        if chosen.isValid():
            self._replace(row, colour=chosen.name())
