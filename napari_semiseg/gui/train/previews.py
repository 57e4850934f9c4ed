"""The previews of the case on the screen: what a run in training says about it, now and before.

The newest preview is shown as it comes, unless the user looks at a past one; past ones are kept small
in a `PreviewHistory`. Packing and unpacking go to other threads. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_semiseg.engine.inference.maps import MAPS, PREVIEW_KINDS
from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.train.preview_history import PastPreview, PreviewHistory, pack, unpack

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow


def preview_kinds() -> tuple[str, ...]:
    """Return the maps that can refresh while a run trains."""
    return tuple(kind for kind, item in MAPS.items() if item.live)


class Previews:
    """Previews of a run, on the screen and in their history.

    Attributes
    ----------
    kinds : tuple of str
        Maps that previews have, of `preview_kinds`.
    history : PreviewHistory
        Past previews of the run.
    place : int or None
        Which of the past previews of the case on the screen is shown; None shows the newest as it
        comes.
    changed, kinds_changed : psygnal.Signal
        Emitted after any of these, or `kinds`, changed.
    """

    changed = Signal()
    kinds_changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, maps: MapsOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._maps = maps
        self._unpacking = Latest(open_study)
        self.kinds: tuple[str, ...] = PREVIEW_KINDS
        self.history = PreviewHistory()
        self.place: int | None = None
        self._newest: tuple[CaseMaps, int] | None = None
        self._run = 0
        on_show.shown_changed.connect(self._on_case)

    @property
    def past(self) -> list[PastPreview]:
        """Past previews of the case on the screen, oldest first."""
        return self.history.of(self._on_show.name)

    def begin(self) -> None:
        """Forget the previews of the run before."""
        self._run += 1
        self.history.clear()
        self.place, self._newest = None, None
        self.changed.emit()

    def ask_for(self, kind: str, wanted: bool) -> None:
        """Have maps of a kind in previews and show them, or neither."""
        chosen = {*self.kinds, kind} if wanted else {*self.kinds} - {kind}
        # prediction and uncertainty come anyway; they are only hidden
        self.kinds = tuple(k for k in preview_kinds() if k in chosen or k in PREVIEW_KINDS)
        self._maps.show_kind(kind, wanted)
        self.kinds_changed.emit()
        self.changed.emit()

    def shows(self, kind: str) -> bool:
        """Tell whether maps of a kind are wanted on the screen."""
        return kind in self.kinds and kind in self._maps.wanted_kinds

    def take(self, maps: CaseMaps, step: int) -> None:
        """Take a preview: show it where the user follows, and keep it in their history."""
        if maps.case == self._on_show.name:
            self._newest = (maps, step)
            if self.place is None and not self._maps.under_review:
                self._maps.show_preview(maps, step, asked_for=False)
        run = self._run

        def packed(past: PastPreview) -> None:
            if run == self._run:
                self._keep(past)

        self._open.background(pack, maps, step, done=packed, failed=self._open.tell_problem)

    def look_at(self, place: int | None) -> None:
        """Show a past preview of the case on the screen; None follows the newest again."""
        past = self.past
        if place is not None and not 0 <= place < len(past):
            return
        self.place = place
        if place is None:
            if self._newest is not None:
                self._maps.show_preview(*self._newest, asked_for=True)
        else:
            chosen = past[place]

            def unpacked(maps: CaseMaps) -> None:
                if self._looked_at() is chosen:  # the slider may have gone on
                    self._maps.show_preview(maps, chosen.step, asked_for=True)

            self._unpacking.start(unpack, chosen, done=unpacked)
        self.changed.emit()

    def _looked_at(self) -> PastPreview | None:
        past = self.past
        return past[self.place] if self.place is not None and self.place < len(past) else None

    def _keep(self, past: PastPreview) -> None:
        """Add to the history; what is looked at stays so although its place may change."""
        chosen = self._looked_at()
        self.history.add(past)
        if chosen is not None:
            steps = [each.step for each in self.past]
            nearest = min(range(len(steps)), key=lambda n: abs(steps[n] - chosen.step))
            self.place = nearest
        self.changed.emit()

    def _on_case(self) -> None:
        newest = self._newest
        if newest is not None and newest[0].case != self._on_show.name:
            self._newest = None
        self.place = None
        self.changed.emit()
