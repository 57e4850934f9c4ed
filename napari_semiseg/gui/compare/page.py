"""The Compare page: runs side by side on the held-out scans, and whether unlabelled scans helped.

From top to bottom: which runs, the verdict, the figures, the box plots, and the scan on the screen
with two predictions. Held-out scans are only measured and looked at here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_semiseg.engine.evaluation.measures import MEASURES, compared
from napari_semiseg.engine.evaluation.metrics import score
from napari_semiseg.gui.compare.box_plot import BoxGroup, BoxPlot
from napari_semiseg.gui.compare.figures import LETTERS, Column
from napari_semiseg.gui.compare.layers import RUN_COLOURS
from napari_semiseg.gui.compare.tables import FigureTable, RunList
from napari_semiseg.gui.open_study.advice import why_not_compare
from napari_semiseg.gui.widgets.controls import (
    allow,
    button,
    caption,
    check,
    describe,
    heading,
    swatch,
)

if TYPE_CHECKING:
    from napari_semiseg.gui.compare.comparing import ComparingRuns
    from napari_semiseg.gui.open_study.open_study import OpenStudy

Choice = tuple[str, str, int | str | None]
"""Colour, text and data of an item of a combo box; the colour may be empty."""

WORD_WIDTH = 52
ALL_STRUCTURES = "All structures"
TWINS = "Supervised twin of each"
NOTHING_MEASURED = "Nothing is measured yet: tick runs and press “Measure”."
ABOUT_THE_INTERVAL = (
    "The interval says how much the mean would change with other scans like these; another seed may "
    "change it too."
)


class ComparePage(QWidget):
    """The choice of runs, their figures, and the scan on the screen.

    Parameters
    ----------
    is_training : callable
        Whether a run is being trained.
    """

    def __init__(
        self, open_study: OpenStudy, comparing: ComparingRuns, is_training: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._open = open_study
        self._comparing = comparing
        self._is_training = is_training
        self._make_choice()
        self._make_figures()
        self._make_view()
        self._lay_out()
        self._comparing.changed.connect(self.refresh)
        self._comparing.screen_changed.connect(self._refresh_view)
        open_study.job_changed.connect(self._refresh_actions)
        open_study.records_changed.connect(self._on_records)
        open_study.study_changed.connect(self.refresh)
        self.refresh()

    def _make_choice(self) -> None:
        self.missing = caption()
        self.missing.setAccessibleName("What is missing to compare")
        self.runs = RunList()
        self.runs.ticked.connect(self._comparing.choose)
        self.measure_runs = button(
            "&Measure",
            "Predict the held-out scans with the ticked runs and measure them against your labels.",
            self._comparing.measure_missing,
        )
        self.yardstick = _combo("Compare with", "What the verdict compares each run with.")
        self.yardstick.activated.connect(
            lambda row: self._comparing.compare_with(self.yardstick.itemData(row))
        )
        self.verdicts = caption()
        self.verdicts.setAccessibleName("Verdict")
        self.verdicts.setToolTip(ABOUT_THE_INTERVAL)
        self.notes = caption(faint=True)

    def _make_figures(self) -> None:
        self.structure = _combo(
            "Structure", "The structure whose distances, volumes, box plots and differences show."
        )
        self.structure.activated.connect(
            lambda row: self._comparing.show_structure(self.structure.itemData(row))
        )
        self.table = FigureTable()
        self.save = button(
            "Save table…", "Write the figures as Markdown and CSV.", self._ask_where_to_save
        )
        self.measure = _combo("Box plots of", "The measure that the box plots show.")
        for info in compared():
            self.measure.addItem(info.heading, info.key)
        self.measure.activated.connect(
            lambda row: self._comparing.show_measure(self.measure.itemData(row))
        )
        self.plot = BoxPlot()
        self.plot.case_chosen.connect(self._comparing.open_case)

    def _make_view(self) -> None:
        self.case = _combo(
            "Scan",
            "A held-out scan to look at; those in which the two runs differ most come first.",
        )
        self.case.activated.connect(lambda row: self._comparing.open_case(self.case.itemData(row)))
        self.first = _combo("First run", "The run in the left view.")
        self.second = _combo("Second run", "The run in the right view.")
        for combo in (self.first, self.second):
            combo.activated.connect(self._choose_two)
        self.beside = QPushButton("&Side by side")
        self.beside.setCheckable(True)
        describe(
            self.beside,
            "Side by side",
            "Show each prediction in a view of its own; both move together (S). Press again to undo.",
        )
        self.beside.clicked.connect(self._comparing.put_side_by_side)
        self.disagreement = QCheckBox("&Disagreement")
        describe(
            self.disagreement, "Disagreement", "Show where the two predictions differ, bright (D)."
        )
        self.disagreement.clicked.connect(self._comparing.show_disagreement)
        self.waiting = caption(faint=True)
        self.stop = button("Stop", "Give up on these predictions.", self._comparing.stop_reading)

    def _lay_out(self) -> None:
        self.results = QWidget()
        results = QVBoxLayout(self.results)
        results.setContentsMargins(0, 0, 0, 0)
        results.addWidget(heading("Verdict"))
        results.addLayout(_row(QLabel("Against"), self.yardstick))
        results.addWidget(self.verdicts)
        results.addWidget(self.notes)
        results.addWidget(heading("Figures"))
        results.addLayout(_row(self.structure, self.save))
        results.addWidget(self.table)
        results.addWidget(self.measure)
        results.addWidget(self.plot)
        results.addWidget(heading("On the screen"))
        results.addWidget(self.case)
        results.addLayout(_row(QLabel("Left"), self.first))
        results.addLayout(_row(QLabel("Right"), self.second))
        results.addLayout(_row(self.beside, self.disagreement))
        results.addLayout(_row(self.waiting, self.stop))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.missing)
        layout.addWidget(self.runs)
        layout.addWidget(self.measure_runs)
        layout.addWidget(self.results)
        layout.addStretch(1)

    def keys(self) -> dict[str, Callable[[], None]]:
        """Return the keys that act on the image while this page is on show."""
        return {
            "S": self.beside.click,
            "D": self.disagreement.click,
            "N": lambda: self._comparing.open_neighbour(1),
            "P": lambda: self._comparing.open_neighbour(-1),
        }

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Read the figures when the page comes up (Qt's name)."""
        super().showEvent(event)
        self._comparing.refresh()

    def _on_records(self) -> None:
        if self.isVisible():
            self._comparing.refresh()
        self._refresh_actions()

    # showing

    def refresh(self) -> None:
        """Show the runs, the figures and the verdicts."""
        comparison = self._comparing.comparison
        columns = () if comparison is None else comparison.columns
        runs = comparison is not None and bool(comparison.runs)
        for part in (self.runs, self.measure_runs):
            part.setVisible(runs)
        self.results.setVisible(runs and comparison is not None and bool(comparison.held_out))
        self.runs.show_runs(comparison, self._open.records.classes)
        self._fill_choices(columns)
        self.verdicts.setText("\n".join(f"{each.letter} · {each.verdict}" for each in columns))
        self.verdicts.setVisible(bool(columns))
        notes = () if comparison is None else comparison.notes
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))
        classes, structure = self._open.records.classes, self._comparing.structure
        self.table.show_columns(columns, classes, structure)
        self._refresh_plot(columns)
        self._refresh_actions()
        self._refresh_view()

    def _fill_choices(self, columns: tuple[Column, ...]) -> None:
        comparing = self._comparing
        _fill(self.yardstick, [("", TWINS, None), *_choices(columns)], comparing.yardstick)
        structures: list[Choice] = [("", ALL_STRUCTURES, None)]
        structures += [(i.colour, i.name, i.value) for i in self._open.records.classes]
        _fill(self.structure, structures, comparing.structure)
        self.measure.setCurrentIndex(self.measure.findData(comparing.measure))

    def _refresh_plot(self, columns: tuple[Column, ...]) -> None:
        info = MEASURES[self._comparing.measure]
        groups = []
        for column in columns:
            scores = {
                case: score(metrics, self._comparing.measure, self._comparing.structure)
                for case, metrics in column.metrics.items()
            }
            defined = {case: value for case, value in scores.items() if value is not None}
            colour = RUN_COLOURS[LETTERS.index(column.letter)]
            groups.append(BoxGroup(column.letter, column.figures.name, colour, defined))
        self.plot.show_groups(groups, info.heading, info.digits, info.unit)

    def _refresh_actions(self) -> None:
        comparison = self._comparing.comparison
        missing = why_not_compare(self._open.records, self._is_training())
        self.missing.setText(missing or "")
        self.missing.setVisible(missing is not None)
        waiting = () if comparison is None else comparison.to_measure
        count = f" {len(waiting)} runs" if len(waiting) > 1 else ""
        self.measure_runs.setText(f"&Measure{count} on the held-out scans")
        allow(self.measure_runs, missing or self._comparing.why_not_measure())
        measured = comparison is not None and bool(comparison.measured)
        for control in (self.save, self.measure, self.structure):
            allow(control, None if measured else NOTHING_MEASURED)
        allow(self.yardstick, None if comparison and comparison.columns else "Tick runs first.")

    def _refresh_view(self) -> None:
        comparing = self._comparing
        reason, pair = comparing.why_not_look(), comparing.pair
        shown = None if pair is None else pair.case.name
        cases = [("", _case_text(name, gap), name) for name, gap in comparing.cases()]
        _fill(self.case, cases, shown)
        self.case.setPlaceholderText("Choose a scan to look at")
        if shown is None:
            self.case.setCurrentIndex(-1)
        self.plot.show_case(shown)
        two = comparing.two
        columns = () if comparing.comparison is None else comparing.comparison.columns
        usable = _choices([each for each in columns if each.figures.why_not is None])
        for place, combo in enumerate((self.first, self.second)):
            _fill(combo, usable, two[place].figures.identifier if two else None)
            allow(combo, reason)
        allow(self.case, reason)
        nothing = reason or (None if pair else "Choose a scan first: click a dot, or use the list.")
        for control, wanted in (
            (self.beside, comparing.side_by_side),
            (self.disagreement, comparing.disagreement),
        ):
            allow(control, nothing)
            check(control, wanted and pair is not None)
        self.waiting.setText(comparing.waiting or self._difference_text())
        self.stop.setVisible(bool(comparing.waiting))

    def _difference_text(self) -> str:
        pair = self._comparing.pair
        if pair is None:
            return ""
        found, classes = pair.differences, self._open.records.classes
        of = next((f"of {item.name} " for item in classes if item.value == found.structure), "")
        return (
            f"Filled: your label. Outlines: the runs. They differ in {found.millilitres:.2f} mL "
            f"of the {found.marked:.2f} mL {of}that either marks."
        )

    # acting

    def _choose_two(self) -> None:
        self._comparing.look_at(self.first.currentData(), self.second.currentData())

    def _ask_where_to_save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save the table", "comparison.md", "Markdown and CSV (*.md *.csv)"
        )
        if path:
            self._comparing.save(path)


