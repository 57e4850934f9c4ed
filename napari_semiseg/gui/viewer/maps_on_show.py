"""The maps on the screen: those that a run has stored of the case, or those of a model in training.

Main thread only, but for `read_maps` and `run_with_prediction`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psygnal import Signal

from napari_semiseg.engine.inference.maps import PREVIEW_KINDS
from napari_semiseg.engine.study import Run, Study
from napari_semiseg.gui.open_study.open_study import OpenStudy
from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

if TYPE_CHECKING:
    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.engine.methods.contract import NativeMap


def run_with_prediction(study: Study, name: str) -> str | None:
    """Return the newest run that has stored a prediction of a case; None where none has."""
    runs = reversed(study.runs.all())
    return next(
        (run.identifier for run in runs if "prediction" in study.runs.maps.kinds(run, name)), None
    )


def read_maps(study: Study, name: str) -> tuple[str, CaseMaps] | None:
    """Read the stored maps of a case from the newest run that predicted it.

    Returns
    -------
    tuple of str and CaseMaps, or None
        The run's identifier and its maps; None where no run has predicted the case.
    """
    from napari_semiseg.engine.inference.stored_maps import load_maps

    run = run_with_prediction(study, name)
    return None if run is None else (run, load_maps(study, run, name))


class MapsOnShow:
    """The maps of the case on the screen, and which of them the user wants to see.

    Attributes
    ----------
    run : str or None
        Run whose stored maps are on the screen.
    own_maps : dict of str to NativeMap
        What the run's method alone shows of the case, by kind.
    wanted_kinds : set of str
        Maps that the user wants to see.
    class_shown : int or None
        Class whose maps are shown of those with one for each class; None takes the first.
    previews_wanted : bool
        Whether maps of a model in training may come onto the screen.
    changed : psygnal.Signal
        Emitted after maps come or go on the screen.
    prediction_shown : psygnal.Signal
        Emitted with the run and its maps when a stored prediction has come onto the screen.
    prediction_gone : psygnal.Signal
        Emitted when it has left the screen.
    previews_wanted_changed : psygnal.Signal
        Emitted after `previews_wanted` changed.
    """

    changed = Signal()
    prediction_shown = Signal(str, object)
    prediction_gone = Signal()
    previews_wanted_changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self.run: str | None = None
        self.own_maps: dict[str, NativeMap] = {}
        self.wanted_kinds = {*PREVIEW_KINDS}
        self.class_shown: int | None = None
        self.previews_wanted = True
        self._maps_of: str | None = None
        self._awaited: str | None = None
        self._reviews = self._gave_way = False
        on_show.shown_changed.connect(self._on_shown)
        self._layers.maps_arrived.connect(self._on_arrived)
        open_study.leaving.connect(self._forget)

    @property
    def predicted_by(self) -> Run | None:
        """The run whose prediction is on the screen."""
        if "prediction" not in self.kinds():
            return None
        return next((run for run in self._open.records.runs if run.identifier == self.run), None)

    @property
    def reading(self) -> bool:
        """Whether a case with its maps is on its way to the screen."""
        return self._awaited is not None and self._awaited == (
            self._on_show.reading or self._on_show.name
        )

    # stored maps

    def show_case(self, name: str) -> None:
        """Show a case with the maps of the newest run that predicted it."""
        self.run, self.own_maps = None, {}
        self._awaited = name
        self._on_show.show(name, then=self.show_stored, maps_follow=True)

    def show_again(self) -> None:
        """Read the case on the screen and its maps again: its label has changed."""
        if self._on_show.reading is None:  # else another one is awaited
            self._awaited = self._on_show.name
        self._on_show.show_again(then=self.show_stored, maps_follow=True)

    def show_stored(self) -> None:
        """Show the stored maps of the case on the screen."""
        study, name = self._open.study, self._on_show.name
        if study is None or name is None:
            return
        self._open.background(
            read_maps,
            study,
            name,
            done=lambda found: self._on_maps(name, found),
            failed=self._on_unreadable,
        )

    def _on_maps(self, name: str, found: tuple[str, CaseMaps] | None) -> None:
        if name != self._on_show.name:
            return
        self._awaited, self._maps_of = None, name
        if found is None:
            self._layers.clear_maps()
            self._let_go()
        else:
            self.run, maps = found
            self.own_maps = {kind: item.description for kind, item in maps.native.items()}
            self._layers.show_maps(maps, self._open.records.classes, self.run)
            self._apply_visibility()
            self.prediction_shown.emit(self.run, maps)
        self.changed.emit()

    def _on_unreadable(self, sentence: str) -> None:
        self._awaited = None
        self._layers.clear_maps()  # those of the scan before may wait there
        self._open.tell_problem(sentence)

    def _let_go(self) -> None:
        self.run, self.own_maps = None, {}
        self.prediction_gone.emit()

    def _on_shown(self) -> None:
        """Forget which run predicted the case before: not every way to a case reads its maps."""
        if self._on_show.name != self._maps_of:
            self._maps_of, self._gave_way = None, False
            self._let_go()

    def _forget(self) -> None:
        self.class_shown = self._maps_of = self._awaited = None
        self._let_go()
        self.changed.emit()

    # maps of a model in training

    @property
    def under_review(self) -> bool:
        """Whether a stored prediction is on the screen to be decided on."""
        return self._reviews and self.run is not None

    def review(self, opened: bool) -> None:
        """Note that predictions are decided on from now on, or no longer; bring back what gave way."""
        self._reviews = opened
        if opened and self._gave_way:
            self._gave_way = False
            self.show_stored()

    def want_previews(self, wanted: bool) -> None:
        """Let maps of a model in training come onto the screen, or keep them away."""
        if wanted != self.previews_wanted:
            self.previews_wanted = wanted
            self.previews_wanted_changed.emit()

    def show_preview(self, maps: CaseMaps, step: int, asked_for: bool) -> None:
        """Show maps of a model in training in the place of stored ones.

        Those come back when predictions are decided on: never on another map than that on show.

        Parameters
        ----------
        asked_for : bool
            Whether the user asked for them, however soon after the last ones.
        """
        if not asked_for and self.run is not None:
            self._gave_way = True
            self._let_go()
        before = set(self._layers.map_layers())
        show = self._layers.show_chosen_preview if asked_for else self._layers.show_preview
        show(maps, self._open.records.classes, step)
        if set(self._layers.map_layers()) - before:
            self._apply_visibility()
        self.changed.emit()

    # which of them are visible

    def _on_arrived(self) -> None:
        self._apply_visibility()
        if self._layers.maps_complete:
            self.changed.emit()

    def show_kind(self, kind: str, wanted: bool) -> None:
        """Show or hide the maps of one kind: one of `MAP_KINDS` or of `own_maps`."""
        (self.wanted_kinds.add if wanted else self.wanted_kinds.discard)(kind)
        self._apply_visibility()

    def show_class(self, value: int) -> None:
        """Choose the class whose maps are shown of those with one for each class."""
        self.class_shown = value
        self._apply_visibility()

    def kinds(self) -> set[str]:
        """Return the kinds of maps that can be shown of the case on the screen."""
        return {key.split(":")[0] for key in self._layers.map_layers()}

    def kinds_a_class(self) -> set[str]:
        """Return the kinds of maps on the screen that have a layer for each class."""
        return {key.split(":")[0] for key in self._layers.map_layers() if ":" in key}

    def _apply_visibility(self) -> None:
        classes = self._open.records.classes
        value = self.class_shown or (classes[0].value if classes else 1)
        for key, layer in self._layers.map_layers().items():
            kind, _, of_class = key.partition(":")
            visible = kind in self.wanted_kinds and of_class in ("", str(value))
            if layer.visible != visible:  # napari arranges the scene anew even if nothing changes
                layer.visible = visible
