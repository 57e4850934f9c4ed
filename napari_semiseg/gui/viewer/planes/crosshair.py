"""The crosshair and the letters at the borders in napari's own canvas.

The crosshair is a layer of lines, so that it is drawn where napari draws the scan; the letters are
napari's own text overlays. The point where the lines cross is that of the viewer's ``dims``, which
every view shares. `three_views` owns it, on the main thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_semiseg.gui.viewer.layer_data import spatial_arguments, tag
from napari_semiseg.gui.viewer.planes.plane_view import CROSSHAIR_COLOUR
from napari_semiseg.gui.viewer.turns import Turns
from napari_semiseg.gui.viewer.view_direction import border_letters

if TYPE_CHECKING:
    from napari.layers import Vectors

    from napari_semiseg.engine.study import Case
    from napari_semiseg.gui.viewer.layers import CaseLayers

PIXELS = 1.6
"""Thickness of the lines on the screen."""

LETTER_SIZE = 12
_PLACES = {
    "top": "top_center",
    "bottom": "bottom_center",
    "left": "middle_left",
    "right": "middle_right",
}
_PREFIX = "semiseg_border_"


class Crosshair:
    """Lines through the point that all views share, and the letters of the main view."""

    def __init__(self, layers: CaseLayers) -> None:
        self._layers = layers
        self._viewer: Any = layers.viewer
        self._case: Case | None = None
        self._mark: Vectors | None = None
        self._drawn: tuple[Any, ...] | None = None
        self._writing = Turns()

    def show(self, case: Case | None) -> None:
        """Draw it over a case that came onto the screen, or take it away for None."""
        if case is None:
            self.hide()
            return
        self._case, self._drawn = case, None
        if self._mark is not None:
            self._mark.scale = case.geometry.spacing
            self._mark.metadata = tag("crosshair", case.name, case.geometry)
        elif not self._layers.compares:  # it would shift the views of a comparison
            self._add(case)
        self._on_zoom()
        self.move()

    def _add(self, case: Case) -> None:
        data = (
            np.zeros((1, 2, 3)),
            {
                "name": "crosshair",
                "edge_color": CROSSHAIR_COLOUR,
                "vector_style": "line",
                "opacity": 0.8,
                "metadata": tag("crosshair", case.name, case.geometry),
                **spatial_arguments(case.geometry),
            },
            "vectors",
        )
        self._mark = self._layers.add_mark(data, stays=True)  # type: ignore[assignment]
        self._viewer.scene.camera.events.zoom.connect(self._on_zoom)

    def hide(self) -> None:
        """Take lines and letters away."""
        if self._mark is not None:
            self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
            self._layers.remove_mark(self._mark)
        self._writing.drop()
        self._mark = self._drawn = self._case = None
        overlays = self._viewer.canvas.overlays
        for name in [name for name in overlays if name.startswith(_PREFIX)]:
            del overlays[name]

    def move(self) -> None:
        """Follow the point and the direction of the main view."""
        case, mark, dims = self._case, self._mark, self._viewer.dims
        if case is None or mark is None or dims.ndim != 3:
            return
        shape, spacing = case.geometry.shape, np.asarray(case.geometry.spacing)
        order, in_3d = tuple(dims.order), dims.ndisplay == 3
        voxel = np.round(np.asarray(dims.point) / spacing)
        # along the axis that the view cuts there are lines in every slice: scrolling moves none
        drawn = (
            order,
            in_3d,
            *(None if a == order[0] and not in_3d else voxel[a] for a in range(3)),
        )
        if drawn == self._drawn:
            return
        turned = self._drawn is None or drawn[:2] != self._drawn[:2]
        self._drawn = drawn
        mark.data = _lines(voxel, shape, None if in_3d else order[0])
        if turned:
            self._write_letters(None if in_3d else order)

    def _on_zoom(self) -> None:
        if self._mark is not None and self._case is not None:
            side = min(self._case.geometry.spacing) * float(self._viewer.scene.camera.zoom)
            self._mark.edge_width = PIXELS / max(side, 1e-3)

    def _write_letters(self, order: tuple[int, ...] | None) -> None:
        case = self._case
        if case is None:
            return
        texts = (
            dict.fromkeys(_PLACES, "")
            if order is None
            else border_letters(case.geometry, order)._asdict()
        )
        # one a turn of the event loop, after the lines: each is long in coming the first time
        letters = [partial(self._write_letter, border, text) for border, text in texts.items()]
        self._writing.begin([_nothing, *letters])

    def _write_letter(self, border: str, text: str) -> None:
        from napari.components.overlays import TextOverlay

        overlays, name = self._viewer.canvas.overlays, f"{_PREFIX}{border}"
        if name not in overlays:
            overlays[name] = TextOverlay(position=_PLACES[border], font_size=LETTER_SIZE)
        overlays[name].text, overlays[name].visible = text, bool(text)


def _nothing() -> None:
    """Let a turn of the event loop pass."""


def _lines(voxel: np.ndarray, shape: tuple[int, ...], cut: int | None) -> np.ndarray:
    """Return lines through a voxel along the axes, from border to border of the scan.

    Parameters
    ----------
    voxel : ndarray, shape (3,)
        Indices (z, y, x).
    cut : int or None
        Axis that a 2D view cuts: then the lines along the other two are in each of its slices.

    Returns
    -------
    ndarray, shape (lines, 2, 3)
        Start and extent of each line.
    """
    lines = []
    for axis in range(3):
        if axis == cut:
            continue
        copies = 1 if cut is None else shape[cut]
        line = np.zeros((copies, 2, 3))
        line[:, 0] = voxel
        line[:, 0, axis] = 0
        if cut is not None:
            line[:, 0, cut] = np.arange(copies)
        line[:, 1, axis] = shape[axis] - 1
        lines.append(line)
    return np.concatenate(lines)