def _combo(name: str, tooltip: str) -> QComboBox:
    """Return a choice that never makes the column wider than it is."""
    combo = QComboBox()
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    describe(combo, name, tooltip)
    return combo


def _row(first: QWidget, second: QWidget) -> QHBoxLayout:
    """Return two parts beside each other; words leave the room to what they name."""
    row = QHBoxLayout()
    words = type(first) is QLabel and isinstance(second, QComboBox)
    row.addWidget(first, 0 if words else 1)
    row.addWidget(second, 1 if words else 0)
    if words:
        first.setMinimumWidth(WORD_WIDTH)
    return row


def _choices(columns: tuple[Column, ...] | list[Column]) -> list[Choice]:
    return [
        (
            RUN_COLOURS[LETTERS.index(each.letter)],
            f"{each.letter} · {each.figures.name}",
            each.figures.identifier,
        )
        for each in columns
    ]


def _fill(combo: QComboBox, items: Sequence[Choice], chosen: object) -> None:
    """Put colour, text and data of each item into a combo, and choose one."""
    with signals_blocked(combo):
        combo.clear()
        for colour, text, data in items:
            if colour:
                combo.addItem(swatch(colour), text, data)
            else:
                combo.addItem(text, data)
        found = [place for place, (_, _, data) in enumerate(items) if data == chosen]
        combo.setCurrentIndex(found[0] if found else (0 if items and items[0][2] is None else -1))


def _case_text(name: str, gap: float | None) -> str:
    return name if gap is None else f"{name}   ({gap:+.3f} Dice)"
