"""The live maps of the case on the screen: what a run in training says about it, now and before.

A part of the training desk. The newest preview is shown as it comes, unless the user looks at a past
one; past ones are kept small in a `Film`. Packing and unpacking go to other threads. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_semiseg.engine.inference.maps import MAPS, PREVIEW_KINDS
from napari_semiseg.gui.train.film import Film, PastPreview, pack, unpack

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.gui.session import Session


def live_kinds() -> tuple[str, ...]:
    """Return the maps that can refresh while a run trains."""
    return tuple(kind for kind, item in MAPS.items() if item.live)


class LiveMaps:
    """Previews of a run, on the screen and in the film.

    Parameters
    ----------
    session : Session
        The session whose training desk this is a part of.

    Attributes
    ----------
    kinds : tuple of str
        Maps that previews have, of `live_kinds`.
    film : Film
        Past previews of the run.
    place : int or None
        Which of the past previews of the case on the screen is shown; None shows the newest as it
        comes.
    changed : psygnal.Signal
        Emitted after any of these changed.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.kinds: tuple[str, ...] = PREVIEW_KINDS
        self.film = Film()
        self.place: int | None = None
        self._newest: tuple[CaseMaps, int] | None = None
        self._run = 0
        session.labelling.shown_changed.connect(self._on_case)

    @property
    def past(self) -> list[PastPreview]:
        """Past previews of the case on the screen, oldest first."""
        return self.film.of(self._session.labelling.shown)

    def begin(self) -> None:
        """Forget the previews of the run before."""
        self._run += 1
        self.film.clear()
        self.place, self._newest = None, None
        self.changed.emit()

    def ask_for(self, kind: str, wanted: bool) -> None:
        """Have maps of a kind in previews and show them, or neither."""
        chosen = {*self.kinds, kind} if wanted else {*self.kinds} - {kind}
        # prediction and uncertainty come anyway; they are only hidden
        self.kinds = tuple(k for k in live_kinds() if k in chosen or k in PREVIEW_KINDS)
        self._session.reviewing.show_kind(kind, wanted)
        self._session.training.preview(self._session.labelling.shown)
        self.changed.emit()

    def shows(self, kind: str) -> bool:
        """Tell whether maps of a kind are wanted on the screen."""
        return kind in self.kinds and kind in self._session.reviewing.wanted_kinds

    def take(self, maps: CaseMaps, step: int) -> None:
        """Take a preview: show it where the user follows, and keep it in the film."""
        if maps.case == self._session.labelling.shown:
            self._newest = (maps, step)
            if self.place is None and not self._session.reviewing.under_review:
                self._session.reviewing.give_way()
                self._show(maps, step, soon=False)
        run = self._run

        def packed(past: PastPreview) -> None:
            if run == self._run:
                self._keep(past)

        self._session.background(pack, maps, step, done=packed, failed=self._session.tell_problem)

    def look_at(self, place: int | None) -> None:
        """Show a past preview of the case on the screen; None follows the newest again."""
        past = self.past
        if place is not None and not 0 <= place < len(past):
            return
        self.place = place
        if place is None:
            if self._newest is not None:
                self._show(*self._newest, soon=True)
        else:
            chosen = past[place]

            def unpacked(maps: CaseMaps) -> None:
                if self._looked_at() is chosen:  # the slider may have gone on
                    self._show(maps, chosen.step, soon=True)

            self._session.background(
                unpack, chosen, done=unpacked, failed=self._session.tell_problem
            )
        self.changed.emit()

    def _looked_at(self) -> PastPreview | None:
        past = self.past
        return past[self.place] if self.place is not None and self.place < len(past) else None

    def _keep(self, past: PastPreview) -> None:
        """Add to the film; what is looked at stays so although its place may change."""
        chosen = self._looked_at()
        self.film.add(past)
        if chosen is not None:
            steps = [each.step for each in self.past]
            nearest = min(range(len(steps)), key=lambda n: abs(steps[n] - chosen.step))
            self.place = nearest
        self.changed.emit()

    def _show(self, maps: CaseMaps, step: int, soon: bool) -> None:
        layers, reviewing = self._session.layers, self._session.reviewing
        before = set(layers.map_layers())
        show: Any = layers.show_snapshot if soon else layers.show_preview
        show(maps, self._session.records.classes, step)
        if set(layers.map_layers()) - before:
            for kind in live_kinds():
                reviewing.show_kind(kind, kind in reviewing.wanted_kinds)
        reviewing.maps_changed.emit()

    def _on_case(self) -> None:
        newest = self._newest
        if newest is not None and newest[0].case != self._session.labelling.shown:
            self._newest = None
        self.place = None
        self.changed.emit()
