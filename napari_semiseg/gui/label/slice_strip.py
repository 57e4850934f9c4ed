"""The slice strip: one thin bar for all slices of the view, and which of them are painted or done.

A slice is a low line while it is empty, half a column once something is painted, and a full column
with a different colour when it is marked as done; so the strip can be read without colours. Part of
the Label page. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_semiseg.gui.viewer.slices_on_show import slice_words
from napari_semiseg.gui.widgets.controls import allow, describe

if TYPE_CHECKING:
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

HEIGHT = 30
MARKER = 6.0
EMPTY_HEIGHT, PAINTED_HEIGHT = 0.18, 0.58
PAINTED, DONE = QColor("#e8a33d"), QColor("#2a9d8f")
PALE = 90
GAP_FROM = 4.0
"""Columns of this width or more, in pixels, have a gap between them."""

_STEPS = {
    Qt.Key.Key_Left: -1,
    Qt.Key.Key_Down: -1,
    Qt.Key.Key_Right: 1,
    Qt.Key.Key_Up: 1,
    Qt.Key.Key_PageUp: -10,
    Qt.Key.Key_PageDown: 10,
}


class SliceStrip(QWidget):
    """The slices of the view in a row; a click goes to one."""

    def __init__(self, slices: SlicesOnShow) -> None:
        super().__init__()
        self._slices = slices
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        describe(
            self,
            "Slices",
            "Low: empty. Half: painted. Full: done. Click to go there; with the arrow keys to the "
            "next, with Space to mark it as done.",
        )

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that suits it (Qt's name)."""
        return QSize(200, HEIGHT)

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """Return the smallest size that it can be read at (Qt's name)."""
        return QSize(80, HEIGHT)

    def refresh(self, reason: str | None) -> None:
        """Draw the slices as they are now; a reason tells why there are none."""
        allow(self, reason)
        current = self._slices.current
        if current is not None:
            self.setAccessibleName(f"Slices, {self.describe_slice(current)}")
        self.update()

    def describe_slice(self, index: int) -> str:
        """Return words such as ``"slice 12 / 39, painted, done"``."""
        painted = "painted" if self._slices.painted[index] else "empty"
        done = ", done" if index in self._slices.done else ""
        return f"{slice_words(index, len(self._slices.painted))}, {painted}{done}"

    def slice_at(self, x: float) -> int | None:
        """Return the slice that is drawn at a horizontal position in pixels."""
        count = len(self._slices.painted)
        if not count or not self.width():
            return None
        return min(max(int(x * count / self.width()), 0), count - 1)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the columns and the mark of the slice on show (Qt's name)."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        text = self.palette().windowText().color()
        pale = QColor(text)
        pale.setAlpha(PALE)
        count = len(self._slices.painted)
        if not count:
            painter.setBrush(pale)
            painter.drawRect(QRectF(0, self.height() - 2, self.width(), 1))
            return
        done_slices = self._slices.done
        for index, painted in enumerate(self._slices.painted):
            done = index in done_slices
            share = 1.0 if done else PAINTED_HEIGHT if painted else EMPTY_HEIGHT
            painter.setBrush(DONE if done else PAINTED if painted else pale)
            painter.drawRect(self._column(index, share))
        self._mark_current(painter, text)
        if self.hasFocus():
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(text)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def _column(self, index: int, share: float) -> QRectF:
        width = self.width() / len(self._slices.painted)
        gap = 1.0 if width >= GAP_FROM else 0.0
        height = share * (self.height() - MARKER - 2)
        return QRectF(index * width, self.height() - 1 - height, max(width - gap, 1.0), height)

    def _mark_current(self, painter: QPainter, colour: QColor) -> None:
        current = self._slices.current
        if current is None:
            return
        centre = self._column(current, 1.0).center().x()
        painter.setBrush(colour)
        corners = ((-MARKER, 0), (MARKER, 0), (0, MARKER))
        painter.drawPolygon(QPolygonF([QPointF(centre + x, y) for x, y in corners]))
        painter.drawRect(QRectF(centre - 0.5, MARKER, 1, self.height() - MARKER))

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Go to the slice under the pointer (Qt's name)."""
        self._go_to(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Go through the slices while the button is held (Qt's name)."""
        self._go_to(event)

    def _go_to(self, event: QMouseEvent | None) -> None:
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            index = self.slice_at(event.position().x())
            if index is not None:
                self._slices.show(index)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Go to another slice, or mark the one on show (Qt's name)."""
        current = self._slices.current
        if event is None or current is None:
            return
        key = event.key()
        if key in _STEPS:
            self._slices.show(current + _STEPS[Qt.Key(key)])
        elif key == Qt.Key.Key_Home:
            self._slices.show(0)
        elif key == Qt.Key.Key_End:
            self._slices.show(len(self._slices.painted) - 1)
        elif key == Qt.Key.Key_Space:
            self._slices.mark_current()
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent | None) -> bool:
        """Tell which slice lies under a resting pointer (Qt's name)."""
        if event is not None and event.type() == QEvent.Type.ToolTip and self.isEnabled():
            index = self.slice_at(event.pos().x())  # type: ignore[attr-defined]
            if index is not None:
                words = self.describe_slice(index).capitalize()
                QToolTip.showText(event.globalPos(), f"{words}.\n{self.toolTip()}", self)  # type: ignore[attr-defined]
                return True
        return super().event(event)
