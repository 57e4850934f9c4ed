"""The header of the dock: the name of the study, and the menu to make, open and export studies.

Recent studies are remembered between sessions, on this computer only. Main thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QSettings
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QFileDialog, QMenu, QPushButton, QSizePolicy, QWidget

from napari_semiseg.gui.widgets.controls import describe

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.scans.scans import Scans

MOST_RECENT = 8
_KEY = "recent studies"


class RecentStudies:
    """The studies that were opened last, newest first.

    Parameters
    ----------
    settings : QSettings or None
        Where they are remembered; None takes the user's own settings file.
    """

    def __init__(self, settings: QSettings | None = None) -> None:
        self._settings = settings or QSettings(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-semiseg", "desk"
        )

    @property
    def settings(self) -> QSettings:
        """Where the desk remembers what the user has chosen."""
        return self._settings

    def paths(self) -> list[Path]:
        """Return the studies that still exist."""
        stored = self._settings.value(_KEY) or []
        stored = [stored] if isinstance(stored, str) else stored
        return [path for path in map(Path, stored) if path.is_dir()]

    def remember(self, path: Path) -> None:
        """Put a study in front."""
        others = [other for other in self.paths() if other != path]
        self._settings.setValue(_KEY, [str(p) for p in (path, *others)][:MOST_RECENT])


class StudyMenu(QPushButton):
    """A button with the name of the study and a menu of what can be done with studies.

    Parameters
    ----------
    open_study : OpenStudy
        The study of which it shows the name.
    recent : RecentStudies
        The studies that were opened last.
    """

    def __init__(self, open_study: OpenStudy, scans: Scans, recent: RecentStudies) -> None:
        super().__init__()
        self._open = open_study
        self._scans = scans
        self._recent = recent
        # the arrow is part of the text: napari's style has none for buttons with menus
        self.setStyleSheet("QPushButton::menu-indicator { image: none; width: 0; }")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMinimumHeight(28)
        describe(self, "Study", "Make, open, export or close a study.")
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill)
        self.setMenu(self._menu)
        open_study.study_changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show the name of the open study."""
        study = self._open.study
        self.setText("No study open  ▾" if study is None else f"Study: {study.name}  ▾")
        if study is not None:
            self.setToolTip(f"{study.path}\nMake, open, export or close a study.")
            self._recent.remember(study.path)

    def _fill(self) -> None:
        self._menu.clear()
        self._menu.setToolTipsVisible(True)
        self._menu.addAction("&New study…", lambda: ask_new(self, self._scans))
        self._menu.addAction("&Open study…", lambda: ask_open(self, self._open))
        for path in self._recent.paths():
            action = QAction(f"    {path.stem}", self._menu)
            action.setToolTip(str(path))
            action.triggered.connect(partial(self._open_recent, path))
            self._menu.addAction(action)
        self._menu.addSeparator()
        self._menu.addAction("Try with &sample brains…", lambda: ask_sample(self, self._scans))
        self._menu.addAction(
            "Try with sample &hippocampi (27 MB)…",
            lambda: ask_sample(self, self._scans, downloaded=True),
        )
        if self._open.study is not None:
            self._menu.addSeparator()
            self._menu.addAction("&Export labels…", lambda: ask_export(self, self._scans))
            self._menu.addAction("&Close study", self._open.close_study)

    def _open_recent(self, path: Path, _checked: bool = False) -> None:
        self._open.open(path)


def _ask_name(parent: QWidget, title: str, suggestion: str) -> str:
    place = str(Path.home() / suggestion)
    path, _ = QFileDialog.getSaveFileName(
        parent, title, place, "Study (*.semiseg)", options=QFileDialog.Option.DontConfirmOverwrite
    )
    return path


def ask_new(parent: QWidget, studies: Scans, scans: Sequence[Path] = ()) -> None:
    """Ask where the new study goes, make it, and add the scans in files and folders."""
    path = _ask_name(parent, "Name and place of the new study", "my study.semiseg")
    if path:
        studies.new_study(path, scans)


def ask_sample(parent: QWidget, studies: Scans, downloaded: bool = False) -> None:
    """Ask where the sample study goes and make it; ``downloaded`` takes the hippocampi."""
    name = "sample hippocampi" if downloaded else "sample brains"
    path = _ask_name(parent, "Name and place of the sample study", f"{name}.semiseg")
    if path:
        studies.new_sample_study(path, downloaded)


def ask_open(parent: QWidget, open_study: OpenStudy) -> None:
    """Ask which study to open and open it."""
    path = QFileDialog.getExistingDirectory(parent, "Choose a study (a folder NAME.semiseg)")
    if path:
        open_study.open(path)


def ask_export(parent: QWidget, scans: Scans) -> None:
    """Ask where the labels go and write them."""
    path = QFileDialog.getExistingDirectory(parent, "Choose a folder for the labels")
    if path:
        scans.export_labels(path)
