"""Saving what is painted: every stroke, whatever else changes the label meanwhile.

A stroke is on its way to the disk as soon as it is made. While a save is under way further strokes
wait and are saved together. What is saved are strokes, not whole labels: where another program, a
review or an import has changed the label since it was read, the strokes are laid over what it has
become, and the screen shows that. Strokes that the disk refused are kept and tried again. Main thread
only; used by `labelling`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_semiseg.engine.review.time_ledger import WorkClock
from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.study.time_spent import Work
from napari_semiseg.gui.viewer.label_edits import checksum

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import Arrival, CaseOnShow


@dataclass(frozen=True, eq=False)
class LabelToShow:
    """A label that was read, with the strokes that the disk does not have yet.

    Attributes
    ----------
    painted : ndarray, shape (z, y, x), or None
        What belongs on the screen; None for a case without a label.
    stored : ndarray, shape (z, y, x)
        What is on the disk, or on its way there.
    """

    painted: np.ndarray | None
    stored: np.ndarray


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
        self._layer: Labels | None = None  # held: closing, napari empties its list of layers first
        self._stored: np.ndarray | None = None
        self._checksum: int | None = None
        self._version = LabelVersion()
        self._on_their_way: list[tuple[str, Strokes]] = []
        self._refused: list[tuple[str, Strokes]] = []
        self._clock = WorkClock()
        self._read: LabelToShow | None = None
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
        self._read = self._with_strokes(case.name, arrival.label, case.geometry.shape)
        arrival.label = self._read.painted

    def _with_strokes(
        self, name: str, label: np.ndarray | None, shape: tuple[int, ...]
    ) -> LabelToShow:
        """Lay the strokes that the disk does not have yet over a label that was just read."""
        stored = painted = np.zeros(shape, np.uint8) if label is None else label
        for case, strokes in self._on_their_way:
            if case == name:
                stored = painted = strokes.laid_over(stored)
        for case, strokes in self._refused:
            if case == name:
                painted = strokes.laid_over(painted)
        self._refused = [waiting for waiting in self._refused if waiting[0] != name]
        newest = self._since_last_save() if name == self._name else None
        if newest is not None and newest.voxels.shape == shape:
            painted = newest.laid_over(painted)
        unpainted = label is None and painted is stored and not stored.any()
        return LabelToShow(None if unpainted else painted, stored)

    def _since_last_save(self) -> Strokes | None:
        layer, stored = self._layer, self._stored
        if layer is None or stored is None or checksum(layer.data) == self._checksum:
            return None
        return Strokes(np.asarray(layer.data), stored)

    def _on_shown(self, arrival: Arrival | None) -> None:
        """Save what is painted in a layer from now on; strokes that it came with are saved first."""
        shown, self._read = self._read, None
        if arrival is None or shown is None:
            self._let_go()
            return
        case, layer = arrival.opened.case, self._layers.label_layer
        name = case.name
        if name != self._name:
            self.saved_at = None
        self._name, self._layer = name, layer
        self._version = LabelVersion(case.label_version)
        self._stored = shown.stored
        alike = shown.painted is None or shown.painted is shown.stored
        self._checksum = checksum(layer.data) if layer is not None and alike else None
        self._clock.open(name, time.monotonic())
        self.flush()

    def _let_go(self) -> None:
        """Save what was painted and watch nothing any more."""
        self.flush()
        self._try_again()
        self._clock.open(None, time.monotonic())
        self._name = self._layer = self._stored = self._checksum = self.saved_at = None
        self._version, self.failed = LabelVersion(), False
        self._on_their_way, self._refused = [], []

    def _on_stroke(self) -> None:
        """Save a stroke that was just made, at once or with the next ones."""
        self._clock.edit(time.monotonic())
        if not self._on_their_way:
            self.flush()

    def flush(self) -> None:
        """Send what was painted since the last save on its way to the disk."""
        name, layer, stored = self._name, self._layer, self._stored
        if self._open.study is None or name is None or layer is None or stored is None:
            return
        now = checksum(layer.data)
        if now == self._checksum:
            return
        self._checksum = now
        self._stored = np.array(layer.data)
        self._send(name, Strokes(self._stored, stored), self._version, self._clock.take())

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
                self._take_in(merged)
        self._try_again()
        self.flush()
        self.changed.emit()

    def _take_in(self, label: np.ndarray) -> None:
        """Show what a label has become that was changed by others too."""
        layer = self._layer
        if self._name is None or layer is None or layer.data.shape != label.shape:
            return
        shown = self._with_strokes(self._name, label, label.shape)
        layer.data[...] = shown.stored if shown.painted is None else shown.painted
        layer.refresh()
        self._stored, self._checksum = shown.stored, checksum(shown.stored)

    def _on_failed(
        self, study: object, name: str, strokes: Strokes, work: Work, sentence: str
    ) -> None:
        self._arrived(strokes)
        if study is self._open.study:
            self.failed = True
            self._clock.put_back(name, work)
            if name == self._name and self._stored is not None:
                # these voxels differ again from what is stored, so the next save has them
                changed = strokes.voxels != strokes.before
                self._stored = np.where(changed, strokes.before, self._stored)
                self._checksum = None
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


@dataclass(frozen=True, eq=False)
class Strokes:
    """What a person painted between two moments.

    Attributes
    ----------
    voxels, before : ndarray
        (z, y, x) label after and before.
    """

    voxels: np.ndarray
    before: np.ndarray

    def laid_over(self, label: np.ndarray) -> np.ndarray:
        """Return another label of the same shape with the same voxels painted in it."""
        return np.where(self.voxels != self.before, self.voxels, label).astype(label.dtype)


def keep_label(
    study: Study, name: str, strokes: Strokes, version: LabelVersion, work: Work
) -> np.ndarray | None:
    """Save what a person painted and how long that took.

    A finished label stays finished, any other is in progress. Where the label is no longer the
    ``version`` that was painted in, the strokes are laid over what it has become.

    Returns
    -------
    ndarray or None
        The label that was saved, if it is not the one that was painted.
    """
    case = study.case(name)
    voxels = strokes.voxels
    if case.label_version != version.number:
        label = study.labels.load(name)
        voxels = strokes.laid_over(np.zeros_like(voxels) if label is None else label)
    if case.label_origin == "accepted" or case.hidden_state is CaseState.ACCEPTED:
        study.time_spent.begin_correction(name)
    finished = case.hidden_state is CaseState.LABELLED
    state = CaseState.LABELLED if finished else CaseState.IN_PROGRESS
    study.labels.save(name, voxels, state=state, origin="human")
    version.number = study.case(name).label_version
    study.time_spent.add(name, work.seconds, work.edits)
    return None if np.array_equal(voxels, strokes.voxels) else voxels
