"""The signs of the states of a case; shape and colour both differ, for every eye.

The lists of cases and the Label page show them. Main thread only.
"""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

from napari_semiseg.engine.study import CaseState

_COLOURS = {
    CaseState.UNLABELLED: "#8a8f99",
    CaseState.IN_PROGRESS: "#e69f00",
    CaseState.LABELLED: "#2fa36b",
    CaseState.PREDICTED: "#56b4e9",
    CaseState.ACCEPTED: "#2fa36b",
    CaseState.REJECTED: "#d55e00",
    CaseState.HELD_OUT: "#b08ad6",
}
_UNKNOWN = "#8a8f99"
_SIZE = 32


def state_icon(state: CaseState) -> QIcon:
    """Return the sign of a state; shape and colour both differ."""
    pixmap = QPixmap(_SIZE, _SIZE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    colour = QColor(_COLOURS.get(state, _UNKNOWN))
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
