"""The case on the screen: reading it, showing it, and going from one to the next.

Main thread only, but for `read_case`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from psygnal import Signal

from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.volumes import Volume
from napari_semiseg.gui.open_study.open_study import OpenStudy
from napari_semiseg.gui.viewer.layers import CaseLayers


@dataclass(frozen=True)
class OpenCase:
    """A case read from disk, ready to be shown."""

    case: Case
    volume: Volume
    label: np.ndarray | None


@dataclass(eq=False)
class Arrival:
    """A case on its way to the screen.

    Attributes
    ----------
    opened : OpenCase
        What was read.
    label : ndarray, shape (z, y, x), or None
        What is to be shown as its label; who keeps strokes that the disk does not have yet lays them
        over it.
    """

    opened: OpenCase
    label: np.ndarray | None


def read_case(study: Study, name: str, former: OpenCase | None = None) -> OpenCase:
    """Read the scan and the label of a case; the scan of a ``former`` reading is taken as it is."""
    case = study.case(name)
    known = former is not None and former.case.content_hash == case.content_hash
    volume = former.volume if former is not None and known else study.scans.read(name)
    return OpenCase(case, volume, study.labels.load(name))


class CaseOnShow:
    """The case on the screen.

    Attributes
    ----------
    layers : CaseLayers
        Its layers.
    reading : str or None
        Name of the case that is being read.
    shown_changed : psygnal.Signal
        Emitted after another case is shown or read.
    label_read : psygnal.Signal
        Emitted with the `Arrival` before it comes onto the screen.
    label_shown : psygnal.Signal
        Emitted with the `Arrival` when its layers are there; with None when the case was taken off.
    """

    shown_changed = Signal()
    label_read = Signal(object)
    label_shown = Signal(object)

    def __init__(self, open_study: OpenStudy, layers: CaseLayers) -> None:
        self._open = open_study
        self.layers = layers
        self.reading: str | None = None
        self._opened: OpenCase | None = None
        open_study.leaving.connect(self.leave)

    @property
    def name(self) -> str | None:
        """Name of the case on the screen."""
        return self.layers.case_name

    @property
    def case(self) -> Case | None:
        """The case on the screen, as recorded now."""
        return self._open.records.case(self.name)

    def show(
        self, name: str, then: Callable[[], None] | None = None, maps_follow: bool = False
    ) -> None:
        """Read a case and show it; of several requests the last one counts.

        Parameters
        ----------
        then : callable, optional
            Called when it is on the screen.
        maps_follow : bool
            Whether ``then`` shows maps of the case: the layers of those on show wait for them.
        """
        study = self._open.study
        if study is None:
            return
        self._open.about_to_work.emit()
        self.reading = name
        self.shown_changed.emit()
        former = self._opened if name == self.name else None

        def read() -> OpenCase | None:
            # the user may have gone on to another one meanwhile
            return read_case(study, name, former) if self.reading == name else None

        def show(opened: OpenCase | None) -> None:
            if opened is None or study is not self._open.study or self.reading != name:
                return
            if self.layers.begin_case(name, opened.volume):
                self._open.lane.submit(lambda: opened, show, self._open.tell_problem)
            else:
                self._on_read(opened, maps_follow)
                if then is not None:
                    then()

        self._open.lane.submit(read, show, lambda sentence: self._on_unreadable(name, sentence))

    def show_again(self, then: Callable[[], None] | None = None, maps_follow: bool = False) -> None:
        """Show the case on the screen again, after its label or the classes changed."""
        if self.name is not None and self.reading is None:  # else another one is on its way
            self.show(self.name, then, maps_follow)

    def show_neighbour(self, distance: int) -> None:
        """Show the case that comes ``distance`` places after the one on the screen."""
        names = [case.name for case in self._open.records.cases]
        current = self.reading or self.name
        if not names:
            return
        place = names.index(current) + distance if current in names else 0
        if 0 <= place < len(names):
            self.show(names[place])

    def _on_read(self, opened: OpenCase, maps_follow: bool) -> None:
        case = opened.case
        if case.name != self.name:
            self._open.about_to_work.emit()
        self.reading, self._opened = None, opened
        arrival = Arrival(opened, opened.label)
        self.label_read.emit(arrival)
        classes = self._open.records.classes
        self.layers.show_case(case, opened.volume, arrival.label, classes, maps_follow)
        self.label_shown.emit(arrival)
        self.shown_changed.emit()

    def _on_unreadable(self, name: str, sentence: str) -> None:
        if name == self.reading:
            self.reading = None
        self._open.tell_problem(sentence)
        self.shown_changed.emit()

    def leave(self) -> None:
        """Save what was painted and take the case off the screen."""
        self._open.about_to_work.emit()
        self.label_shown.emit(None)
        self.reading = self._opened = None
        if not self._open.closed:
            self.layers.clear()
            self.shown_changed.emit()
