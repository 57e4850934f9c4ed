"""Saving what is painted: every stroke, whatever else changes the label meanwhile.

A stroke is on its way to the disk as soon as it is made. While a save is under way further strokes
wait and are saved together. What is saved are strokes, not whole labels: where another program, a
review or an import has changed the label since it was read, the strokes are laid over what it has
become, and the screen shows that. Strokes that the disk refused are kept and tried again. Main thread
only, and nothing here grows with the label but showing what others have made of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_semiseg.engine.review.time_ledger import WorkClock
from napari_semiseg.engine.study import PaintedBox, Study, Work, lay_over

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import Arrival, CaseOnShow

Strokes = tuple[PaintedBox, ...]


class LabelSaving:
    """Keeps the label on the screen and the one on the disk alike.

    Attributes
    ----------
    saved_at : float or None
        ``time.time()`` of the last save of the case on the screen in this session.
    failed : bool
        Whether the last save was refused, and its strokes wait for another try.
    changed : psygnal.Signal
        Emitted when a save begins or ends.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow) -> None:
        self._open = open_study
        self._layers = on_show.layers
        self.saved_at: float | None = None
        self.failed = False
        self._name: str | None = None
        self._painted: list[PaintedBox] = []
        self._version = LabelVersion()
        self._on_their_way: list[tuple[str, Strokes]] = []
        self._refused: list[tuple[str, Strokes]] = []
        self._clock = WorkClock()
        self._arriving: list[PaintedBox] | None = None
        self._layers.label_edited.connect(self._on_stroke)
        on_show.label_read.connect(self._on_read)
        on_show.label_shown.connect(self._on_shown)
        open_study.about_to_work.connect(self.flush)

    @property
    def under_way(self) -> bool:
        """Whether strokes are on their way to the disk."""
        return bool(self._on_their_way)

    def _on_read(self, arrival: Arrival) -> None:
        case = arrival.opened.case
        self._layers.tell_edits()
        self._arriving = self._unsaved(case.name)
        arrival.label = self._with_strokes(
            case.name, arrival.label, case.geometry.shape, self._arriving
        )

    def _unsaved(self, name: str) -> list[PaintedBox]:
        """Return the strokes of a case that are not on their way; they no longer count as refused."""
        refused = [stroke for case, strokes in self._refused if case == name for stroke in strokes]
        self._refused = [waiting for waiting in self._refused if waiting[0] != name]
        return [*refused, *(self._painted if name == self._name else ())]

    def _with_strokes(
        self,
        name: str,
        label: np.ndarray | None,
        shape: tuple[int, ...],
        unsaved: list[PaintedBox],
    ) -> np.ndarray | None:
        """Lay the strokes that the disk does not have yet over a label that was just read."""
        strokes = [each for case, sent in self._on_their_way if case == name for each in sent]
        strokes += unsaved
        if not strokes:
            return label
        return lay_over(np.zeros(shape, np.uint8) if label is None else label, strokes)

    def _on_shown(self, arrival: Arrival | None) -> None:
        """Save what is painted in a layer from now on; strokes that it came with are saved first."""
        unsaved, self._arriving = self._arriving, None
        if arrival is None or unsaved is None:
            self._let_go()
            return
        case = arrival.opened.case
        if case.name != self._name:
            self.saved_at = None
        self._name, self._painted = case.name, unsaved
        self._version = LabelVersion(case.label_version)
        self._clock.open(case.name, time.monotonic())
        self.flush()

    def _let_go(self) -> None:
        """Save what was painted and watch nothing any more."""
        self.flush()
        self._try_again()
        self._clock.open(None, time.monotonic())
        self._name = self.saved_at = None
        self._version, self.failed = LabelVersion(), False
        self._painted, self._on_their_way, self._refused = [], [], []

    def _on_stroke(self, stroke: PaintedBox | None) -> None:
        """Save a stroke that was just made, at once or with the next ones."""
        if stroke is None or self._name is None:
            return
        self._painted.append(stroke)
        self._clock.edit(time.monotonic())
        if not self._on_their_way:
            self._send_painted()

    def flush(self) -> None:
        """Send what was painted since the last save on its way to the disk."""
        self._layers.tell_edits()
        self._send_painted()

    def _send_painted(self) -> None:
        if self._open.study is not None and self._name is not None and self._painted:
            strokes, self._painted = tuple(self._painted), []
            self._send(self._name, strokes, self._version, self._clock.take())

    def _send(self, name: str, strokes: Strokes, version: LabelVersion, work: Work) -> None:
        study = self._open.study
        self._on_their_way.append((name, strokes))
        self._open.record(
            lambda study: keep_label(study, name, strokes, version, work),
            lambda merged: self._on_saved(name, strokes, merged),
            lambda sentence: self._on_failed(study, name, strokes, work, sentence),
        )
        self.changed.emit()

    def _arrived(self, strokes: Strokes) -> None:
        self._on_their_way = [item for item in self._on_their_way if item[1] is not strokes]

    def _on_saved(self, name: str, strokes: Strokes, merged: np.ndarray | None) -> None:
        self._arrived(strokes)
        self.failed = False
        if name == self._name:
            self.saved_at = time.time()
            if merged is not None:
                self._take_in(name, merged)
        self._try_again()
        self.flush()
        self.changed.emit()

    def _take_in(self, name: str, label: np.ndarray) -> None:
        """Show what a label has become that was changed by others too."""
        self._layers.tell_edits()
        self._painted = self._unsaved(name)
        shown = self._with_strokes(name, label, label.shape, self._painted)
        if shown is not None:
            self._layers.take_in(shown)

    def _on_failed(
        self, study: object, name: str, strokes: Strokes, work: Work, sentence: str
    ) -> None:
        self._arrived(strokes)
        if study is self._open.study:
            self.failed = True
            self._clock.put_back(name, work)
            if name == self._name:
                self._painted = [*strokes, *self._painted]  # the next save has them
            else:
                self._refused.append((name, strokes))
        self._open.tell_problem(f"The label of {name} was not saved. {sentence}")
        self.changed.emit()

    def _try_again(self) -> None:
        waiting, self._refused = self._refused, []
        for name, strokes in waiting:
            if self._open.records.case(name) is None:
                continue  # the scan was taken out of the study
            self._send(name, strokes, LabelVersion(), Work(0.0, 0))


@dataclass(eq=False)
class LabelVersion:
    """Which version of a label the desk has read or saved last; followed on the study's lane alone.

    Attributes
    ----------
    number : int or None
        None where there is no label; −1 while nothing is known.
    """

    number: int | None = -1


def keep_label(
    study: Study, name: str, strokes: Strokes, version: LabelVersion, work: Work
) -> np.ndarray | None:
    """Save strokes and how long they took.

    Returns
    -------
    ndarray or None
        The label that was saved, (z, y, x), if others have changed it since the ``version`` that was
        painted in.
    """
    case, label = study.labels.paint(name, strokes, work)
    changed_by_others = case.previous_label_version != version.number
    version.number = case.label_version
    return label if changed_by_others else None
