"""The page that shows while no study is open: make one, open one, or try the sample brains."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semiseg.gui.controls import button, caption, heading
from napari_semiseg.gui.study_menu import RecentStudies, ask_new, ask_open, ask_sample

if TYPE_CHECKING:
    from napari_semiseg.gui.session import Session


class WelcomePage(QWidget):
    """Three ways to begin, and the studies that were opened last.

    Parameters
    ----------
    session : Session
        What to act on.
    recent : RecentStudies
        The studies that were opened last.
    """

    def __init__(self, session: Session, recent: RecentStudies) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.addWidget(heading("Label a few scans, let the program learn the rest"))
        layout.addWidget(
            caption(
                "A study is a folder that keeps your labels, trainings and decisions. Your scans "
                "stay where they are and are never changed."
            )
        )
        self.new = button(
            "&New study…", "Make an empty study and add your scans.", lambda: ask_new(self, session)
        )
        self.open = button(
            "&Open study…", "Go on with a study that exists.", lambda: ask_open(self, session)
        )
        self.sample = button(
            "Try the &sample brains…",
            "Make a study of 16 small brain scans that come with the program, 4 of them labelled.",
            lambda: ask_sample(self, session),
        )
        for widget in (self.new, self.open, self.sample):
            widget.setMinimumHeight(32)
            layout.addWidget(widget)
        paths = recent.paths()
        if paths:
            layout.addWidget(heading("Recent"))
        for path in paths:
            layout.addWidget(button(path.stem, str(path), partial(session.open_study, path)))
        layout.addStretch(1)
