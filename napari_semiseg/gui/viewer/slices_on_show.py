"""The slices of the scan on the screen: which are empty, painted or done, and which one is looked at.

The slices are those along the axis that the 2D view cuts. What is painted comes from the label layer,
what is done from the records of the study. Main thread only.

Slices have the numbers that napari's slider shows: from 0 to the number of slices less one. All words
about slices come from `slice_words`, or say the index as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_semiseg.gui.viewer.view_direction import plane_name

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_semiseg.engine.study import PaintedBox
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import Arrival, CaseOnShow


MOST_EMPTIED = 16
"""Slices that are looked through one by one after an edit; reading all of the label is faster then."""


def slice_words(index: int, count: int) -> str:
    """Return what a slice is called, with its number and the last one: ``"slice 12 / 39"``.

    Parameters
    ----------
    index : int
        Array index along the axis that the view cuts, which is the number on napari's slider.
    """
    return f"slice {index} / {count - 1}"


class SlicesOnShow:
    """The slices along the axis of the view.

    Attributes
    ----------
    changed : psygnal.Signal
        Emitted after another slice is shown, the view turns, or a slice is painted.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self._layer: Labels | None = None
        self._painted = np.zeros(0, bool)
        self._dims = self._layers.dims
        for event in (self._dims.events.order, self._dims.events.ndisplay):
            event.connect(self._on_turned)
        self._dims.events.point.connect(self._tell)
        self._layers.label_edited.connect(self._on_edited)
        on_show.label_shown.connect(self._on_label)

    def _on_label(self, arrival: Arrival | None) -> None:
        self._layer = None if arrival is None else self._layers.label_layer
        self._on_turned()

    @property
    def order(self) -> tuple[int, ...]:
        """The axes (0, 1, 2 for z, y, x) in napari's order: those on the screen come last."""
        order = tuple(self._dims.order)
        return order if sorted(order) == [0, 1, 2] else (0, 1, 2)

    @property
    def axis(self) -> int | None:
        """The axis that the view cuts; None where `no_slices` tells why it cuts none."""
        return self.order[0] if self.no_slices is None else None

    @property
    def no_slices(self) -> str | None:
        """Why the view shows no slices of the label; None if it does."""
        if self._layer is None:
            return "No scan is on the screen: choose one above."
        if self._layers.label_layer is not self._layer:
            return "The label was taken off the layer list: choose the scan above again."
        if self._dims.ndim != 3:
            return "A layer of your own has more than three dimensions: take it off first."
        if self._dims.ndisplay != 2:
            return "Slices are there in the 2D view: leave the 3D view first."
        return None

    @property
    def plane(self) -> str:
        """What a clinician calls the view: axial, coronal or sagittal; empty where there is none."""
        case = self._on_show.case
        if case is None or self.axis is None:
            return ""
        return plane_name(case.geometry, self.axis)

    @property
    def painted(self) -> np.ndarray:
        """Which slices hold a class, shape (slices,), bool; no slices in 3D."""
        return self._painted

    @property
    def has_gaps(self) -> bool:
        """Whether empty slices lie between painted ones."""
        painted = np.flatnonzero(self._painted)
        return len(painted) > 0 and int(np.ptp(painted)) + 1 != len(painted)

    @property
    def done(self) -> frozenset[int]:
        """The slices of this view that are marked as done."""
        case = self._on_show.case
        if case is None or case.done_slices is None or self.axis is None:
            return frozenset()
        return case.done_slices.along[self.axis]

    @property
    def current(self) -> int | None:
        """The slice that is looked at, counted from 0."""
        if self._layer is None or self.axis is None:
            return None
        index = round(float(self._layer.world_to_data(self._dims.point)[self.axis]))
        return min(max(index, 0), len(self._painted) - 1)

    def show(self, index: int) -> None:
        """Look at a slice; beyond the ends, at the last one there."""
        if self._layer is not None and self.axis is not None:
            index = min(max(index, 0), len(self._painted) - 1)
            self._dims.set_point(self.axis, index * float(self._layer.scale[self.axis]))

    def why_not_mark(self) -> str | None:
        """Return why the slice cannot be marked as done; None if it can."""
        case = self._on_show.case
        if case is None or self.no_slices is not None:
            return self.no_slices or "No scan is on the screen: choose one above."
        if case.held_out and case.done_slices is None:
            return "This scan is held out and is measured against its whole label."
        return None

    def mark_current(self) -> None:
        """Mark the slice that is looked at as done, or take its mark away."""
        name, axis, index = self._on_show.name, self.axis, self.current
        if name is None or axis is None or index is None or self.why_not_mark():
            return
        done = index not in self.done
        self._open.change(lambda study: study.labels.mark_slices(name, axis, [index], done=done))

    def _on_turned(self) -> None:
        axis, layer = self.axis, self._layer
        if layer is None or axis is None:
            self._painted = np.zeros(0, bool)
        else:
            others = tuple({0, 1, 2} - {axis})
            # the maximum of bytes is vectorised, which any() is not: 10 times as fast
            self._painted = np.asarray(layer.data).max(axis=others) > 0
        self._tell()

    def _on_edited(self, edit: PaintedBox | None) -> None:
        axis, layer = self.axis, self._layer
        if edit is None or layer is None or axis is None or not len(self._painted):
            self._on_turned()
            return
        there = edit.box[axis]
        holds = edit.after.max(axis=tuple({0, 1, 2} - {axis})) > 0
        # of what was painted before, something may be left outside the box
        emptied = np.flatnonzero(~holds & self._painted[there]).tolist()
        if len(emptied) > MOST_EMPTIED:
            self._on_turned()
            return
        for index in emptied:
            holds[index] = bool(np.take(layer.data, there.start + index, axis).any())
        self._painted[there] = holds
        self._tell()

    def _tell(self) -> None:
        # the viewer outlives the dock: once the study is closed, those who listen may be gone
        if self._open.study is not None:
            self.changed.emit()
