"""The page that shows while no study is open: make one, open one, or try sample data.

A study that is dropped on it opens; scans become a new study. Main thread only.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from napari_semiseg.engine.study.creation import SUFFIX
from napari_semiseg.gui.scans.study_menu import RecentStudies, ask_new, ask_open, ask_sample
from napari_semiseg.gui.widgets.controls import allow, button, caption, heading
from napari_semiseg.gui.widgets.dropping import DropPage

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.scans.scans import Scans

RECENT_WIDTH = 290
"""Room for the folder of a recent study, in pixels: the narrowest dock has no more."""


class WelcomePage(DropPage):
    """Ways to begin, and the studies that were opened last.

    Parameters
    ----------
    recent : RecentStudies
        The studies that were opened last.
    """

    def __init__(self, open_study: OpenStudy, scans: Scans, recent: RecentStudies) -> None:
        super().__init__()
        self._open = open_study
        self._scans = scans
        self._recent = recent
        self._make_buttons()
        self._studies = QWidget()
        self._column = QVBoxLayout(self)
        self._lay_out()
        self.dropped.connect(self._on_dropped)
        open_study.study_changed.connect(self.refresh)
        open_study.job_changed.connect(self._refresh_buttons)
        self.refresh()
        self._refresh_buttons()

    def _make_buttons(self) -> None:
        scans, open_study = self._scans, self._open
        self.new = button(
            "&New study…", "Make an empty study and add your scans.", lambda: ask_new(self, scans)
        )
        self.open = button(
            "&Open study…", "Go on with a study that exists.", lambda: ask_open(self, open_study)
        )
        self.sample = button(
            "Try with &sample brains…",
            "Make a study of 16 small brain scans that come with the program, 4 of them labelled.",
            lambda: ask_sample(self, scans),
        )
        self.download = button(
            "Try with sample &hippocampi (27 MB)…",
            "Download 40 small real MR scans, 5 of them labelled; you can stop it at any time.",
            lambda: ask_sample(self, scans, downloaded=True),
        )
        for widget in (self.new, self.open, self.sample, self.download):
            widget.setMinimumHeight(32)

    def _lay_out(self) -> None:
        layout = self._column
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(heading("Label a few scans, let the program learn the rest"))
        layout.addWidget(
            caption(
                "A study is a folder that keeps your labels, trainings and decisions. Your scans "
                "stay where they are and are never changed."
            )
        )
        layout.addWidget(self.new)
        layout.addWidget(self.open)
        layout.addWidget(caption("Or drop scans, or a study, here.", faint=True))
        layout.addWidget(self._studies)
        layout.addWidget(heading("No scans at hand?"))
        layout.addWidget(self.sample)
        layout.addWidget(self.download)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show the studies that were opened last."""
        former = self._studies
        self._studies = QWidget()
        layout = QVBoxLayout(self._studies)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        paths = self._recent.paths()
        if paths:
            layout.addWidget(heading("Recent studies"))
        for path in paths:
            layout.addWidget(self._recent_button(path))
        self._column.replaceWidget(former, self._studies)
        former.hide()
        former.deleteLater()

    def _recent_button(self, path: Path) -> QPushButton:
        letters = self.fontMetrics()
        elide = Qt.TextElideMode.ElideMiddle
        name = letters.elidedText(path.stem, elide, RECENT_WIDTH)
        folder = letters.elidedText(str(path.parent), elide, RECENT_WIDTH)
        made = button(
            f"{name}\n{folder}".replace("&", "&&"),
            f"Open {path}.",
            partial(self._open.open, path),
        )
        made.setAccessibleName(f"Recent study {path.stem}")
        made.setStyleSheet("text-align: left; padding: 4px 8px;")
        made.setMinimumSize(40, 2 * letters.height() + 12)
        return made

    def _refresh_buttons(self) -> None:
        job = self._open.job
        busy = None if job is None else f"{job.title} is under way: wait, or stop it below."
        for widget in (self.new, self.open, self.sample, self.download):
            allow(widget, busy)

    def takes(self, paths: list[Path]) -> bool:
        """Return whether a study can be opened or made now."""
        return bool(paths) and self._open.job is None

    def _on_dropped(self, paths: list[Path]) -> None:
        if len(paths) == 1 and paths[0].suffix == SUFFIX:
            self._open.open(paths[0])
        else:
            ask_new(self, self._scans, paths)
