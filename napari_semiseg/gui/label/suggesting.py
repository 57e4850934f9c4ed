"""Suggesting which scans to label next, and where to begin in each.

Looking through the scans is a long job, with its progress and stop in the run strip.
Main thread only, but for `look_for_suggestions`.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_semiseg.engine.drained import Drained
from napari_semiseg.engine.study import Case, Study
from napari_semiseg.gui.open_study.records import JobStep

if TYPE_CHECKING:
    from napari_semiseg.engine.review.slices import SliceNeed
    from napari_semiseg.engine.review.suggestions import Suggestion
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.slices_on_show import SlicesOnShow

MOST = 3
"""How many scans are suggested at once."""


def look_for_suggestions(
    study: Study, run: str, axis: int | None
) -> Generator[JobStep, None, list[Suggestion]]:
    """Look through the scans without a label for those to label next, on a worker's thread.

    Parameters
    ----------
    axis : int or None
        0, 1 or 2: the slices to begin with lie across z, y or x; None takes the coarsest of each scan.

    Returns
    -------
    list of Suggestion
        The best first.
    """
    from napari_semiseg.engine.review.suggestions import suggest_cases

    yield JobStep(None, "loading the network")
    looking = Drained(suggest_cases(study, run, MOST, axis=axis))
    for step in looking:
        share = (step.index + step.share) / step.total
        yield JobStep(share, f"{step.case} ({step.index + 1} of {step.total})")
    return looking.result


class Suggesting:
    """The scans that are suggested to label next.

    Attributes
    ----------
    run : str or None
        The run that was asked.
    changed : psygnal.Signal
        Emitted after other scans are suggested.
    """

    changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, slices: SlicesOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._slices = slices
        open_study.leaving.connect(self.forget)
        self.run: str | None = None
        self._found: list[Suggestion] = []

    @property
    def suggestions(self) -> list[Suggestion]:
        """The suggested scans that nobody has begun to label since, the best first."""
        records = self._open.records
        cases = {item.case: records.case(item.case) for item in self._found}
        return [item for item in self._found if _is_candidate(cases[item.case])]

    def why_not(self) -> str | None:
        """Return why no scans can be suggested; None if they can."""
        records, job = self._open.records, self._open.job
        if job is not None:
            return f"{job.title} is under way: wait, or stop it below."
        if not records.cases:
            return "There are no scans yet: add some on the Scans page."
        if records.usable_run is None:
            return "Nothing has been trained yet: train on the Train page first."
        if not any(_is_candidate(case) for case in records.cases):
            return (
                "Every scan is labelled, begun or held out: add more scans on the Scans page to "
                "choose from."
            )
        return None

    def look(self) -> None:
        """Look through the scans with the newest run that can predict."""
        study, run = self._open.study, self._open.records.usable_run
        if study is None or run is None or self.why_not() is not None:
            return
        self._open.start_job(
            "Looking for scans to label",
            look_for_suggestions,
            study,
            run.identifier,
            self._slices.axis,
            done=partial(self._on_found, run.identifier),
        )

    def _on_found(self, run: str, found: list[Suggestion] | None) -> None:
        self.run, self._found = run, found or []
        self.changed.emit()

    def open(self, suggestion: Suggestion) -> None:
        """Show a suggested scan at the slice to begin with."""
        need = next(iter(suggestion.slices), None)
        then = None if need is None else partial(self._show_slice, suggestion.case, need)
        self._on_show.show(suggestion.case, then)

    def _show_slice(self, name: str, need: SliceNeed) -> None:
        slices, dims = self._slices, self._on_show.layers.dims
        if name != self._on_show.name or dims.ndim != 3:
            return
        if slices.axis != need.axis:
            dims.ndisplay = 2
            dims.order = (need.axis, *(axis for axis in range(3) if axis != need.axis))
        slices.show(need.index)  # last: turning the view may move it along its axes

    def forget(self) -> None:
        """Forget the suggestions, on request or when the study is left."""
        self.run, self._found = None, []
        self.changed.emit()


def _is_candidate(case: Case | None) -> bool:
    """Tell whether a case can be suggested: no person has begun it and it is not held out."""
    return case is not None and not (
        case.held_out or case.trains_with_label or case.label_belongs_to_a_person
    )
