"""The Scans page: which scans are in the study, in which state, and what is marked in them.

Files and folders can be dropped anywhere on the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QGridLayout,
    QLineEdit,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from napari_semiseg.gui.advice import plural
from napari_semiseg.gui.case_table import CaseTable
from napari_semiseg.gui.class_editor import ClassEditor
from napari_semiseg.gui.controls import Fold, allow, button, caption, check, describe, heading

if TYPE_CHECKING:
    from napari_semiseg.gui.session import Session

SCANS = "Scans (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd *.dcm);;All files (*)"
LABELS = "Labels (*.nii *.nii.gz *.nrrd *.nhdr *.mha *.mhd);;All files (*)"


class StudyPage(QWidget):
    """The list of scans and the table of classes.

    Parameters
    ----------
    session : Session
        What to show and to act on.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.setAcceptDrops(True)
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Find by name or state")
        self.filter.setClearButtonEnabled(True)
        describe(self.filter, "Find scans", "Show only scans with this text in name or state.")
        self.table = CaseTable("Scans of the study")
        self.table.setMinimumHeight(190)
        self.table.setToolTip("Double-click or press Enter to open a scan.")
        self.filter.textChanged.connect(self.table.set_filter)
        self.table.chosen.connect(session.labelling.show_case)
        self.table.selected.connect(self._refresh_buttons)
        self.classes = ClassEditor(session)
        self.problems = Fold("Files not taken over", "Why some files were not taken over.")
        self._problem_text = caption()
        self.problems.add(self._problem_text)
        self._lay_out()
        session.records_changed.connect(self.refresh)
        session.job_changed.connect(self._refresh_buttons)
        session.labelling.shown_changed.connect(self._select_shown)
        self.refresh()

    def _lay_out(self) -> None:
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
        self.open = button("Ope&n scan", "Show the selected scan.", self._open)
        self.hold_out = button(
            "Hel&d-out",
            "Lock the selected scan: it is never trained on and measures quality.",
            self._toggle_hold_out,
        )
        self.hold_out.setCheckable(True)
        self.remove = button(
            "&Remove", "Take the scan out of the study; its file stays untouched.", self._remove
        )
        rows = QGridLayout()
        rows.setSpacing(4)
        upper = (self.add_files, self.add_folder, self.labels)
        lower = (self.open, self.hold_out, self.remove)
        for column, (above, below) in enumerate(zip(upper, lower, strict=True)):
            rows.addWidget(above, 0, column)
            rows.addWidget(below, 1, column)
            rows.setColumnStretch(column, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.filter)
        layout.addWidget(self.table, 1)
        layout.addLayout(rows)
        layout.addWidget(self.problems)
        layout.addWidget(heading("Classes"))
        layout.addWidget(self.classes)

    def refresh(self) -> None:
        """Show what is recorded."""
        self.table.cases.set_cases(self._session.records.cases)
        problems = self._session.problems
        self.problems.setVisible(bool(problems))
        self.problems.set_title(f"{plural(len(problems), 'file')} not taken over")
        self._problem_text.setText("\n\n".join(problems))
        self._refresh_buttons()

    def _refresh_buttons(self) -> None:
        job = self._session.job
        busy = None if job is None else f"{job.title} is under way: wait, or stop it below."
        for widget in (self.add_files, self.add_folder, self.labels):
            allow(widget, busy)
        case = self._session.records.case(self.table.selected_name())
        nothing = None if case is not None else "Select a scan in the list first."
        for widget in (self.open, self.hold_out, self.remove):
            allow(widget, nothing)
        check(self.hold_out, case is not None and case.held_out)

    def _select_shown(self) -> None:
        shown = self._session.labelling.reading or self._session.labelling.shown
        if shown is not None:
            self.table.select(shown)

    def _open(self) -> None:
        name = self.table.selected_name()
        if name is not None:
            self._session.labelling.show_case(name)

    def _toggle_hold_out(self) -> None:
        name = self.table.selected_name()
        if name is not None:
            self._session.hold_out(name, self.hold_out.isChecked())

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
            self._session.remove_case(name)

    def _ask_files(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Add scans", "", SCANS)
        self._session.add_scans(paths)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Add the scans of a folder")
        if path:
            self._session.add_scans([path])

    def _ask_labels(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Import labels", "", LABELS)
        self._session.import_labels(paths)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """Welcome files and folders (Qt's name)."""
        if event is not None and _dropped(event) and self._session.job is None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """Add the scans in dropped files and folders (Qt's name)."""
        if event is not None:
            event.acceptProposedAction()
            self._session.add_scans(_dropped(event))


def _dropped(event: QDropEvent) -> list[Path]:
    """Return the files and folders of this computer that are dragged."""
    carried = event.mimeData()
    urls = [] if carried is None else carried.urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
