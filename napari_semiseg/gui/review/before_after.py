"""The label on the screen as it was before the last decision or correction, in place of it.

What the label was is remembered while the scan is on the screen; for
changes of another session the previous label of the study stands in. The layer that a person paints in
is hidden meanwhile and never changed; napari takes no strokes in a hidden one. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.viewer.layer_data import label_layer

if TYPE_CHECKING:
    from napari.layers import Labels, Layer

    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

NO_SCAN = "No scan is on the screen: choose one in the list."
NO_CHANGE = "The label of this scan was not changed yet: there is nothing before it."


class BeforeAfter:
    """Shows the label as it was, and as it is.

    Attributes
    ----------
    showing : bool
        Whether the label of before is on the screen.
    changed : psygnal.Signal
        Emitted after another label is on the screen, or can be.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self.showing = False
        self._name: str | None = None
        self._layer: Labels | None = None
        self._as_read: np.ndarray | None = None
        self._before: np.ndarray | None = None
        self._edited = False
        self._mark: Layer | None = None
        self._reading = Latest(open_study)
        on_show.shown_changed.connect(self._on_shown)
        self._layers.label_edited.connect(self._on_edited)

    def _on_shown(self) -> None:
        """Compare a label that was read with the one on the screen before: a decision changed it."""
        layer, name = self._layers.label_layer, self._on_show.name
        if layer is self._layer:
            return
        self.show(False)
        former = None if self._layer is None else np.asarray(self._layer.data)
        if name is None or name != self._name or layer is None or former is None:
            self._before = None
        elif former.shape != layer.data.shape or not np.array_equal(former, layer.data):
            self._before = former
        self._name, self._layer, self._edited = name, layer, False
        self._as_read = None if layer is None else np.array(layer.data)
        self.changed.emit()

    def _on_edited(self) -> None:
        """From the first stroke on, what was read is what was before the correction."""
        if not self._edited and self._as_read is not None:
            self._before, self._edited = self._as_read, True
            self.changed.emit()

    def why_not(self) -> str | None:
        """Return why no label of before can be shown; None if one can."""
        case = self._on_show.case
        if case is None or self._layer is None:
            return NO_SCAN
        known = self._before is not None or case.previous_label_version is not None
        return None if known else NO_CHANGE

    def toggle(self) -> None:
        """Show the label of before, or the present one again."""
        self.show(not self.showing)

    def show(self, before: bool) -> None:
        """Show the label of before, or the present one."""
        if not before:
            self._end()
        elif not self.showing and self.why_not() is None:
            if self._before is not None:
                self._begin(self._before)
            else:
                self._read()

    def _read(self) -> None:
        study, name, layer = self._open.study, self._name, self._layer
        if study is None or name is None:
            return

        def read(label: np.ndarray | None) -> None:
            if layer is self._layer and label is not None:
                self._before = label
                self.show(True)

        self._reading.start(study.labels.load_previous, name, done=read)

    def _begin(self, before: np.ndarray) -> None:
        layer, case = self._layer, self._on_show.case
        if layer is None or case is None:
            return
        classes = self._open.records.classes
        voxels, arguments, kind = label_layer(case.name, before, case.geometry, classes)
        arguments = {**arguments, "name": f"{case.name} label before", "opacity": layer.opacity}
        self._mark = self._layers.add_mark((voxels, arguments, kind))
        self._mark.editable = False
        layer.visible = False
        self.showing = True
        self.changed.emit()

    def _end(self) -> None:
        if not self.showing:
            return
        if self._mark is not None:
            self._layers.remove_mark(self._mark)
        if self._layer is not None:
            self._layer.visible = True
        self._mark, self.showing = None, False
        self.changed.emit()
