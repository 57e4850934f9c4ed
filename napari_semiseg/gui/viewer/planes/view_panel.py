"""The panel of the linked views: the planes that the main view does not show, each through one point.

It draws the layers that napari shows, as napari shows them, and redraws only what has changed:
scrolling in the main view moves lines and no pictures. `three_views` puts it into the window. Main
thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QHideEvent, QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QDockWidget, QMainWindow, QWidget

from napari_semiseg.gui.viewer.planes.plane_view import PlaneView
from napari_semiseg.gui.viewer.planes.slice_pictures import can_be_cut, slice_picture
from napari_semiseg.gui.viewer.slices_on_show import slice_words
from napari_semiseg.gui.viewer.view_direction import (
    border_letters,
    plane_name,
    screen_directions,
    upright_order,
)

if TYPE_CHECKING:
    from napari_semiseg.engine.volumes import Geometry
    from napari_semiseg.gui.viewer.layers import CaseLayers

PANEL_HEIGHT = 240
_CORNERS = {
    Qt.Corner.BottomLeftCorner: Qt.DockWidgetArea.LeftDockWidgetArea,
    Qt.Corner.BottomRightCorner: Qt.DockWidgetArea.RightDockWidgetArea,
}
"""The panel lies under the canvas alone, and neither shortens the layer list nor the desk."""


class ViewPanel(QWidget):
    """The small views, beside each other or one over the other.

    Attributes
    ----------
    views : dict of int to PlaneView
        By the array axis (0, 1, 2 for z, y, x) that they cut; that of the main view is hidden.
    dismissed : Signal()
        Emitted after the user has closed the panel.
    """

    dismissed = Signal()

    def __init__(self, layers: CaseLayers) -> None:
        super().__init__()
        self._layers = layers
        self._geometry: Geometry | None = None
        self._looks = 0
        self._drawn: dict[int, tuple[Any, ...]] = {}
        self.views = {axis: PlaneView(axis, self) for axis in range(3)}
        self._row = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._row.setContentsMargins(0, 0, 0, 0)
        self._row.setSpacing(2)
        for view in self.views.values():
            self._row.addWidget(view, 1)
            view.pointed.connect(self._on_pointed)
            view.walked.connect(self._on_walked)
            view.leafed.connect(self._step)
        # many things change in one turn of the event loop, such as during a stroke
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(0)
        self._redraw.timeout.connect(self._draw)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return the size that suits it (Qt's name)."""
        return QSize(2 * PANEL_HEIGHT, PANEL_HEIGHT)

    def settle_below_canvas(self) -> None:
        """Take the room under the canvas, and no more of it than it needs."""
        window = self.window()
        if isinstance(window, QMainWindow):
            for corner, area in _CORNERS.items():
                window.setCorner(corner, area)

    def set_colours(self, background: str, text: str) -> None:
        """Take on the colours of a theme."""
        for view in self.views.values():
            view.set_colours(background, text)

    def leave_window(self) -> None:
        """Draw nothing any more, and go with the dock that the window gave it."""
        self._redraw.stop()
        self._geometry = None
        window, dock = self.window(), self.parent()
        if isinstance(window, QMainWindow) and isinstance(dock, QDockWidget):
            window.removeDockWidget(dock)
            dock.deleteLater()
        self.deleteLater()

    def show_case(self, geometry: Geometry) -> None:
        """Take the scan that came onto the screen."""
        self._geometry = geometry
        spacing = np.asarray(geometry.spacing)
        lengths = spacing * geometry.shape
        for axis, view in self.views.items():
            order = _, down, right = upright_order(geometry, axis)
            _, vertical, horizontal = screen_directions(geometry, order)
            field = (-spacing[down] / 2, -spacing[right] / 2, lengths[down], lengths[right])
            letters = border_letters(geometry, order)
            view.set_plane(plane_name(geometry, axis), vertical, horizontal, letters, field)
        self.renew()

    def renew(self) -> None:
        """Draw everything anew: a layer came, went or looks different."""
        self._looks += 1
        self.follow()

    def follow(self) -> None:
        """Follow the point and the direction of the main view."""
        if self._geometry is not None:
            self._redraw.start()

    def move_to(self, position: dict[int, float]) -> None:
        """Move the point that all views share.

        Parameters
        ----------
        position : dict of int to float
            Where, in mm, along the array axes that it moves along; kept inside the scan.
        """
        if self._geometry is None:
            return
        axes = sorted(position)
        voxels = [
            min(max(round(position[axis] / self._geometry.spacing[axis]), 0), length - 1)
            for axis in axes
            for length in [self._geometry.shape[axis]]
        ]
        point = [
            voxel * self._geometry.spacing[axis] for axis, voxel in zip(axes, voxels, strict=True)
        ]
        self._layers.dims.set_point(axes, point)

    def _draw(self) -> None:
        geometry, dims = self._geometry, self._layers.dims
        if geometry is None or dims.ndim != 3:
            return
        layers = [layer for layer in self._layers.visible_layers() if can_be_cut(layer)]
        point = tuple(float(value) for value in dims.point)
        for axis, view in self.views.items():
            wanted = dims.ndisplay == 3 or axis != dims.order[0]
            view.setVisible(wanted)
            if not wanted:
                continue
            order = _, down, right = upright_order(geometry, axis)
            view.set_crosshair(point[down], point[right])
            index = round(point[axis] / geometry.spacing[axis])
            drawn = (self._looks, index)
            if self._drawn.get(axis) != drawn:
                self._drawn[axis] = drawn
                words = slice_words(index, geometry.shape[axis]).removeprefix("slice ")
                view.set_title(f"{plane_name(geometry, axis)} {words}")
                pictures = (slice_picture(layer, order, point) for layer in layers)
                view.set_pictures([picture for picture in pictures if picture is not None])

    # what the views tell

    def _on_pointed(self, axis: int, down: float, right: float) -> None:
        if self._geometry is not None:
            _, vertical, horizontal = upright_order(self._geometry, axis)
            self.move_to({vertical: down, horizontal: right})

    def _on_walked(self, axis: int, down: int, right: int) -> None:
        if self._geometry is None:
            return
        order = _, vertical, horizontal = upright_order(self._geometry, axis)
        _, grows_down, grows_right = screen_directions(self._geometry, order)
        if down:
            self._step(vertical, down if grows_down == "down" else -down)
        if right:
            self._step(horizontal, right if grows_right == "right" else -right)

    def _step(self, axis: int, steps: int) -> None:
        if self._geometry is not None:
            here = float(self._layers.dims.point[axis])
            self.move_to({axis: here + steps * self._geometry.spacing[axis]})

    # what Qt tells

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Put the views beside each other where there is more width than height (Qt's name)."""
        super().resizeEvent(event)
        wide = self.width() >= self.height()
        directions = QBoxLayout.Direction
        self._row.setDirection(directions.LeftToRight if wide else directions.TopToBottom)

    def hideEvent(self, event: QHideEvent | None) -> None:  # noqa: N802
        """Tell where the user has closed the panel, and not the window (Qt's name)."""
        super().hideEvent(event)
        closed = event is not None and not event.spontaneous()
        if closed and self._geometry is not None and self._in_sight():
            QTimer.singleShot(0, self._tell_if_dismissed)

    def _tell_if_dismissed(self) -> None:
        if self._geometry is not None and not self.isVisible() and self._in_sight():
            self.dismissed.emit()

    def _in_sight(self) -> bool:
        """Tell whether the window is open that the panel is in."""
        window = self.window()
        return window is not None and window is not self and window.isVisible()
