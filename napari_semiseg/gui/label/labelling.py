"""The labelling part of the session: the case on the screen and the brush.

Every stroke is saved by itself (see `label_saving`); before another case is shown, training starts or
the viewer closes, the last of them is on its way first. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from psygnal import Signal, SignalInstance

from napari_semiseg.engine.study import Case, CaseState
from napari_semiseg.gui.label.saving import LabelSaving, LabelVersion
from napari_semiseg.gui.label.tools import LabelTools
from napari_semiseg.gui.viewer.case_on_show import OpenCase, read_case
from napari_semiseg.gui.viewer.slices_on_show import SliceProgress

if TYPE_CHECKING:
    from napari_semiseg.gui.session import Session


class Labelling:
    """The case on the screen and its label.

    Parameters
    ----------
    session : Session
        The session that this is a part of.

    Attributes
    ----------
    reading : str or None
        Name of the case that is being read.
    slices : SliceProgress
        The slices of the case on the screen.
    tools : LabelTools
        How the brush paints, and tools for a whole class.
    shown_changed, saved_changed, brush_changed : psygnal.Signal
        Emitted after another case is shown or read, a label is edited or saved, the brush or a tool
        changes.
    """

    shown_changed = Signal()
    saved_changed = Signal()
    brush_changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._layers = session.layers
        self.reading: str | None = None
        self._opened: OpenCase | None = None
        self._saving = LabelSaving(session, self.saved_changed.emit)
        self.slices = SliceProgress(session, self)
        self.tools = LabelTools(session, self)
        self._layers.label_edited.connect(self._saving.note_stroke)

    @property
    def shown(self) -> str | None:
        """Name of the case on the screen."""
        return self._layers.case_name

    @property
    def case(self) -> Case | None:
        """The case on the screen."""
        return self._session.records.case(self.shown)

    @property
    def unsaved(self) -> bool:
        """Whether strokes are on their way to the disk."""
        return self._saving.under_way

    @property
    def not_saved(self) -> bool:
        """Whether the last save was refused; its strokes are kept and tried again."""
        return self._saving.failed

    @property
    def saved_at(self) -> float | None:
        """``time.time()`` of the last save of the case on the screen in this session."""
        return self._saving.saved_at

    @property
    def signals(self) -> tuple[SignalInstance, ...]:
        """All signals that widgets listen to."""
        return self.shown_changed, self.saved_changed, self.brush_changed

    # which case

    def show_case(
        self, name: str, then: Callable[[], None] | None = None, maps_follow: bool = False
    ) -> None:
        """Read a case and show it; of several requests the last one counts.

        Parameters
        ----------
        name : str
            Name of the case.
        then : callable, optional
            Called when it is on the screen.
        maps_follow : bool
            Whether ``then`` shows maps of the case: the layers of those on show wait for them.
        """
        study = self._session.study
        if study is None:
            return
        self.flush()
        self.reading = name
        self.shown_changed.emit()
        former = self._opened if name == self.shown else None
        version = self._saving.version_of(name)

        def read() -> OpenCase | None:
            if self.reading != name:
                return None  # the user has gone on to another one meanwhile
            opened = read_case(study, name, former)
            version.number = opened.case.label_version
            return opened

        def show(opened: OpenCase | None) -> None:
            if opened is None or study is not self._session.study or self.reading != name:
                return
            if self._layers.begin_case(name, opened.volume):
                self._session.lane.submit(lambda: opened, show, self._session.tell_problem)
            else:
                self._on_read(opened, version, then, maps_follow)

        self._session.lane.submit(read, show, lambda sentence: self._on_unreadable(name, sentence))

    def show_again(self, then: Callable[[], None] | None = None, maps_follow: bool = False) -> None:
        """Show the case on the screen again, after its label or the classes changed."""
        if self.shown is not None and self.reading is None:  # else another one is on its way
            self.show_case(self.shown, then, maps_follow)

    def show_neighbour(self, distance: int) -> None:
        """Show the case that comes ``distance`` places after the one on the screen."""
        names = [case.name for case in self._session.records.cases]
        current = self.reading or self.shown
        if not names:
            return
        place = names.index(current) + distance if current in names else 0
        if 0 <= place < len(names):
            self.show_case(names[place])

    def _on_read(
        self,
        opened: OpenCase,
        version: LabelVersion,
        then: Callable[[], None] | None,
        maps_follow: bool,
    ) -> None:
        case = opened.case
        if case.name != self.shown:
            self.flush()
        self.reading, self._opened = None, opened
        label = self._saving.to_show(case.name, opened.label, case.geometry.shape)
        classes = self._session.records.classes
        self._layers.show_case(case, opened.volume, label.painted, classes, maps_follow)
        layer = self._layers.label_layer
        self._saving.watch(case.name, layer, label, version)
        self.slices.attach(layer)
        self.tools.attach(layer)
        if layer is not None:
            for event in (layer.events.selected_label, layer.events.mode, layer.events.brush_size):
                event.connect(self._on_brush)
        self._session.training.preview(case.name)
        self.shown_changed.emit()
        self.brush_changed.emit()
        if then is not None:
            then()

    def _on_unreadable(self, name: str, sentence: str) -> None:
        if name == self.reading:
            self.reading = None
        self._session.tell_problem(sentence)
        self.shown_changed.emit()

    def leave(self) -> None:
        """Save what was painted and take the case off the screen."""
        self._saving.let_go()
        self._layers.clear()
        self.reading = self._opened = None
        self.slices.attach(None)
        self.tools.attach(None)
        self.shown_changed.emit()
        self.brush_changed.emit()

    # saving

    def flush(self) -> None:
        """Send what was painted since the last save on its way to the disk."""
        self._saving.flush()

    # what a label is

    def mark_labelled(self) -> None:
        """Mark the label on the screen as finished: training then learns from it."""
        self._mark(CaseState.LABELLED)

    def mark_in_progress(self) -> None:
        """Mark the label on the screen as unfinished: training leaves it alone."""
        self._mark(CaseState.IN_PROGRESS)

    def _mark(self, state: CaseState) -> None:
        name = self.shown
        if name is not None:
            self.flush()
            self._session.change(lambda study: study.mark(name, state))

    def restore_previous(self) -> None:
        """Exchange the label with the one before the last save."""
        name = self.shown
        if name is not None:
            self.flush()
            self._session.change(
                lambda study: study.restore_previous_label(name), lambda _: self.show_again()
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
        if value == 0 or value in {item.value for item in self._session.records.classes}:
            self._layers.paint_with(value)
            self.brush_changed.emit()

    def set_brush_mm(self, diameter: float) -> None:
        """Set the diameter of the brush in mm, to the nearest voxel."""
        layer, voxel_mm = self._layers.label_layer, self.tools.voxel_mm
        if layer is not None and voxel_mm is not None:
            layer.brush_size = max(1, round(diameter / voxel_mm))

    def _on_brush(self) -> None:
        self.brush_changed.emit()
