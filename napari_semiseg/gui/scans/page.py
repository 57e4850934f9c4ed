"""The Scans page: which scans are in the study, how far each is, and what is marked in them.

Files and folders can be dropped anywhere on the page. Main thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShowEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QShortcut,
    QVBoxLayout,
)

from napari_semiseg.engine.study import CaseState, ClassInfo
from napari_semiseg.engine.study.creation import SUFFIX
from napari_semiseg.gui.open_study.advice import plural
from napari_semiseg.gui.scans.class_editor import ClassEditor
from napari_semiseg.gui.scans.scan_mending import ScanMending, dialog_filter
from napari_semiseg.gui.widgets.case_columns import CaseRow
from napari_semiseg.gui.widgets.case_table import CaseTable, state_icon
from napari_semiseg.gui.widgets.controls import (
    Fold,
    allow,
    button,
    caption,
    check,
    describe,
    heading,
)
from napari_semiseg.gui.widgets.dropping import DropPage

if TYPE_CHECKING:
    from napari_semiseg.engine.study.overview import CaseOverview
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.scans.overview import Overview
    from napari_semiseg.gui.scans.scans import Scans
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow


class ScansPage(DropPage):
    """The list of scans and the table of classes."""

    def __init__(
        self, open_study: OpenStudy, on_show: CaseOnShow, scans: Scans, overview: Overview
    ) -> None:
        super().__init__()
        self._open = open_study
        self._on_show = on_show
        self._scans = scans
        self._overview = overview
        self._trust: dict[str, float] = {}
        self._classes: tuple[ClassInfo, ...] = ()
        self._asked: str | None = None
        self._make_list()
        self.mending = ScanMending(open_study, overview)
        self._make_buttons()
        self.classes = ClassEditor(open_study, scans)
        self.problems = Fold("Files not taken over", "Why some files were not taken over.")
        self._problem_text = caption()
        self.problems.add(self._problem_text)
        self._lay_out()
        self._listen()
        self.refresh()

    def _make_list(self) -> None:
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Find by name or state")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAcceptDrops(False)  # files that are dropped on it are for the page
        describe(self.filter, "Find scans", "Show only scans with this text in name or state.")
        self.states = QComboBox()
        describe(self.states, "Which scans", "Show only scans in this state.")
        self.states.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.states.setMinimumContentsLength(9)
        self.states.addItem("All scans")
        for state in CaseState:
            self.states.addItem(state_icon(state), state.value, state)
        self.states.addItem("⚠ with a problem", "trouble")
        self.table = CaseTable("Scans of the study", detailed=True)
        self.table.setMinimumHeight(230)
        self.counted = caption(faint=True)

    def _make_buttons(self) -> None:
        self.add_files = button("Add fil&es…", "Add scans from files.", self._ask_files)
        self.add_folder = button(
            "Add f&older…",
            "Add all scans in a folder: NIfTI, NRRD, MetaImage or DICOM, also in folders inside.",
            self._ask_folder,
        )
        self.labels = button(
            "&Import labels…",
            "Take label files over; each belongs to the scan with the same name.",
            self._ask_labels,
        )
        self.previous = button(
            "◀", "Show the scan above in the list (PageUp).", lambda: self.show_neighbour(-1)
        )
        self.previous.setAccessibleName("Previous scan")
        self.next = button(
            "▶", "Show the next scan in the list (PageDown).", lambda: self.show_neighbour(1)
        )
        self.next.setAccessibleName("Next scan")
        for widget in (self.previous, self.next):
            widget.setFixedWidth(34)
        self.open = button("Ope&n scan", "Show the selected scan (Enter).", self._open_selected)
        self.hold_out = button(
            "Hel&d-out",
            "Lock the selected scan: it is never trained on and measures quality.",
            self._toggle_hold_out,
        )
        self.hold_out.setCheckable(True)
        self.remove = button(
            "&Remove", "Take the scan out of the study; its file stays untouched.", self._remove
        )

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        finding, adding, acting = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        finding.addWidget(self.filter, 3)
        finding.addWidget(self.states, 2)
        for widget in (self.add_files, self.add_folder, self.labels):
            adding.addWidget(widget, 1)
        for widget in (self.previous, self.open, self.next, self.hold_out, self.remove):
            acting.addWidget(widget, 0 if widget in (self.previous, self.next) else 1)
        for row in (finding, adding, acting):
            row.setSpacing(4)
        layout.addLayout(finding)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.counted)
        layout.addWidget(self.mending)
        layout.addLayout(acting)
        layout.addLayout(adding)
        layout.addWidget(self.problems)
        layout.addWidget(heading("Classes"))
        layout.addWidget(self.classes)

    def _listen(self) -> None:
        self.filter.textChanged.connect(self._on_filter)
        self.states.currentIndexChanged.connect(self._on_state)
        self.table.chosen.connect(self._show)
        self.table.selected.connect(self._refresh_buttons)
        self.dropped.connect(self._on_dropped)
        self._open.records_changed.connect(self.refresh)
        self._open.job_changed.connect(self._on_job)
        self._overview.changed.connect(self._on_overview)
        self._on_show.shown_changed.connect(self._on_shown)
        self._bind("PgUp", lambda: self.show_neighbour(-1))
        self._bind("PgDown", lambda: self.show_neighbour(1))

    def _bind(self, key: str, act: Callable[[], None]) -> None:
        # also while the pointer is on the image; a page that is not on show does not hear it
        shortcut = QShortcut(QKeySequence(key), self)
        shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
        shortcut.activated.connect(act)

    # what is shown

    def refresh(self) -> None:
        """Show what is recorded."""
        records = self._open.records
        if records.classes != self._classes:
            self._classes = records.classes
            self.table.set_classes(records.classes)
        self._list_cases()
        problems = self._scans.problems
        self.problems.setVisible(bool(problems))
        self.problems.set_title(f"{plural(len(problems), 'file')} not taken over")
        self._problem_text.setText("\n\n".join(problems))
        self._refresh_buttons()
        if self.isVisible():
            self._overview.look()

    def show_trust(self, scores: dict[str, float]) -> None:
        """Show how far the predictions of cases may be trusted, 0…1, by name."""
        self._trust = scores
        self._list_cases()

    def _list_cases(self) -> None:
        self.table.set_cases(
            self._open.records.cases, overviews=self._overview.cases, trust=self._trust
        )

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802
        """Look at the scans anew: files may have come or gone meanwhile (Qt's name)."""
        super().showEvent(event)
        self._overview.look(everywhere=True)

    def _on_overview(self, names: list[str]) -> None:
        cases = self._overview.cases
        self.table.cases.set_overviews({name: cases[name] for name in names if name in cases})
        self._refresh_buttons()

    def _on_job(self) -> None:
        self._refresh_buttons()
        if self._open.job is None and self.isVisible():
            self._overview.look(everywhere=True)

    def _on_filter(self, text: str) -> None:
        self.table.set_filter(text)
        self._refresh_buttons()

    def _on_state(self) -> None:
        self.table.cases.set_wanted(_wanted(self.states.currentData()))
        self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        job = self._open.job
        busy = None if job is None else f"{job.title} is under way: wait, or stop it below."
        for widget in (self.add_files, self.add_folder, self.labels):
            allow(widget, busy)
        name = self.table.selected_name()
        case = self._open.records.case(name)
        nothing = None if case is not None else "Select a scan in the list first."
        for widget in (self.open, self.hold_out, self.remove):
            allow(widget, nothing)
        check(self.hold_out, case is not None and case.held_out)
        at = self._at()
        for widget, distance in ((self.previous, -1), (self.next, 1)):
            way = self.table.neighbour(at, distance)
            allow(widget, "There is no other scan that way in the list." if way is None else None)
        self.mending.show_case(name, busy)
        self._count()

    def _count(self) -> None:
        cases, overviews = self._open.records.cases, self._overview.cases
        shown = self.table.cases.rowCount()
        known = plural(len(cases), "scan")
        parts = [known if shown == len(cases) else f"{shown} of {known}"]
        troubled = sum(_is_troubled(overviews.get(case.name)) for case in cases)
        if troubled:
            parts.append(f"⚠ {troubled} cannot be used")
        if self._overview.busy and len(overviews) < len(cases):
            parts.append("looking at them…")
        self.counted.setText(" · ".join(parts))

    # which scan

    def _at(self) -> str | None:
        return self._on_show.reading or self._on_show.name or self.table.selected_name()

    def show_neighbour(self, distance: int) -> None:
        """Show the scan that comes ``distance`` rows after the one on the screen, in this list."""
        name = self.table.neighbour(self._at(), distance)
        if name is not None:
            self._show(name)

    def _show(self, name: str) -> None:
        self._asked = name
        self._on_show.show(name)

    def _on_shown(self) -> None:
        on_show = self._on_show
        shown = on_show.reading or on_show.name
        if shown is not None:
            self.table.select(shown)
        if on_show.reading is None and self._asked is not None:
            if on_show.name != self._asked:
                self._overview.look_at([self._asked])  # it could not be read: say why
                self.table.select(self._asked)
            self._asked = None
        self._refresh_buttons()

    def _open_selected(self) -> None:
        name = self.table.selected_name()
        if name is not None:
            self._show(name)

    # changes

    def _toggle_hold_out(self) -> None:
        name = self.table.selected_name()
        if name is not None:
            self._scans.hold_out(name, self.hold_out.isChecked())

    def _remove(self) -> None:
        name = self.table.selected_name()
        if name is None:
            return
        answer = QMessageBox.question(
            self,
            "Remove a scan",
            f"Take {name} out of the study? Its file stays untouched, and its label is kept in the "
            "folder labels/removed of the study.",
        )
        if answer == QMessageBox.StandardButton.Yes:
            self._scans.remove(name)

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add scans", "", dialog_filter())
        self._scans.add(paths)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add the scans of a folder")
        if path:
            self._scans.add([path])

    def _ask_labels(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Import labels", "", dialog_filter(True))
        self._scans.import_labels(paths)

    def takes(self, paths: list[Path]) -> bool:
        """Return whether something can be added now."""
        return bool(paths) and self._open.job is None

    def _on_dropped(self, paths: list[Path]) -> None:
        if len(paths) == 1 and paths[0].suffix == SUFFIX:
            self._open.open(paths[0])
        else:
            self._scans.add(paths)


def _wanted(choice: CaseState | str | None) -> Callable[[CaseRow], bool] | None:
    """Return what rows must be for a choice of states; None for all."""
    if choice is None:
        return None
    if choice == "trouble":
        return lambda row: row.has_trouble
    return lambda row: row.case.state == choice


def _is_troubled(overview: CaseOverview | None) -> bool:
    return overview is not None and overview.trouble is not None
