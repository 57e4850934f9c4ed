"""How a scan looks in a list: its picture, its name, and under it what should be known of it.

Pictures become pixmaps when their row comes into sight, not before: a study may have hundreds. Main
thread only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QImage, QPainter, QPalette, QPixmap
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

SIDE = 36
"""Length of the sides of a thumbnail on the screen, in logical pixels."""

ROW_HEIGHT = 42
REMARK_ROLE = Qt.ItemDataRole.UserRole + 1
"""Role under which a model gives the second line of a scan."""

WARNING_COLOUR = "#d55e00"
_SHARPNESS = 2  # pixels per logical one: sharp on the screens of today
_MARGIN = 4


class Thumbnails:
    """Pixmaps of the pictures that were asked for, by the names of their cases."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[np.ndarray | None, QIcon]] = {}

    def icon(self, name: str, picture: np.ndarray | None) -> QIcon:
        """Return the thumbnail of a case as an icon.

        Parameters
        ----------
        picture : ndarray, shape (rows, columns), uint8, or None
            What the overview has; None gives an empty frame.
        """
        known = self._made.get(name)
        if known is None or known[0] is not picture:
            known = self._made[name] = (picture, QIcon(thumbnail_pixmap(picture)))
        return known[1]


def thumbnail_pixmap(picture: np.ndarray | None) -> QPixmap:
    """Return a square with a grey picture in its middle; an empty frame for None.

    Parameters
    ----------
    picture : ndarray, shape (rows, columns), uint8, or None
        The picture.
    """
    side = SIDE * _SHARPNESS
    pixmap = QPixmap(side, side)
    pixmap.fill(QColor(0, 0, 0) if picture is not None else QColor(128, 128, 128, 60))
    if picture is not None:
        rows, columns = picture.shape
        grey = picture.tobytes()  # held while the image is read: Qt does not copy it
        image = QImage(grey, columns, rows, columns, QImage.Format.Format_Grayscale8)
        image = image.scaled(
            side,
            side,
            Qt.AspectRatioMode.KeepAspectRatio,
            Qt.TransformationMode.SmoothTransformation,
        )
        painter = QPainter(pixmap)
        painter.drawImage((side - image.width()) // 2, (side - image.height()) // 2, image)
        painter.end()
    pixmap.setDevicePixelRatio(_SHARPNESS)
    return pixmap


class ScanDelegate(QStyledItemDelegate):
    """Draws a scan as its thumbnail, its name, and a smaller remark under the name."""

    def paint(
        self,
        painter: QPainter | None,
        option: QStyleOptionViewItem,
        index: QModelIndex,
    ) -> None:
        """Draw one cell (Qt's name)."""
        if painter is None:
            return
        item = QStyleOptionViewItem(option)
        self.initStyleOption(item, index)
        name, icon = item.text or "", QIcon(item.icon)
        item.text, item.icon = "", QIcon()
        style = item.widget.style() if item.widget is not None else None
        if style is not None:
            style.drawControl(QStyle.ControlElement.CE_ItemViewItem, item, painter, item.widget)
        painter.save()
        picture = QRect(item.rect.left() + 2, item.rect.center().y() - SIDE // 2, SIDE, SIDE)
        icon.paint(painter, picture)
        text = item.rect.adjusted(SIDE + 2 + _MARGIN + 2, 3, -_MARGIN, -3)
        _draw_lines(painter, item, text, name, index.data(REMARK_ROLE) or "")
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Any) -> QSize:  # noqa: N802
        """Return the room that a cell wants (Qt's name)."""
        return QSize(super().sizeHint(option, index).width() + SIDE, ROW_HEIGHT)


def _draw_lines(
    painter: QPainter, item: QStyleOptionViewItem, room: QRect, name: str, remark: str
) -> None:
    """Draw the name above the remark; a warning sign at its beginning is in colour."""
    chosen = bool(item.state & QStyle.StateFlag.State_Selected)
    role = QPalette.ColorRole.HighlightedText if chosen else QPalette.ColorRole.Text
    colour = item.palette.color(role)
    half = room.height() // 2
    upper, lower = QRect(room), QRect(room)
    upper.setHeight(half)
    lower.setTop(room.top() + half)
    painter.setPen(colour)
    painter.setFont(item.font)
    _draw_elided(painter, upper, name)
    font = item.font
    font.setPointSizeF(max(7.0, font.pointSizeF() * 0.85))
    painter.setFont(font)
    if remark.startswith("⚠"):
        painter.setPen(QColor(WARNING_COLOUR) if not chosen else colour)
        painter.drawText(lower, int(Qt.AlignmentFlag.AlignVCenter), "⚠")
        lower.setLeft(lower.left() + painter.fontMetrics().horizontalAdvance("⚠ "))
        remark = remark.removeprefix("⚠").strip()
        painter.setPen(colour)
    else:
        painter.setOpacity(0.75)
    _draw_elided(painter, lower, remark)


def _draw_elided(painter: QPainter, room: QRect, text: str) -> None:
    shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideMiddle, room.width())
    painter.drawText(room, int(Qt.AlignmentFlag.AlignVCenter), shown)
