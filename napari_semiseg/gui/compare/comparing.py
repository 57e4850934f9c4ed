"""Comparing runs: which runs are compared, their figures, and the scan on show.

Held-out scans are only measured and looked at here. Reading figures, measuring and predicting are
done in the background; of several requests the last one counts. Main thread only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from napari_semiseg.engine.evaluation.metrics import score
from napari_semiseg.gui.compare import figures, pairs
from napari_semiseg.gui.compare.figures import LETTERS, Column, Comparison
from napari_semiseg.gui.compare.layers import comparison_cells
from napari_semiseg.gui.compare.pairs import Differences, Pair
from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.open_study.records import JobStep

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow
    from napari_semiseg.gui.viewer.maps_on_show import MapsOnShow


class ComparingRuns:
    """Runs side by side on the held-out scans.

    Attributes
    ----------
    comparison : Comparison or None
        The figures, as they were read last; None before that.
    yardstick : str or None
        Run that the others are compared with; None compares each with its supervised twin.
    measure : str
        What the box plot shows.
    structure : int or None
        Class value that is looked at alone; None takes all together.
    pair : Pair or None
        What two runs predict of the scan on the screen.
    waiting : str
        What the scan on its way to the screen waits for; empty without one.
    side_by_side, disagreement : bool
        Whether the two predictions lie beside each other, and whether the layer of their differences
        shows.
    changed, screen_changed : psygnal.Signal
        Emitted after the choice or the figures changed, and after what the screen shows, or waits
        for, did.
    """

    changed = Signal()
    screen_changed = Signal()

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, maps: MapsOnShow) -> None:
        self._open = open_study
        self._on_show = on_show
        self._layers = on_show.layers
        self._maps = maps
        self._figures = Latest(open_study)
        self._reading = Latest(open_study)
        self._finding = Latest(open_study)
        self._reset()
        on_show.shown_changed.connect(self._on_shown)
        open_study.leaving.connect(self._forget)

    def _reset(self) -> None:
        self.comparison: Comparison | None = None
        self.yardstick: str | None = None
        self.measure = "dice"
        self.structure: int | None = None
        self.pair: Pair | None = None
        self.waiting = ""
        self.side_by_side = self.disagreement = False
        self._chosen: tuple[str, ...] | None = None
        self._two: tuple[str, ...] = ()
        self._awaited: str | None = None

    # which runs

    @property
    def chosen(self) -> tuple[str, ...]:
        """Identifiers of the runs that are compared."""
        if self._chosen is not None:
            return self._chosen
        columns = () if self.comparison is None else self.comparison.columns
        return tuple(column.figures.identifier for column in columns)

    def choose(self, run: str, wanted: bool) -> None:
        """Compare a run too, or no longer; there can be as many as there are letters."""
        others = tuple(each for each in self.chosen if each != run)
        if wanted and len(others) == len(LETTERS):
            return
        self._chosen = (*others, run) if wanted else others
        if not wanted and run == self.yardstick:
            self.yardstick = None
        self.refresh()

    def compare_with(self, run: str | None) -> None:
        """Choose the yardstick: a run, or None for the supervised twin of each."""
        self.yardstick = run
        self.refresh()

    def refresh(self) -> None:
        """Read the figures again; a headless run may have recorded some."""
        study = self._open.study
        if study is not None:
            self._figures.start(
                figures.compare_runs, study, self._chosen, self.yardstick, done=self._on_compared
            )

    def _on_compared(self, comparison: Comparison) -> None:
        self.comparison = comparison
        self.changed.emit()
        self.screen_changed.emit()

    # figures

    def show_measure(self, measure: str) -> None:
        """Choose what the box plot shows."""
        self.measure = measure
        self.changed.emit()

    def show_structure(self, value: int | None) -> None:
        """Look at one structure alone, or at all together."""
        self.structure = value
        self.changed.emit()
        pair = self.pair
        if pair is None:
            return

        def found(differences: Differences) -> None:
            if pair is self.pair:
                self.pair = Pair(pair.case, pair.runs, pair.predictions, differences)
                self._show()

        self._finding.start(pairs.differences_of, pair.case, pair.predictions, value, done=found)

    def why_not_measure(self) -> str | None:
        """Return why no run can be measured, or None."""
        comparison, job = self.comparison, self._open.job
        if job is not None:
            return f"{job.title} is under way: wait, or stop it below."
        if comparison is None or not comparison.held_out:
            return "No labelled scan is held out to measure on."
        if not comparison.columns:
            return "Tick the runs that you want to compare."
        if not comparison.to_measure:
            return "The runs that are ticked are measured already."
        return None

    def measure_missing(self) -> None:
        """Measure the chosen runs, and their yardsticks, that have not been measured yet."""
        study, comparison = self._open.study, self.comparison
        if study is not None and comparison is not None and self.why_not_measure() is None:
            self._open.start_job(
                "Measuring",
                pairs.measure_runs,
                study,
                comparison.to_measure,
                done=lambda _: self.refresh(),
            )

    def save(self, path: str | Path) -> None:
        """Write the table as Markdown and as CSV."""
        study, comparison = self._open.study, self.comparison
        if study is not None and comparison is not None and comparison.measured:
            self._open.background(
                pairs.save_comparison,
                study,
                comparison,
                Path(path),
                done=lambda files: self._open.tell(
                    f"{files[0].name} and {files[1].name} were written to {files[0].parent}."
                ),
                failed=self._open.tell_problem,
            )

    # the scan on the screen

    @property
    def two(self) -> tuple[Column, ...]:
        """The two runs whose predictions are looked at; empty with fewer than two to choose from."""
        if self.comparison is None:
            return ()
        usable = [each for each in self.comparison.columns if each.figures.why_not is None]
        wanted = [self.comparison.column(run) for run in self._two]
        picked = [each for each in wanted if each in usable]
        picked += [each for each in usable if each not in picked]
        return tuple(picked[:2]) if len(picked) > 1 else ()

    def look_at(self, first: str, second: str) -> None:
        """Choose the two runs whose predictions are looked at; the same twice exchanges them."""
        before = [column.figures.identifier for column in self.two]
        if first == second:
            second = next((run for run in before if run != first), second)
        self._two = (first, second)
        self.screen_changed.emit()
        if self.pair is not None:
            self.open_case(self.pair.case.name)

    def why_not_look(self) -> str | None:
        """Return why no scan can be looked at, or None."""
        if self.comparison is None or not self.comparison.held_out:
            return "No labelled scan is held out to look at."
        if not self.two:
            return "Tick at least two runs that have been trained."
        return None

    def cases(self) -> list[tuple[str, float | None]]:
        """Return the held-out scans with how far the two runs differ in Dice, most different first."""
        two = self.two
        names = () if self.comparison is None else self.comparison.held_out

        def gap(name: str) -> float | None:
            if len(two) < 2 or not all(name in each.figures.metrics for each in two):
                return None
            first, second = (
                score(each.figures.metrics[name], "dice", self.structure) for each in two
            )
            return None if first is None or second is None else second - first

        gaps = [(name, gap(name)) for name in names]
        return sorted(gaps, key=lambda item: -abs(item[1]) if item[1] is not None else 1.0)

    def open_case(self, name: str) -> None:
        """Show a held-out scan with the predictions of both runs; they are made where missing."""
        on_show, two = self._on_show, self.two
        if self._open.study is None or self.why_not_look() is not None:
            return
        self._stop_reading()
        self._awaited, self.waiting = name, f"Reading {name}…"
        runs = (two[0].figures.identifier, two[1].figures.identifier)
        if on_show.name != name or on_show.reading is not None:
            on_show.show(name, then=lambda: self._read(name, runs))
        else:
            self._read(name, runs)
        self.screen_changed.emit()

    def open_neighbour(self, distance: int) -> None:
        """Show the scan that comes ``distance`` places after the one on the screen in the list."""
        names = [name for name, _ in self.cases()]
        shown = self._awaited or self._on_show.name
        place = names.index(shown) + distance if shown in names else 0
        if 0 <= place < len(names):
            self.open_case(names[place])

    def _read(self, name: str, runs: tuple[str, str]) -> None:
        study = self._open.study
        if name != self._awaited or study is None:
            return
        self._maps.want_previews(False)  # their layers would lie under those of the runs
        self._reading.start(
            pairs.read_pair,
            study,
            name,
            runs,
            self.structure,
            done=self._on_pair,
            failed=self._on_unreadable,
            progress=self._on_step,
        )

    def _on_step(self, step: JobStep) -> None:
        done = "" if step.share is None else f", {100 * step.share:.0f} %"
        self.waiting = f"{step.detail[:1].upper()}{step.detail[1:]}{done}"
        self.screen_changed.emit()

    def _on_pair(self, pair: Pair) -> None:
        self._awaited, self.waiting = None, ""
        if pair.case.name == self._on_show.name:
            self.pair = pair
            self._layers.clear_maps()
            self._show()

    def _on_unreadable(self, sentence: str) -> None:
        self._awaited, self.waiting = None, ""
        self._open.tell_problem(sentence)
        self.screen_changed.emit()

    def stop_reading(self) -> None:
        """Give up on the predictions that are on their way."""
        self._stop_reading()
        self.screen_changed.emit()

    def _stop_reading(self) -> None:
        self._reading.drop()
        self._awaited, self.waiting = None, ""

    def put_side_by_side(self, wanted: bool) -> None:
        """Show the two predictions in two linked views, or on one scan."""
        self.side_by_side = wanted
        self._show()

    def show_disagreement(self, wanted: bool) -> None:
        """Show or hide the layer of the differences."""
        self.disagreement = wanted
        self._show()

    def _show(self) -> None:
        pair, comparison = self.pair, self.comparison
        if pair is not None and comparison is not None:
            columns = [comparison.column(run) for run in pair.runs]
            cells = comparison_cells(
                pair,
                [LETTERS.index(each.letter) for each in columns if each is not None],
                [each.figures.name for each in columns if each is not None],
                self._open.records.classes,
                self.disagreement,
                self.side_by_side,
            )
            self._layers.show_comparison(cells, self.side_by_side)
        self.screen_changed.emit()

    def _on_shown(self) -> None:
        """Forget the predictions of the scan before: showing a scan takes them off."""
        if self._awaited not in (None, self._on_show.reading, self._on_show.name):
            self._stop_reading()
        if self.pair is not None and not self._layers.compares:
            self._end_pair()
            self.screen_changed.emit()

    def _end_pair(self) -> None:
        self.pair = None
        if self._awaited is None:
            self._maps.want_previews(True)

    def leave_screen(self) -> None:
        """Take the predictions off the screen and give the view back."""
        self._stop_reading()
        self._end_pair()
        self._layers.show_comparison((), beside=False)
        self.screen_changed.emit()

    def _forget(self) -> None:
        self._reset()
        self._maps.want_previews(True)
        self.changed.emit()
        self.screen_changed.emit()
