"""One of the linked views: a plane of the scan with a crosshair, letters at its borders and a title.

It draws the pictures that it is given, and tells where the user points; `three_views` links it with
the main view. The wheel zooms at the pointer and the middle button moves the picture, as in napari's
canvas; Ctrl and the wheel go through the slices. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyqtgraph as pg
from qtpy.QtCore import QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QResizeEvent, QWheelEvent
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

from napari_semiseg.gui.viewer.planes.slice_pictures import SlicePicture
from napari_semiseg.gui.widgets.controls import describe

if TYPE_CHECKING:
    from napari_semiseg.gui.viewer.view_direction import BorderLetters, Horizontal, Vertical

CROSSHAIR_COLOUR = "#f0e442"
SMALLEST = 110
MARGIN = 3
_ROOM = 0.04
"""Free space around the scan, as a share of it."""

_STEPS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class PlaneView(pg.GraphicsView):
    """A plane of the scan.

    Parameters
    ----------
    axis : {0, 1, 2}
        The array axis (z, y, x) that it cuts; it comes first in all its signals.
    parent : QWidget or None
        Qt's owner.

    Attributes
    ----------
    pointed : Signal(int, float, float)
        Where the user points, in mm along the vertical and the horizontal axis.
    walked : Signal(int, int, int)
        By how many voxels the crosshair shall go down and to the right.
    leafed : Signal(int, int)
        By how many slices the view shall go on.
    """

    pointed = Signal(int, float, float)
    walked = Signal(int, int, int)
    leafed = Signal(int, int)

    def __init__(self, axis: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axis = axis
        self._box = pg.ViewBox(lockAspect=1.0, enableMenu=False, defaultPadding=_ROOM)
        self._box.setMouseMode(pg.ViewBox.PanMode)
        self.setCentralItem(self._box)
        self._items: list[pg.ImageItem] = []
        self._field = QRectF()
        pen = pg.mkPen(QColor(CROSSHAIR_COLOUR), width=1)
        self._lines = pg.InfiniteLine(angle=0, pen=pen), pg.InfiniteLine(angle=90, pen=pen)
        for line in self._lines:
            line.setZValue(10)
            self._box.addItem(line, ignoreBounds=True)
        self._title = QLabel(self)
        self._letters = [QLabel(self) for _ in range(4)]
        for label in (self._title, *self._letters):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(SMALLEST, SMALLEST)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setCursor(Qt.CursorShape.CrossCursor)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that suits it (Qt's name)."""
        return QSize(2 * SMALLEST, 2 * SMALLEST)

    def set_colours(self, background: str, text: str) -> None:
        """Take on the colours of a theme."""
        self.setBackground(background)
        ground = QColor(background)
        style = (
            f"color: {text}; padding: 0 3px; border-radius: 3px; background: rgba({ground.red()}, "
            f"{ground.green()}, {ground.blue()}, 150);"
        )
        for label in (self._title, *self._letters):
            label.setStyleSheet(style)

    def set_plane(
        self,
        name: str,
        vertical: Vertical,
        horizontal: Horizontal,
        letters: BorderLetters,
        field: tuple[float, float, float, float],
    ) -> None:
        """Take another scan or direction.

        Parameters
        ----------
        vertical, horizontal : str
            Where the axes point on the screen: ``"up"`` or ``"down"``, ``"left"`` or ``"right"``.
        field : tuple of float
            Top, left, height and width of the scan in mm.
        """
        describe(
            self,
            f"{name.capitalize()} view",
            "Press or drag to move the crosshair in all views. Wheel: zoom. Ctrl and wheel: slices. "
            "Middle button: move. Double click: fit. Arrow keys move the crosshair.",
        )
        self._box.invertY(vertical == "down")
        self._box.invertX(horizontal == "left")
        for label, letter in zip(self._letters, letters, strict=True):
            label.setText(letter)
        top, left, height, width = field
        self._field = QRectF(left, top, width, height)
        self.fit()
        self._place_labels()

    def set_title(self, title: str) -> None:
        """Say which slice it shows."""
        if title != self._title.text():
            self._title.setText(title)
            self._place_labels()

    def set_pictures(self, pictures: Sequence[SlicePicture]) -> None:
        """Draw these over each other, the lowest first."""
        while len(self._items) < len(pictures):
            self._items.append(pg.ImageItem(axisOrder="row-major"))
            self._box.addItem(self._items[-1], ignoreBounds=True)
        for place, item in enumerate(self._items):
            item.setVisible(place < len(pictures))
        for place, (item, picture) in enumerate(zip(self._items, pictures, strict=False)):
            item.setZValue(place / (len(pictures) + 1))
            modes = QPainter.CompositionMode
            item.setCompositionMode(
                modes.CompositionMode_Plus if picture.adds_up else modes.CompositionMode_SourceOver
            )
            item.setImage(picture.colours, levels=(0, 255))
            item.setRect(QRectF(picture.left, picture.top, picture.width, picture.height))

    def set_crosshair(self, vertical: float, horizontal: float) -> None:
        """Put the crosshair to a place in mm."""
        across, upright = self._lines
        across.setValue(vertical)
        upright.setValue(horizontal)

    def fit(self) -> None:
        """Show the whole scan."""
        self._box.setRange(self._field, padding=_ROOM)

    def _place_labels(self) -> None:
        for label in (self._title, *self._letters):
            label.adjustSize()
        self._title.move(MARGIN, MARGIN)
        top, bottom, left, right = self._letters
        middle, centre = self.width() // 2, self.height() // 2
        # beside the title where the view is so narrow that it reaches the middle
        at = max(middle - top.width() // 2, self._title.geometry().right() + MARGIN)
        top.move(at, MARGIN)
        bottom.move(middle - bottom.width() // 2, self.height() - bottom.height() - MARGIN)
        left.move(MARGIN, centre - left.height() // 2)
        right.move(self.width() - right.width() - MARGIN, centre - right.height() // 2)

    # what Qt tells

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Keep the scan in sight and the letters at the borders (Qt's name)."""
        super().resizeEvent(event)
        if hasattr(self, "_letters"):  # the library resizes it before it is made
            self.fit()
            self._place_labels()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Move the crosshair under the pointer (Qt's name)."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self._point(event)
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Let the crosshair follow the pointer while the button is held (Qt's name)."""
        if event is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._point(event)
        else:
            super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Let go (Qt's name)."""
        if event is not None and event.button() != Qt.MouseButton.LeftButton:
            super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Show the whole scan (Qt's name)."""
        self.fit()

    def _point(self, event: QMouseEvent) -> None:
        place = self._box.mapSceneToView(self.mapToScene(event.position().toPoint()))
        self.pointed.emit(self._axis, float(place.y()), float(place.x()))
        event.accept()

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Zoom, or with Ctrl go through the slices (Qt's name)."""
        if event is not None and event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.leafed.emit(self._axis, 1 if event.angleDelta().y() > 0 else -1)
            event.accept()
        else:
            super().wheelEvent(event)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802
        """Move the crosshair by a voxel (Qt's name)."""
        if event is not None and event.key() in _STEPS:
            down, right = _STEPS[Qt.Key(event.key())]
            self.walked.emit(self._axis, down, right)
        else:
            super().keyPressEvent(event)
