"""Hearing what a human changes in the label on the screen: strokes, fills, undo and redo.

napari announces some changes before the voxels are written, some several times in one turn of the
event loop, and an undo only as new data, which scrolling announces as well. So an edit is what has
changed the voxels by the time the event loop comes round. `layers` calls this, on the main thread.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_semiseg.engine.study import ClassInfo

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Labels


class LabelEdits:
    """Listens to one label layer at a time.

    Parameters
    ----------
    dims : napari.components.Dims
        How the viewer cuts its layers.
    told : callable
        Called once per stroke, fill, undo and redo, when the event loop comes round and the voxels
        have really changed; also at the latest when the layer is let go.
    """

    def __init__(self, dims: Dims, told: Callable[[], None]) -> None:
        self._dims = dims
        self._told = told
        self._layer: Labels | None = None
        self._values: frozenset[int] = frozenset()
        self._class_value = 1
        self._checksum = 0
        self._slice: tuple[Any, ...] = ()
        self._check = QTimer()
        self._check.setSingleShot(True)
        self._check.setInterval(0)
        self._check.timeout.connect(self._tell_if_edited)

    def watch(self, layer: Labels, classes: Sequence[ClassInfo]) -> None:
        """Listen to a layer, and put the first class into its brush.

        Parameters
        ----------
        layer : napari.layers.Labels
            A label that a human paints in.
        classes : sequence of ClassInfo
            The classes that can be painted; other values are refused.
        """
        self.let_go()
        self._layer = layer
        self._values = frozenset({0, *(item.value for item in classes)})
        self._class_value = min((item.value for item in classes), default=1)
        layer.selected_label = self._class_value
        self._checksum = checksum(layer.data)
        self._slice = self._slice_on_show()
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)
        layer.events.selected_label.connect(self._on_selected_label)

    def let_go(self) -> None:
        """Listen to no layer any more; an edit that was not told yet is told first."""
        layer = self._layer
        if layer is None:
            return
        if self._check.isActive():
            self._check.stop()
            self._tell_if_edited()
        layer.events.paint.disconnect(self._on_paint)
        layer.events.set_data.disconnect(self._on_set_data)
        layer.events.selected_label.disconnect(self._on_selected_label)
        self._layer = None

    def _slice_on_show(self) -> tuple[Any, ...]:
        return tuple(self._dims.point), tuple(self._dims.order), self._dims.ndisplay

    def _on_paint(self) -> None:
        self._check.start()

    def _on_set_data(self) -> None:
        # Only where the slice is the same as before can it be an undo, and only then is it worth
        # reading all voxels.
        on_show = self._slice_on_show()
        if on_show == self._slice:
            self._check.start()
        self._slice = on_show

    def _on_selected_label(self) -> None:
        """Refuse values that no class has: napari would paint them, and nobody would see them."""
        layer = self._layer
        if layer is None:
            return
        if layer.selected_label in self._values:
            self._class_value = layer.selected_label
        else:
            layer.selected_label = self._class_value

    def _tell_if_edited(self) -> None:
        if self._layer is None:
            return
        now = checksum(self._layer.data)
        if now != self._checksum:
            self._checksum = now
            self._told()


def checksum(voxels: Any) -> int:
    """Return a number that changes with the voxels: 1.3 ms for 128 × 256 × 256 bytes.

    Parameters
    ----------
    voxels : array_like
        Of any shape and type.
    """
    return zlib.crc32(np.ascontiguousarray(voxels).data)
