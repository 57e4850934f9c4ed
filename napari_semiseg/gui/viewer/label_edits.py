"""Hearing what a human changes in the label on the screen: strokes, fills, undo and redo.

napari announces some changes before the voxels are written, some several times in one turn of the
event loop, and an undo only as new data, which scrolling announces as well. So an edit is what has
changed the voxels by the time the event loop comes round. The box to look in comes from napari's
history; where voxels were written past it, all are compared, on another thread. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_warning
from qtpy.QtCore import QTimer

from napari_semiseg.engine.study import ClassInfo, PaintedBox
from napari_semiseg.engine.study.labels.strokes import Box
from napari_semiseg.gui.open_study.background import run_in_background

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Labels

OTHER_SHAPE = (
    "The label on the screen was replaced by one of another shape, which cannot be saved: choose the "
    "scan again in the list to have its label back."
)


class LabelEdits:
    """Listens to one label layer at a time.

    Parameters
    ----------
    dims : napari.components.Dims
        How the viewer cuts its layers.
    told : callable
        Called with the `PaintedBox` once per stroke, fill, undo and redo, when the event loop comes
        round and the voxels have really changed; also at the latest when the layer is let go. Called
        with None after `take_in`.
    """

    def __init__(self, dims: Dims, told: Callable[[PaintedBox | None], None]) -> None:
        self._dims = dims
        self._told = told
        self._layer: Labels | None = None
        self._values: frozenset[int] = frozenset()
        self._class_value = 1
        self._known = np.zeros((0, 0, 0), np.uint8)
        self._box: Box | None = None
        self._anywhere = self._comparing = False
        self._undone = 0
        self._slice: tuple[Any, ...] = ()
        self._check = QTimer()
        self._check.setSingleShot(True)
        self._check.setInterval(0)
        self._check.timeout.connect(self._on_next_turn)

    def watch(self, layer: Labels, classes: Sequence[ClassInfo], known: np.ndarray) -> None:
        """Listen to a layer, and put the first class into its brush.

        Parameters
        ----------
        classes : sequence of ClassInfo
            The classes that can be painted; other values are refused.
        known : ndarray, shape (z, y, x)
            Another array with the voxels of the layer, which from now on belongs to this object.
        """
        self.let_go()
        self._layer, self._known = layer, known
        self._values = frozenset({0, *(item.value for item in classes)})
        self._class_value = min((item.value for item in classes), default=1)
        layer.selected_label = self._class_value
        self._box, self._anywhere, self._undone = None, False, 0
        self._slice = self._slice_on_show()
        layer.events.paint.connect(self._on_paint)
        layer.events.set_data.connect(self._on_set_data)
        layer.events.selected_label.connect(self._on_selected_label)

    def let_go(self) -> None:
        """Listen to no layer any more; an edit that was not told yet is told first."""
        layer = self._layer
        if layer is None:
            return
        self._anywhere = True  # voxels that were written past napari are not told of by anything
        self.tell()
        layer.events.paint.disconnect(self._on_paint)
        layer.events.set_data.disconnect(self._on_set_data)
        layer.events.selected_label.disconnect(self._on_selected_label)
        self._layer = None

    def take_in(self, voxels: np.ndarray) -> None:
        """Show what others have made of the label, (z, y, x), which belongs to this object then."""
        layer = self._layer
        if layer is None or layer.data.shape != voxels.shape:
            return
        self._known = voxels
        layer.data[...] = voxels
        layer.refresh()
        self._box, self._anywhere = None, False
        self._told(None)

    def _slice_on_show(self) -> tuple[Any, ...]:
        return tuple(self._dims.point), tuple(self._dims.order), self._dims.ndisplay

    def _on_paint(self, event: Any) -> None:
        self._look_in(event.value)
        self._undone = 0  # napari forgets what could be redone
        self._check.start()

    def _on_set_data(self) -> None:
        on_show, layer = self._slice_on_show(), self._layer
        if layer is not None and layer.data.shape != self._known.shape:
            show_warning(OTHER_SHAPE)
        elif self._look_in_history():
            self._check.start()
        elif on_show == self._slice:
            # neither scrolling nor an undo: voxels were written past napari's history
            self._anywhere = True
            self._check.start()
        self._slice = on_show

    def _look_in_history(self) -> bool:
        """Look where strokes were undone or made again since the last look; tell whether any were."""
        layer, known = self._layer, self._undone
        if layer is None:
            return False
        undo, redo = list(layer._undo_history), list(layer._redo_history)
        again = max(0, known - len(redo))
        for changes in [*redo[known:], *undo[max(0, len(undo) - again) :]]:
            self._look_in(changes)
        self._undone = len(redo)
        return len(redo) != known

    def _look_in(self, changes: Sequence[Any]) -> None:
        self._look_in_box(box_around(map(changed_box, changes)))

    def _look_in_box(self, box: Box) -> None:
        self._box = box if self._box is None else box_around((self._box, box))

    def _on_selected_label(self) -> None:
        """Refuse values that no class has: napari would paint them, and nobody would see them."""
        layer = self._layer
        if layer is None:
            return
        if layer.selected_label in self._values:
            self._class_value = layer.selected_label
        else:
            layer.selected_label = self._class_value

    def _on_next_turn(self) -> None:
        self._tell_of_box()
        layer = self._layer
        if layer is None or not self._anywhere or self._comparing:
            return
        self._anywhere, self._comparing = False, True
        run_in_background(
            box_of_difference,
            self._known,
            layer.data,
            done=lambda box: self._on_compared(layer, box),
            failed=lambda _: self._on_compared(layer, None),
        )

    def _on_compared(self, layer: Labels, box: Box | None) -> None:
        self._comparing = False
        if layer is self._layer and box is not None:
            self._look_in_box(box)
        self._on_next_turn()

    def tell(self) -> None:
        """Tell at once of an edit that was not told yet."""
        self._check.stop()
        self._look_in_history()  # a layer that is hidden tells of no undo
        if self._layer is not None and self._layer._staged_history:
            self._look_in(self._layer._staged_history)  # in the middle of a stroke
        if self._layer is not None and (self._anywhere or self._comparing):
            # seldom, and whoever asks needs the answer now
            self._anywhere = False
            self._box = box_of_difference(self._known, self._layer.data)
        self._tell_of_box()

    def _tell_of_box(self) -> None:
        box, self._box = self._box, None
        layer = self._layer
        if layer is None or box is None or layer.data.shape != self._known.shape:
            return
        before, after = self._known[box].copy(), np.array(layer.data[box])
        if not np.array_equal(before, after):
            self._known[box] = after
            self._told(PaintedBox(box, before, after))


def changed_box(change: Any) -> Box:
    """Return the box of one change in napari's history, an item of what ``events.paint`` carries."""
    box: Box | None = getattr(change, "slice_key", None)
    if box is not None:
        return box
    return tuple(slice(int(each.min()), int(each.max()) + 1) for each in change[0])


def box_around(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that holds all boxes; at least one."""
    return tuple(
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )


def box_of_difference(one: np.ndarray, other: np.ndarray) -> Box | None:
    """Return the smallest box in which two arrays (z, y, x) differ; None where they are alike."""
    if one.shape != other.shape:
        return None
    # slice by slice: little memory, and Python's lock is given to other threads in between
    planes = [z for z in range(len(one)) if not np.array_equal(one[z], other[z])]
    if not planes:
        return None
    differs = np.zeros(one.shape[1:], bool)
    for z in planes:
        differs |= np.asarray(one[z] != other[z])
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return None  # painted back while it was read
    ends = ((planes[0], planes[-1]), (rows[0], rows[-1]), (columns[0], columns[-1]))
    return tuple(slice(int(first), int(last) + 1) for first, last in ends)
