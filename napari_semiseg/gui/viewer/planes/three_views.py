"""The linked views: axial, coronal and sagittal at one point, which a crosshair marks in all of them.

The main view stays napari's canvas, where painting is; a panel beside it shows the two other planes,
in 3D all three. There is one point, that of the viewer's ``dims`` in mm: whoever moves it, all follow.
The panel draws the layers that napari shows, as napari shows them, also during a stroke. Unlike the
views of a comparison (`split_view`), which show several runs in one plane, these show one stack of
layers in several. The dock widget owns them; main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.theme import get_theme
from psygnal import Signal
from qtpy.compat import isalive
from qtpy.QtCore import QSettings, QTimer

from napari_semiseg.gui.viewer.planes.crosshair import Crosshair
from napari_semiseg.gui.viewer.planes.view_panel import ViewPanel
from napari_semiseg.gui.viewer.turns import Turns

if TYPE_CHECKING:
    import napari.viewer

    from napari_semiseg.engine.study import Case
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

TITLE = "Linked views"
LAYOUT_MILLISECONDS = 100
"""After this time the window has been laid out anew."""

NO_SCAN = "No scan is on the screen: open one on the Scans page first."
_KEY = "linked views"


class ThreeViews:
    """The panel of linked views, and the crosshair in the main view.

    Parameters
    ----------
    settings : QSettings
        Remembers whether the views are wanted.

    Attributes
    ----------
    changed : psygnal.Signal
        Emitted after the views came or went, or can be shown or not.
    """

    changed = Signal()

    def __init__(
        self, viewer: napari.viewer.Viewer, on_show: CaseOnShow, settings: QSettings
    ) -> None:
        self._viewer: Any = viewer
        self._on_show = on_show
        self._layers = on_show.layers
        self._settings = settings
        self._panel: ViewPanel | None = None
        self._crosshair = Crosshair(self._layers)
        self._coming = Turns()
        self.wanted = settings.value(_KEY, False, type=bool)
        on_show.shown_changed.connect(self._on_shown)

    @property
    def shown(self) -> bool:
        """Whether the views are on the screen."""
        return self._panel is not None

    @property
    def panel(self) -> ViewPanel | None:
        """The panel on the screen."""
        return self._panel

    def why_not(self) -> str | None:
        """Return why the views cannot be shown; None if they can."""
        return NO_SCAN if self._on_show.case is None else None

    def toggle(self) -> None:
        """Show the views, or take them away; remembered for the next time."""
        if self.shown or self.why_not() is None:
            self.want(not self.shown)

    def want(self, wanted: bool) -> None:
        """Show the views whenever a scan is on the screen, or never."""
        self.wanted = wanted
        self._settings.setValue(_KEY, wanted)
        self._on_shown()

    def close(self) -> None:
        """Take the views away; what was wanted stays remembered."""
        self._coming.drop()
        panel, self._panel = self._panel, None
        if panel is None:
            return
        callbacks = self._viewer.mouse_drag_callbacks, self._viewer.mouse_move_callbacks
        for listeners, callback in zip(callbacks, (self._on_click, self._on_move), strict=True):
            if callback in listeners:
                listeners.remove(callback)
        dims, layers = self._layers.dims, self._layers
        for event in (dims.events.point, dims.events.order, dims.events.ndisplay):
            event.disconnect(self._follow)
        layers.looks_changed.disconnect(panel.renew)
        self._viewer.events.theme.disconnect(self._on_theme)
        self._crosshair.hide()
        if isalive(panel):  # napari's window takes it along where it closes
            self._keep_in_sight()
            panel.leave_window()

    def _on_shown(self) -> None:
        case = self._on_show.case
        if not self.wanted or case is None:
            self.close()
        elif self._on_show.reading is None:
            # one a turn of the event loop: each draws much for the first time
            self._coming.begin(
                [
                    *([self._open] if self._panel is None else []),
                    partial(self._show_planes, case),
                    partial(self._crosshair.show, case),
                ]
            )
        self.changed.emit()

    def _show_planes(self, case: Case) -> None:
        if self._panel is not None:
            self._panel.show_case(case.geometry)

    def _open(self) -> None:
        layers = self._layers
        panel = self._panel = ViewPanel(layers)
        panel.dismissed.connect(self._on_dismissed)
        self._keep_in_sight()
        self._viewer.window.add_dock_widget(panel, name=TITLE, area="bottom")
        panel.settle_below_canvas()
        for event in (layers.dims.events.point, layers.dims.events.order):
            event.connect(self._follow)
        layers.dims.events.ndisplay.connect(self._follow)
        layers.looks_changed.connect(panel.renew)
        self._viewer.events.theme.connect(self._on_theme)
        self._on_theme()
        self._viewer.mouse_drag_callbacks.append(self._on_click)
        self._viewer.mouse_move_callbacks.append(self._on_move)

    def _keep_in_sight(self) -> None:
        """Let the scan fill as much of the canvas when the panel has taken or given back its room."""
        case, dims, before = self._on_show.case, self._layers.dims, self._room()
        if case is None or dims.ndim != 3:
            return
        extent = np.multiply(case.geometry.shape, case.geometry.spacing)[list(dims.order[1:])]

        def scale() -> None:
            fits = [float(np.min(room / extent)) for room in (before, self._room())]
            self._viewer.scene.camera.zoom *= fits[1] / fits[0]

        QTimer.singleShot(LAYOUT_MILLISECONDS, scale)

    def _room(self) -> np.ndarray:
        """Return height and width of the canvas in pixels."""
        return np.asarray(self._viewer.canvas.size, float)

    def _on_dismissed(self) -> None:
        if self._panel is not None:
            self.want(False)

    def _follow(self) -> None:
        if self._panel is not None:
            self._crosshair.move()
            self._panel.follow()

    def _on_theme(self) -> None:
        if self._panel is not None:
            theme = get_theme(self._viewer.theme)
            self._panel.set_colours(theme.canvas.as_hex(), theme.text.as_hex())

    # pointing in napari's own canvas

    def _on_click(self, viewer: Any, event: Any) -> Any:
        """Move the crosshair to a click that paints and moves nothing."""
        label = self._layers.label_layer
        painting = label is not None and str(label.mode) != "pan_zoom"
        if event.button != 1 or event.modifiers or painting or viewer.dims.ndisplay != 2:
            return
        pressed = event.position
        yield
        if event.type != "mouse_move":
            self._point_at(pressed)

    def _on_move(self, viewer: Any, event: Any) -> None:
        """Let the crosshair follow the pointer while Shift is held, whatever tool is in hand."""
        if "Shift" in event.modifiers and not event.is_dragging and viewer.dims.ndisplay == 2:
            self._point_at(event.position)

    def _point_at(self, position: Sequence[float]) -> None:
        if len(position) == 3 and self._panel is not None:
            self._panel.move_to(dict(enumerate(position)))
