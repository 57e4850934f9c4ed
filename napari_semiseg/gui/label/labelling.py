"""Labelling: the brush on the label that is on the screen, and what that label is.

Every stroke is saved by itself (see `saving`). Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.label.saving import LabelSaving
from napari_semiseg.gui.label.tools import LabelTools

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow


class Labelling:
    """The label on the screen.

    Attributes
    ----------
    slices : SlicesOnShow
        The slices of the case on the screen.
    saving : LabelSaving
        Saves every stroke.
    tools : LabelTools
        How the brush paints, and tools for a whole class.
    brush_changed : psygnal.Signal
        Emitted after the brush or a tool changes.
    """

    brush_changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, slices: SlicesOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self.slices = slices
        self.saving = LabelSaving(open_study, on_show)
        self.tools = LabelTools(open_study, on_show, slices)
        self.tools.changed.connect(self._on_brush)
        on_show.label_shown.connect(self._on_label)

    def _on_label(self) -> None:
        layer = self._layers.label_layer
        if layer is not None:
            for event in (layer.events.selected_label, layer.events.mode, layer.events.brush_size):
                event.connect(self._on_brush)
        self.brush_changed.emit()

    def _on_brush(self) -> None:
        self.brush_changed.emit()

    # what a label is

    def mark_labelled(self) -> None:
        """Mark the label on the screen as finished: training then learns from it."""
        self._mark(CaseState.LABELLED)

    def mark_in_progress(self) -> None:
        """Mark the label on the screen as unfinished: training leaves it alone."""
        self._mark(CaseState.IN_PROGRESS)

    def _mark(self, state: CaseState) -> None:
        name = self._on_show.name
        if name is not None:
            self._open.change(lambda study: study.mark(name, state))

    def restore_previous(self) -> None:
        """Exchange the label with the one before the last save."""
        name = self._on_show.name
        if name is not None:
            self._open.change(
                lambda study: study.labels.restore_previous(name),
                lambda _: self._on_show.show_again(),
            )

    # brush

    @property
    def brush_value(self) -> int | None:
        """Class value that the brush paints with; None while it does not paint."""
        layer = self._layers.label_layer
        if layer is None or str(layer.mode) not in ("paint", "fill", "polygon"):
            return None
        return int(layer.selected_label)

    @property
    def brush_mm(self) -> float | None:
        """Diameter of the brush in mm; None without a label on the screen."""
        layer, voxel_mm = self._layers.label_layer, self.tools.voxel_mm
        return None if layer is None or voxel_mm is None else float(layer.brush_size) * voxel_mm

    def paint_with(self, value: int) -> None:
        """Take the brush in hand with a class; 0 erases."""
        if value == 0 or value in {item.value for item in self._open.records.classes}:
            self._layers.paint_with(value)
            self.brush_changed.emit()

    def set_brush_mm(self, diameter: float) -> None:
        """Set the diameter of the brush in mm, to the nearest voxel."""
        layer, voxel_mm = self._layers.label_layer, self.tools.voxel_mm
        if layer is not None and voxel_mm is not None:
            layer.brush_size = max(1, round(diameter / voxel_mm))
