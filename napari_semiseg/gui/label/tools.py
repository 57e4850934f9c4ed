"""What labelling in 3D needs around napari's own brush, as state and verbs of the label on the screen.

How the brush paints (size in mm, slice or ball, other classes protected, only some intensities) stays
the same from scan to scan. The tools for a whole class (between slices, largest part, holes) compute
on another thread and write through the layer's history, so that napari's undo takes them back in one
step; voxels that were painted meanwhile stay as they are. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from psygnal import Signal

from napari_semiseg.engine.volumes.label_editing import (
    LabelEdit,
    fill_holes,
    interpolate_between_slices,
    keep_largest_component,
)
from napari_semiseg.gui.label.stroke_window import StrokeWindow

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import Arrival, CaseOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

BrushShape = Literal["slice", "ball"]

NOTHING_TO_DO = {
    "Interpolate": "There is no gap between painted slices to fill.",
    "Keep largest": "The class is in one piece already.",
    "Fill holes": "The class has no holes.",
}


class LabelTools:
    """The brush and the tools for the label on the screen.

    Attributes
    ----------
    shape : {"slice", "ball"}
        Whether the brush paints in the slice or in all three directions.
    protects_other_classes : bool
        Whether painting leaves voxels of other classes alone; the eraser takes any class away.
    working : str or None
        Title of the tool that is computing.
    changed : psygnal.Signal
        Emitted after any of these, or what the tools can do, changed.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, slices: SlicesOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self._slices = slices
        self.shape: BrushShape = "slice"
        self.protects_other_classes = True
        self.working: str | None = None
        self._layer: Labels | None = None
        self._strokes = StrokeWindow(self._intensities)
        self._scan_for_limits: str | None = None
        on_show.label_shown.connect(self._on_label)

    def _on_label(self, arrival: Arrival | None) -> None:
        layer = None if arrival is None else self._layers.label_layer
        former, self._layer = self._layer, layer
        if former is not None:
            for event in (former.events.preserve_labels, former.events.n_edit_dimensions):
                event.disconnect(self._on_napari_controls)
            for event in (former.events.selected_label, former.events.mode):
                event.disconnect(self._set_up)
        self._strokes.watch(layer)
        self.working = None
        if not self._limits_hold_for(self._on_show.name):
            self._strokes.limits = None
        if layer is not None:
            self._set_up()
            for event in (layer.events.preserve_labels, layer.events.n_edit_dimensions):
                event.connect(self._on_napari_controls)
            for event in (layer.events.selected_label, layer.events.mode):
                event.connect(self._set_up)

    # how the brush paints

    def set_shape(self, shape: BrushShape) -> None:
        """Let the brush paint in the slice or as a ball."""
        self.shape = shape
        self._set_up()
        self.changed.emit()

    def protect_other_classes(self, protect: bool) -> None:
        """Let painting leave voxels of other classes alone, or change them."""
        self.protects_other_classes = protect
        self._set_up()
        self.changed.emit()

    def _set_up(self) -> None:
        """Bring napari's layer in line with what was chosen."""
        layer = self._layer
        if layer is None:
            return
        edited = layer.ndim if self.shape == "ball" else layer.ndim - 1
        if layer.n_edit_dimensions != edited:
            layer.n_edit_dimensions = edited
        # napari would let the eraser take the class away that was in hand before, and no other
        preserve = self.protects_other_classes and not _erases(layer)
        if layer.preserve_labels != preserve:
            layer.preserve_labels = preserve

    def _on_napari_controls(self) -> None:
        """Follow what was changed in napari's own controls."""
        layer = self._layer
        if layer is None:
            return
        if not _erases(layer):
            self.protects_other_classes = bool(layer.preserve_labels)
        self.shape = "ball" if layer.n_edit_dimensions == layer.ndim else "slice"
        self.changed.emit()

    @property
    def voxel_mm(self) -> float | None:
        """Smallest voxel side in mm among the directions that are painted; None without a label.

        napari's brush is measured in voxels of this side.
        """
        if self._layer is None:
            return None
        painted = self._slices.order[-self._layer.n_edit_dimensions :]
        return float(np.abs(np.asarray(self._layer.scale))[list(painted)].min())

    # only some intensities

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lowest and highest intensity that strokes change; None while they change all."""
        return self._strokes.limits

    def limit_strokes(self, limits: tuple[float, float] | None) -> None:
        """Let strokes change only voxels with an intensity from the lowest to the highest."""
        self._strokes.limits = None if limits is None else (min(limits), max(limits))
        self._scan_for_limits = self._on_show.name
        self.changed.emit()

    def contrast_on_show(self) -> tuple[float, float] | None:
        """Return the intensities that the scan is shown with, dark to bright; None without one."""
        scan = self._scan()
        if scan is None:
            return None
        lowest, highest = scan.contrast_limits
        return float(lowest), float(highest)

    def _limits_hold_for(self, name: str | None) -> bool:
        """Tell whether intensities mean the same in a scan as in the one they were chosen for."""
        case = self._open.records.case(name)
        # CT numbers are the same everywhere; intensities of MR differ from scan to scan
        return name == self._scan_for_limits or (case is not None and case.modality == "CT")

    def _scan(self) -> Image | None:
        scans = self._layers.scans
        return next((scan for scan in scans if scan.visible), scans[0] if scans else None)

    def _intensities(self) -> np.ndarray | None:
        scan = self._scan()
        return None if scan is None else np.asarray(scan.data)

    # tools for a whole class

    def why_not(self, title: str) -> str | None:
        """Return why a tool cannot act at this moment; None if it can.

        Parameters
        ----------
        title : str
            A key of `NOTHING_TO_DO`.
        """
        slices = self._slices
        if self._layer is None or self._layers.label_layer is None:
            return slices.no_slices or "No scan is on the screen: choose one above."
        if self.working is not None:
            return f"“{self.working}” is at work."
        if self._layer.selected_label == 0:
            return "The eraser is in hand: choose a class first."
        if title == "Interpolate":
            return slices.no_slices
        return None

    def why_not_fill(self, in_3d: bool) -> str | None:
        """Return why holes cannot be filled, in 3D or in each slice; None if they can."""
        reason = self.why_not("Fill holes")
        return reason if reason is not None or in_3d else self._slices.no_slices

    def interpolate(self) -> None:
        """Fill the selected class between its painted slices; finished slices stay as they are."""
        slices = self._slices
        if self._layer is None or slices.axis is None:
            self._open.tell(slices.no_slices or "")
            return
        compute = partial(
            interpolate_between_slices,
            axis=slices.axis,
            spacing=tuple(self._layer.scale),
            finished=slices.done,
            overwrite=not self.protects_other_classes,
        )
        self._start("Interpolate", compute)

    def keep_largest(self) -> None:
        """Take away all parts of the selected class but the largest one."""
        self._start("Keep largest", keep_largest_component)

    def fill_holes(self, in_3d: bool) -> None:
        """Fill what the selected class encloses, in 3D or within each slice of the view."""
        axis = None if in_3d else self._slices.axis
        reason = self.why_not_fill(in_3d)
        if reason is not None:
            self._open.tell(reason)
            return
        overwrite = not self.protects_other_classes
        self._start("Fill holes", partial(fill_holes, axis=axis, overwrite=overwrite))

    def _start(self, title: str, compute: Callable[..., LabelEdit]) -> None:
        layer = self._layer
        if layer is None or self.why_not(title) is not None:
            return
        self.working = title
        self.changed.emit()
        class_value = int(layer.selected_label)
        self._open.background(
            # the copy is made there, too: what is painted meanwhile stays as it is in any case
            lambda: compute(np.array(layer.data), class_value),
            done=lambda edit: self._on_computed(layer, title, edit),
            failed=lambda sentence: self._on_failed(layer, sentence),
        )

    def _on_computed(self, layer: Labels, title: str, edit: LabelEdit) -> None:
        shown = self._layer
        if shown is None or layer is not shown:
            return  # another scan came onto the screen
        self.working = None
        edit = edit.still_fitting(shown.data)
        if len(edit):
            with self._strokes.paused():
                shown.data_setitem(edit.positions, edit.after)
        else:
            self._open.tell(NOTHING_TO_DO[title])
        self.changed.emit()

    def _on_failed(self, layer: Labels, sentence: str) -> None:
        if layer is self._layer:
            self.working = None
            self._open.tell_problem(sentence)
            self.changed.emit()


def _erases(layer: Labels) -> bool:
    return layer.selected_label == 0 or str(layer.mode) == "erase"
