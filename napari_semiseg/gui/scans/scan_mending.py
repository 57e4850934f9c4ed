"""What is wrong with the selected scan, and the buttons that find it again.

Part of the Scans page, under the list; hidden while nothing is wrong. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from napari_semiseg.engine.volumes.formats import patterns
from napari_semiseg.gui.widgets.controls import allow, button, caption

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.scans.overview import Overview


def dialog_filter(labels_only: bool = False) -> str:
    """Return what a dialog of Qt offers to open: the files that can be read, or any."""
    title = "Labels" if labels_only else "Scans"
    return f"{title} ({' '.join(patterns(labels_only))});;All files (*)"


class ScanMending(QWidget):
    """Sentences on a scan, with buttons to find it again where that mends it."""

    def __init__(self, open_study: OpenStudy, overview: Overview) -> None:
        super().__init__()
        self._open = open_study
        self._overview = overview
        self.sentence = caption()
        self.sentence.setAccessibleName("What is wrong with the selected scan")
        self.locate_file = button(
            "Locate &file…",
            "Show where this scan is now; it is recognised by its content, whatever its name.",
            self._ask_file,
        )
        self.locate_folder = button(
            "Locate fol&der…",
            "Show the folder that the scans moved to; all missing ones are looked for in it.",
            self._ask_folder,
        )
        self._buttons = QWidget()
        row = QHBoxLayout(self._buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for widget in (self.locate_file, self.locate_folder):
            row.addWidget(widget, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.sentence)
        layout.addWidget(self._buttons)
        self.hide()

    def show_case(self, name: str | None, busy: str | None) -> None:
        """Show what is wrong with a scan."""
        overview = None if name is None else self._overview.cases.get(name)
        findings = () if overview is None else overview.findings
        self.sentence.setText("\n".join(finding.sentence for finding in findings))
        self.setVisible(bool(findings))
        self._buttons.setVisible(any(finding.is_mended_by_locating for finding in findings))
        case = self._open.records.case(name)
        several = case is not None and len(case.source.paths) > 1
        allow(
            self.locate_file,
            busy or ("This scan has several files: show their folder." if several else None),
        )
        allow(self.locate_folder, busy)

    def _ask_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Where is the scan now?", "", dialog_filter())
        if path:
            self._overview.locate(path)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Which folder did the scans move to?")
        if path:
            self._overview.locate(path)
