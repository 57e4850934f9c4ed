"""The slices of the prediction on the screen that most need a look, one after the other.

How much is probably wrong in each slice is measured on a worker's
thread, once for each prediction that comes onto the screen; all else is on the main thread.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_semiseg.gui.open_study.latest import Latest

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.engine.review.slices import SliceNeed
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

NO_PREDICTION = "No prediction is on the screen: choose a predicted scan in the list."
NOT_UNSURE = "The prediction does not tell where it is unsure: predict this scan again."
MEASURING = "The slices are being measured: wait a moment."
IN_3D = "Slices are looked at in the 2D view: leave the 3D view first."
NOTHING = "In no slice of this view is the program unsure."


def measure_slices(maps: CaseMaps, classes: int) -> dict[int, np.ndarray]:
    """Return how much area of each slice is probably wrong, in mm², by axis 0, 1 and 2."""
    from napari_semiseg.engine.review.slices import slice_needs

    spacing = maps.geometry.spacing
    return slice_needs(maps.prediction, maps.uncertainty, maps.disagreement, spacing, classes)


class WorstSlices:
    """The slices that need a look in the scan on the screen.

    Attributes
    ----------
    latest : SliceNeed or None
        The slice that was jumped to last in this scan.
    changed : psygnal.Signal
        Emitted after something else is known of the slices, or one was jumped to.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, maps: MapsOnShow, slices: SlicesOnShow) -> None:
        self._open = open_study
        self._slices = slices
        maps.prediction_shown.connect(self._measure)
        maps.prediction_gone.connect(self._forget)
        self.latest: SliceNeed | None = None
        self._needs: dict[int, np.ndarray] | None = None
        self._spacing: tuple[float, ...] = ()
        self._seen: dict[int, set[int]] = {}
        self._problem: str | None = NO_PREDICTION
        self._measuring = Latest(open_study)

    def _measure(self, run: str, maps: CaseMaps) -> None:
        self._forget()
        self._spacing = tuple(maps.geometry.spacing)
        if maps.uncertainty is None and maps.disagreement is None:
            self._problem = NOT_UNSURE
        else:
            self._problem = MEASURING
            self._measuring.start(
                measure_slices,
                maps,
                len(self._open.records.classes) + 1,
                done=self._on_measured,
                failed=self._on_failed,
            )
        self.changed.emit()

    def _forget(self) -> None:
        self._measuring.drop()
        self._needs = self.latest = None
        self._seen, self._problem = {}, NO_PREDICTION
        self.changed.emit()

    def _on_measured(self, needs: dict[int, np.ndarray]) -> None:
        self._needs, self._problem = needs, None
        self.changed.emit()

    def _on_failed(self, sentence: str) -> None:
        self._problem = sentence
        self.changed.emit()

    def why_not(self) -> str | None:
        """Return why no slice can be jumped to; None if one can."""
        axis = self._slices.axis
        if self._problem is not None or self._needs is None:
            return self._problem or NO_PREDICTION
        if axis is None:
            return IN_3D
        return None if self._needs[axis].any() else NOTHING

    def show_next(self) -> None:
        """Jump to the worst slice not jumped to yet, along the axis of the view; then start over.

        Slices near one that was jumped to, and slices marked as done, are passed over.
        """
        from napari_semiseg.engine.review.slices import next_worst_slice

        slices, needs = self._slices, self._needs
        axis = slices.axis
        if self.why_not() is not None or axis is None or needs is None:
            return
        seen = self._seen.setdefault(axis, set())
        find = partial(next_worst_slice, needs, axis, self._spacing)
        found = find(seen | slices.done)
        if found is not None and found.index == slices.current and self.latest is None:
            seen.add(found.index)  # it is looked at already: a key that does nothing seems broken
            found = find(seen | slices.done)
        if found is None:
            seen.clear()
            found = find(slices.done) or find()
        if found is not None:
            seen.add(found.index)
            self.latest = found
            slices.show(found.index)
        self.changed.emit()

    @property
    def words(self) -> str:
        """What was found in the slice that was jumped to, while it is looked at; else empty."""
        slices, latest = self._slices, self.latest
        if latest is None or (latest.axis, latest.index) != (slices.axis, slices.current):
            return ""
        return f"Slice {latest.index}: ≈ {_area(latest.wrong_mm2)} may be wrong"


def _area(square_mm: float) -> str:
    if square_mm >= 100:
        return f"{square_mm / 100:.1f} cm²"
    return f"{square_mm:.0f} mm²" if square_mm >= 10 else f"{square_mm:.1f} mm²"
