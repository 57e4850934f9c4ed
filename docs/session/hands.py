"""The hands of the scripted session: real mouse and key events for the window of the viewer.

Nothing here calls the program: a press goes to a widget or to the canvas as Qt delivers that of a
person, and what cannot act is refused as a person would be refused. Used by `docs.make_session`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QMouseEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QScrollArea,
    QSlider,
    QWidget,
)

from tests.measurements.event_loop_lag import run_event_loop

LEFT = Qt.MouseButton.LeftButton
POLL_MS = 50
BETWEEN_SECONDS = 0.03
"""Pause after an event, in which the window can draw."""

DRAG_SECONDS = 0.01
"""From one place of a stroke to the next; a mouse tells no more often."""

WHEEL_NOTCH = 120


class Hands:
    """A mouse and a keyboard.

    Parameters
    ----------
    viewer : napari.Viewer
        The window to act on.
    """

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._canvas = viewer.window._qt_viewer.canvas

    # widgets

    def click(self, widget: QWidget, twice: bool = False) -> None:
        """Click the middle of a widget, after scrolling to it.

        Raises
        ------
        RuntimeError
            The widget is disabled or hidden; the message is its tooltip.
        """
        self._reach(widget)
        press = QTest.mouseDClick if twice else QTest.mouseClick
        # a tick box listens to its box and its words alone
        place = QPoint(min(12, widget.width() // 2), widget.height() // 2)
        press(widget, LEFT, pos=place)
        run_event_loop(BETWEEN_SECONDS)

    def click_row(self, table: QAbstractItemView, row: int, twice: bool = False) -> None:
        """Click the first cell of a row of a table, or its tick box where it has one."""
        self._reach(table)
        index = table.model().index(row, 0)
        table.scrollTo(index)
        run_event_loop(BETWEEN_SECONDS)
        cell = table.visualRect(index)
        place = QPoint(cell.left() + 10, cell.center().y())
        QTest.mouseClick(table.viewport(), LEFT, pos=place)
        if twice:
            QTest.mouseDClick(table.viewport(), LEFT, pos=place)
        run_event_loop(BETWEEN_SECONDS)

    def type_into(self, field: QWidget, text: str) -> None:
        """Replace what a field holds, and leave it with Enter."""
        self._reach(field)
        edit = field if isinstance(field, QLineEdit) else field.findChild(QLineEdit)
        edit.setFocus()
        edit.selectAll()
        QTest.keyClicks(edit, text)
        QTest.keyClick(edit, Qt.Key.Key_Return)
        run_event_loop(BETWEEN_SECONDS)

    def lower(self, slider: QWidget) -> None:
        """Move a slider down by a page, with the keyboard."""
        self._reach(slider)
        QTest.keyClick(slider.findChild(QSlider), Qt.Key.Key_PageDown)
        run_event_loop(BETWEEN_SECONDS)

    def choose(self, combo: QComboBox, row: int) -> None:
        """Go to an item of a choice with the arrow keys."""
        self._reach(combo)
        combo.setFocus()
        for _ in range(combo.count()):
            if combo.currentIndex() == row:
                return
            down = combo.currentIndex() < row
            QTest.keyClick(combo, Qt.Key.Key_Down if down else Qt.Key.Key_Up)
            run_event_loop(BETWEEN_SECONDS)

    def click_menu(self, button: QWidget, words: str) -> None:
        """Open the menu of a button and click the entry that holds these words."""
        timer = QTimer()

        def click_entry() -> None:
            menu = QApplication.activePopupWidget()
            if isinstance(menu, QMenu):
                timer.stop()
                entry = next(a for a in menu.actions() if words in a.text().replace("&", ""))
                QTest.mouseClick(menu, LEFT, pos=menu.actionGeometry(entry).center())

        timer.timeout.connect(click_entry)
        timer.start(POLL_MS)
        self.click(button)

    @contextmanager
    def answering_dialog(self, paths: Sequence[Path]) -> Iterator[None]:
        """Type paths into the file dialog that the block opens, and confirm it."""
        text = str(paths[0]) if len(paths) == 1 else " ".join(f'"{path}"' for path in paths)
        timer = QTimer()

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, QFileDialog) and dialog.isVisible():
                timer.stop()
                edit = dialog.findChild(QLineEdit, "fileNameEdit")
                edit.selectAll()
                # letter by letter each would search the folder for completions
                edit.insert(text)
                confirm = dialog.findChild(QDialogButtonBox).buttons()
                accepts = QDialogButtonBox.ButtonRole.AcceptRole
                box = dialog.findChild(QDialogButtonBox)
                QTest.mouseClick(next(b for b in confirm if box.buttonRole(b) == accepts), LEFT)

        timer.timeout.connect(answer)
        timer.start(POLL_MS)
        try:
            yield
        finally:
            timer.stop()

    def _reach(self, widget: QWidget) -> None:
        """Scroll a page to a widget; refuse what a person could not press."""
        parent = widget.parentWidget()
        while parent is not None:
            if isinstance(parent, QScrollArea):
                parent.ensureWidgetVisible(widget)
            parent = parent.parentWidget()
        if not (widget.isEnabled() and widget.isVisible()):
            why = widget.toolTip() if widget.isVisible() else "it is not on show"
            raise RuntimeError(f"“{widget.accessibleName()}” cannot be used: {why}")

    # the canvas

    @property
    def canvas(self) -> QWidget:
        """The widget on which the image is drawn."""
        return self._canvas.native

    def key(self, key: Qt.Key, modifier: Qt.KeyboardModifier | None = None) -> None:
        """Press a key while the pointer is on the image."""
        QTest.keyClick(self.canvas, key, modifier or Qt.KeyboardModifier.NoModifier)
        run_event_loop(BETWEEN_SECONDS)

    def stroke(self, points: np.ndarray) -> None:
        """Draw with the left button held.

        Parameters
        ----------
        points : ndarray, shape (points, 2)
            Where to go, in mm along the two axes of the slice on show, vertical first.
        """
        view = self._canvas.view
        transform = view.transform * view.scene.transform
        pixels = [QPoint(*np.rint(transform.map(point[::-1])[:2]).astype(int)) for point in points]
        QTest.mouseMove(self.canvas, pixels[0])
        QTest.mousePress(self.canvas, LEFT, pos=pixels[0])
        for pixel in pixels[1:]:
            self._drag_to(pixel)
        QTest.mouseRelease(self.canvas, LEFT, pos=pixels[-1])
        run_event_loop(BETWEEN_SECONDS)

    def _drag_to(self, pixel: QPoint) -> None:
        """Move the mouse with the left button held, which QTest's own move leaves out."""
        event = QMouseEvent(
            QEvent.Type.MouseMove,
            QPointF(pixel),
            QPointF(self.canvas.mapToGlobal(pixel)),
            Qt.MouseButton.NoButton,
            LEFT,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self.canvas, event)
        run_event_loop(DRAG_SECONDS)

    def turn_wheel(self, slices: int) -> None:
        """Turn the wheel over the image with Ctrl held, which goes through so many slices."""
        middle = QPointF(self.canvas.rect().center())
        for _ in range(abs(slices)):
            turn = QPoint(0, -WHEEL_NOTCH if slices > 0 else WHEEL_NOTCH)
            event = QWheelEvent(
                middle,
                QPointF(self.canvas.mapToGlobal(middle.toPoint())),
                QPoint(),
                turn,
                Qt.MouseButton.NoButton,
                Qt.KeyboardModifier.ControlModifier,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            )
            QApplication.sendEvent(self.canvas, event)
            run_event_loop(BETWEEN_SECONDS)
