"""The parts of the prediction on the screen: which are sure enough, and the decisions on each.

Parts are looked for on a worker's thread whenever the prediction,
the label or the wanted certainty changes, and only while the page shows them; all else is on the main
thread. Every decision goes through the study, and the label on the screen is read again after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_semiseg.engine.study import Case, ClassInfo, Study
from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.review.parts_layer import PartLayer

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_semiseg.engine.inference.maps import CaseMaps
    from napari_semiseg.engine.review.parts import FoundParts, Part
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow

NO_PREDICTION = "No prediction is on the screen: choose a predicted scan in the list."
LOOKING = "The parts are being looked for: wait a moment."
DECIDED = "Nothing is left to decide on: this scan has a complete label."
HELD_OUT = "This scan is held out to measure quality: its label has to be drawn by hand."
NOTHING_LEFT = "Every part of this prediction is decided."
NOT_SO_SURE = "No undecided part is this sure: ask for less."
NONE_CHOSEN = "No part is chosen: click one in the image or in the list."
NOT_UNSURE = "The prediction does not tell where it is unsure: predict this scan again."
NOTHING_TO_UNDO = "There is no decision on a part to undo, or the label was changed after it."

FIRST_CERTAINTY = 0.8


@dataclass(frozen=True, eq=False)
class Undecided:
    """What is left to decide on in a prediction.

    Attributes
    ----------
    found : FoundParts
        The parts that are sure enough.
    touching : frozenset of int
        Numbers of those that touch what is in the label.
    left_ml : float
        Volume of what the prediction marks and nobody has decided on, however sure.
    """

    found: FoundParts
    touching: frozenset[int]
    left_ml: float


def find_parts(
    study: Study, run: str, maps: CaseMaps, class_values: Sequence[int], certainty: float
) -> Undecided:
    """Look for the parts of a prediction that can be decided on; on a worker's thread.

    Parameters
    ----------
    class_values : sequence of int
        The classes to look at, 0 for background.
    certainty : float
        0…1; parts hold only voxels that are at least as sure.
    """
    from napari_semiseg.engine.review.parts import connected_parts

    among = study.labels.parts.undecided(maps.case, run)
    found = connected_parts(
        maps.prediction,
        maps.geometry,
        class_values,
        uncertainty=maps.uncertainty,
        least_certainty=0.0 if maps.uncertainty is None else certainty,
        among=among,
    )
    label = study.labels.load(maps.case)
    left = int(np.count_nonzero(among & (maps.prediction > 0)))
    return Undecided(
        found,
        frozenset() if label is None else found.touching(label),
        left * maps.geometry.voxel_volume_ml,
    )


class PartReview:
    """The parts of the prediction on the screen.

    Attributes
    ----------
    certainty : float
        How sure a part has to be, 0…1.
    with_background : bool
        Whether background that is as sure counts as a part, too.
    left : Undecided or None
        What is left; None while nobody knows.
    chosen : Part or None
        The part that the user has chosen.
    changed : psygnal.Signal
        Emitted after any of these, or what can be done, changed.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, maps: MapsOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self._maps = maps
        self.certainty = FIRST_CERTAINTY
        self.with_background = False
        self.left: Undecided | None = None
        self.chosen: Part | None = None
        self._layer = PartLayer(self._layers, self.choose_at)
        self._answer: tuple[str, CaseMaps] | None = None
        self._active = False
        self._search = Latest(open_study)
        self._outdated = False
        self._problem: str | None = None
        self._undoable: tuple[str, int] | None = None
        maps.prediction_shown.connect(self._look)
        maps.prediction_gone.connect(self._forget)

    # what is looked at

    def _look(self, run: str, maps: CaseMaps) -> None:
        self._forget()
        self._answer = run, maps
        self._find()

    def _forget(self) -> None:
        self._search.drop()
        self._answer = self.left = self.chosen = self._problem = None
        self._outdated = False
        self._layer.hide()
        self.changed.emit()

    def show(self, wanted: bool) -> None:
        """Look for parts and outline them, or stop doing so."""
        if wanted != self._active:
            self._active = wanted
            if wanted and self.left is None:
                self._find()
            self._draw()

    def set_certainty(self, certainty: float) -> None:
        """Ask for parts that are at least as sure, 0…1."""
        if certainty != self.certainty:
            self.certainty = certainty
            self._find()

    def include_background(self, wanted: bool) -> None:
        """Offer background that is as sure, too, or no longer."""
        self.with_background = wanted
        self._find()

    @property
    def tells_certainty(self) -> bool:
        """Whether the prediction says how sure it is."""
        return self._answer is None or self._answer[1].uncertainty is not None

    def _find(self) -> None:
        study = self._open.study
        if self._answer is None or study is None or not self._active:
            return
        if self._search.busy:
            self._outdated = True  # one search at a time: dragging asks for dozens
            return
        run, maps = self._answer
        values = [item.value for item in self._open.records.classes]
        self._outdated = False
        self._search.start(
            find_parts,
            study,
            run,
            maps,
            [0, *values] if self.with_background else values,
            self.certainty,
            done=self._on_found,
            failed=self._on_failed,
        )
        self.changed.emit()

    def _on_found(self, left: Undecided) -> None:
        self._problem = None
        place = None if self.chosen is None else self.chosen.centre
        self.left = left
        table = left.found.table
        self.chosen = None if place is None else left.found.at(place)
        if self.chosen is None and table:
            self.chosen = table[0]
        self._draw()
        self.changed.emit()
        if self._outdated:
            self._find()

    def _on_failed(self, sentence: str) -> None:
        self._problem = sentence
        self.changed.emit()

    def _draw(self) -> None:
        if self._active and self._answer is not None and self.left is not None:
            chosen = None if self.chosen is None else self.chosen.number
            self._layer.show(self._answer[1], self.left.found.numbers, chosen)
        else:
            self._layer.hide()

    # choosing

    def choose(self, part: Part, travel: bool = True) -> None:
        """Choose a part; ``travel`` moves the view to its middle."""
        self.chosen = part
        self._layer.emphasise(part.number)
        layer = self._layers.label_layer
        if travel and layer is not None:
            point = np.multiply(part.centre, layer.scale)
            self._layers.dims.set_point(range(len(point)), point)
        self.changed.emit()

    def choose_at(self, position: tuple[int, int, int]) -> None:
        """Choose the part at a voxel (z, y, x); nothing happens where there is none."""
        part = None if self.left is None else self.left.found.at(position)
        if part is not None:
            self.choose(part, travel=False)

    def choose_next(self) -> None:
        """Choose the part after the chosen one, and the first after the last."""
        if self.why_not() is None and self.left is not None:
            table = self.left.found.table
            place = 0 if self.chosen is None else self.chosen.number  # numbers count from 1
            self.choose(table[place % len(table)])

    # deciding

    def why_not(self) -> str | None:
        """Return why no part can be decided on; None if one can."""
        case = self._on_show.case
        if self._answer is None or case is None:
            return NO_PREDICTION
        if case.held_out:
            return HELD_OUT
        if self._problem is not None:
            return self._problem
        if self.left is None or self._search.busy:
            return LOOKING
        if self.left.found.table:
            return None
        if case.trains_with_label and case.done_slices is None:
            return DECIDED
        return NOT_SO_SURE if self.left.left_ml > 0 else NOTHING_LEFT

    def why_not_one(self) -> str | None:
        """Return why the chosen part cannot be decided on; None if it can."""
        return self.why_not() or (NONE_CHOSEN if self.chosen is None else None)

    def why_not_undo(self) -> str | None:
        """Return why the last decision on a part cannot be undone; None if it can."""
        case = self._on_show.case
        here = None if case is None else (case.name, case.label_version)
        return None if here is not None and here == self._undoable else NOTHING_TO_UNDO

    def accept_chosen(self) -> None:
        """Accept the chosen part into the label."""
        if self.why_not_one() is None and self.chosen is not None:
            self._decide(lambda study: study.labels.parts.accept, [self.chosen])

    def accept_all(self) -> None:
        """Accept all parts that are sure enough into the label."""
        if self.why_not() is None and self.left is not None:
            self._decide(lambda study: study.labels.parts.accept, self.left.found.table)

    def reject_chosen(self) -> None:
        """Reject the chosen part: it is not offered again, and not trained on."""
        if self.why_not_one() is None and self.chosen is not None:
            self._decide(lambda study: study.labels.parts.reject, [self.chosen])

    def undo(self) -> None:
        """Take the last decision back."""
        if self.why_not_undo() is None and self._undoable is not None:
            name, version = self._undoable
            self._undoable = None
            self._change(name, lambda study: study.labels.parts.take_back(name, version))

    def _decide(
        self, decision: Callable[[Study], Callable[..., Case]], found: Sequence[Part]
    ) -> None:
        if self._answer is None or self.left is None:
            return
        run, maps = self._answer
        names = {item.value: item.name for item in self._open.records.classes}
        sure = self.certainty if self.tells_certainty else None
        words = {each.number: describe_part(each, names, sure) for each in found}
        numbers = self.left.found.numbers

        def decided(case: Case) -> None:
            if case.label_version is not None:
                self._undoable = case.name, case.label_version

        self._change(
            maps.case, lambda study: decision(study)(maps.case, run, numbers, words), decided
        )

    def _change(
        self,
        name: str,
        work: Callable[[Study], Any],
        then: Callable[[Any], None] = lambda _: None,
    ) -> None:
        """Change the label away from the main thread, then read it and its maps again."""
        self.left = None  # what is left is another question now; a second key press must wait

        def changed(result: Any) -> None:
            then(result)
            if name == self._on_show.name:
                self._maps.show_again()
            self.changed.emit()

        def failed(sentence: str) -> None:
            self._open.tell_problem(sentence)
            self._find()

        self._open.change(work, changed, failed)
        self.changed.emit()


def class_name(value: int, names: dict[int, str]) -> str:
    """Return what a class is called; 0 is background."""
    return names.get(value, f"class {value}") if value else "background"


def describe_part(part: Part, names: dict[int, str], certainty: float | None) -> str:
    """Return a part in words for the audit trail, such as ``"liver, part 2, at least 80 % sure"``.

    Parameters
    ----------
    certainty : float or None
        How sure a part had to be; None where the prediction does not tell.
    """
    asked = "" if certainty is None else f", at least {100 * certainty:.0f} % sure"
    at = ", ".join(map(str, part.centre))
    return f"{class_name(part.class_value, names)}, part {part.component} at ({at}){asked}"


def classes_by_value(classes: Sequence[ClassInfo]) -> dict[int, str]:
    """Return the names of classes by their values."""
    return {item.value: item.name for item in classes}
