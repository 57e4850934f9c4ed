"""Strokes that change only voxels whose intensity lies in a window.

napari has no such brush. So every dab of its own brush is corrected at once: voxels that are too
dark or too bright get back the value from before the stroke, through the layer's history and while
napari still gathers the stroke, so that one undo takes all of it back. What napari paints otherwise
(polygons, encircled regions, fills and strokes in 3D) is taken back and written anew without the
voxels outside the window. All of it works in the box that was painted, never on the whole label.
Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_semiseg.engine.study.labels.strokes import Box
from napari_semiseg.engine.volumes.label_editing import limit_to_window
from napari_semiseg.gui.viewer.label_edits import box_around, changed_box

if TYPE_CHECKING:
    from napari.layers import Labels

_DRAGGED_MODES = ("paint", "erase", "fill")
_LEFT_BUTTON = 1


class StrokeWindow:
    """Keeps the strokes in one label layer inside a window of intensities.

    Parameters
    ----------
    intensities : callable
        Returns the scan (z, y, x) that strokes are limited by; None where none is on the screen.

    Attributes
    ----------
    limits : tuple of float, or None
        Lowest and highest intensity, in the units of the scan; None lets strokes change everything.
    """

    def __init__(self, intensities: Callable[[], np.ndarray | None]) -> None:
        self.limits: tuple[float, float] | None = None
        self._intensities = intensities
        self._layer: Labels | None = None
        self._before: tuple[Box, np.ndarray] | None = None
        self._paused = False
        self._edits: list[Box] = []
        # napari announces some edits before their voxels are written
        self._after_paint = QTimer()
        self._after_paint.setSingleShot(True)
        self._after_paint.setInterval(0)
        self._after_paint.timeout.connect(self._rewrite)

    def watch(self, layer: Labels | None) -> None:
        """Limit the strokes in this layer, and no longer those in the one before."""
        former, self._layer = self._layer, layer
        self._after_paint.stop()
        self._edits = []
        if former is not None:
            former.events.mode.disconnect(self._come_after_napari)
            former.events.paint.disconnect(self._on_paint)
            former.mouse_drag_callbacks.remove(self._remember)
            former.mouse_drag_callbacks.remove(self._correct_while_painted)
        if layer is not None:
            layer.mouse_drag_callbacks.insert(0, self._remember)
            layer.mouse_drag_callbacks.append(self._correct_while_painted)
            layer.events.mode.connect(self._come_after_napari)
            # before those who save what is painted: it is corrected by the time that they look
            layer.events.paint.connect(self._on_paint, position="first")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let edits inside the block change every voxel."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def _come_after_napari(self) -> None:
        """Take the last place again: napari adds its brush to the callbacks with each mode."""
        if self._layer is not None:
            self._layer.mouse_drag_callbacks.remove(self._correct_while_painted)
            self._layer.mouse_drag_callbacks.append(self._correct_while_painted)

    # strokes with the button held down

    def _remember(self, layer: Labels, event: Any) -> None:
        """Keep the voxels in reach of a stroke, before napari paints its first dab."""
        limited = self.limits is not None and self._intensities() is not None
        dragged = event.button == _LEFT_BUTTON and str(layer.mode) in _DRAGGED_MODES
        self._before = None
        box = _reach(layer, event) if limited and dragged else None
        if box is not None:
            self._before = box, np.array(layer.data[box])

    def _correct_while_painted(self, layer: Labels, event: Any) -> Iterator[None]:
        if self._before is None:
            return
        box, before = self._before
        self._correct(layer, box, before)
        yield
        while event.type == "mouse_move":
            self._correct(layer, box, before)
            yield
        self._before = None

    def _correct(self, layer: Labels, box: Box, before: np.ndarray) -> None:
        scan = self._intensities()
        if scan is None or self.limits is None:
            return
        edit = limit_to_window(before, np.asarray(layer.data[box]), scan[box], *self.limits)
        if len(edit):
            layer.data_setitem(_in_whole(edit.positions, box), edit.after)

    # whatever else napari paints

    def _on_paint(self, event: Any) -> None:
        if self.limits is not None and self._before is None and not self._paused:
            self._edits.append(box_around(map(changed_box, event.value)))
            self._after_paint.start()

    def _rewrite(self) -> None:
        """Take the last edits back and write what of them lies inside the window, as one step."""
        edits, self._edits = self._edits, []
        layer, scan = self._layer, self._intensities()
        if layer is None or scan is None or self.limits is None or not edits:
            return
        box = box_around(edits)
        wanted = np.array(layer.data[box])
        for _ in edits:
            layer.undo()
        before = np.asarray(layer.data[box])
        limit_to_window(before, wanted, scan[box], *self.limits).apply(wanted)
        inside = np.nonzero(wanted != before)
        with self.paused():
            layer.data_setitem(_in_whole(inside, box), wanted[inside])


def _in_whole(positions: tuple[np.ndarray, ...], box: Box) -> tuple[np.ndarray, ...]:
    """Return indices into a label from those into a box of it."""
    pairs = zip(positions, box, strict=True)
    return tuple(there + (side.start or 0) for there, side in pairs)


def _reach(layer: Labels, event: Any) -> Box | None:
    """Return the box of voxels that a stroke which begins here can change; None for all of them."""
    in_depth = layer.n_edit_dimensions == layer.ndim
    if len(event.dims_displayed) != 2 or (in_depth and str(layer.mode) == "fill"):
        return None
    everything: Box = (slice(None),) * layer.ndim
    scale = np.abs(np.asarray(layer.scale))
    axis = next(axis for axis in range(layer.ndim) if axis not in event.dims_displayed)
    index = round(float(layer.world_to_data(event.position)[axis]))
    radius = ceil((layer.brush_size / 2 + 1) * scale.min() / scale[axis]) if in_depth else 0
    reach = slice(max(0, index - radius), max(0, index + radius + 1))
    return (*everything[:axis], reach, *everything[axis + 1 :])
