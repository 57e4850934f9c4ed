"""The path through a study: five steps, each with what it still lacks under its name.

Part of the dock widget, above the pages. Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from napari_semiseg.gui.open_study.advice import PAGES, step_captions
from napari_semiseg.gui.widgets.controls import describe

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.train.training import Training

_TOOLTIPS = (
    "The scans of the study and the structures to mark in them.",
    "Paint labels in a few scans.",
    "Learn from the labelled and the unlabelled scans.",
    "Look at predictions and accept, fix or reject them.",
    "Compare runs on the held-out scans.",
)
NARROWEST = 50
MARGINS = 6  # of a button's text, left and right together


class StepBar(QWidget):
    """Five buttons of which one is checked.

    Attributes
    ----------
    chosen : Signal(int)
        Number of the page, 0 to 4.
    """

    chosen = Signal(int)

    def __init__(self, open_study: OpenStudy, training: Training) -> None:
        super().__init__()
        self._open = open_study
        self._training = training
        self._group = QButtonGroup(self)
        self.buttons: list[QPushButton] = []
        self._captions: tuple[str, ...] = ()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for index, tooltip in enumerate(_TOOLTIPS):
            step = QPushButton()
            step.setCheckable(True)
            step.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            step.setMinimumSize(NARROWEST, 42)
            step.setStyleSheet("padding: 2px;")
            step.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            step.setShortcut(f"Alt+{index + 1}")
            describe(step, f"Step {index + 1}, {PAGES[index]}", f"{tooltip} (Alt+{index + 1})")
            self._group.addButton(step, index)
            self.buttons.append(step)
            layout.addWidget(step)
        self._group.idClicked.connect(self.chosen)
        open_study.records_changed.connect(self.refresh)
        training.changed.connect(self.refresh)
        self.refresh()

    def choose(self, index: int) -> None:
        """Check a step."""
        self.buttons[index].setChecked(True)

    def refresh(self) -> None:
        """Say what each step still lacks."""
        captions = step_captions(self._open.records, self._training.active)
        if captions == self._captions:
            return
        self._captions = captions
        for index, text in enumerate(captions):
            step = self.buttons[index]
            step.setText(f"{index + 1} {PAGES[index]}\n{text}")
            step.setAccessibleName(f"Step {index + 1}, {PAGES[index]}, {text}")
            step.setShortcut(f"Alt+{index + 1}")  # setting a text takes the shortcut away
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Measure again with the font that the theme has given by now (Qt's name)."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        """Keep every step wide enough for its two lines."""
        for step in self.buttons:
            step.ensurePolished()
            lines = step.text().splitlines()
            widest = max(step.fontMetrics().horizontalAdvance(line) for line in lines)
            step.setMinimumWidth(max(NARROWEST, widest + MARGINS))
