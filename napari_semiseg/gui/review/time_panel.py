"""The lines of the Review page about time: what this scan took, and what corrections have saved.

Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semiseg.engine.review.time_ledger import savings, savings_words, time_words
from napari_semiseg.gui.widgets.controls import caption, describe

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

MEANING = (
    "Counted between two strokes on the same scan; of a longer pause, one minute. Corrections are "
    "strokes on a label that began as a prediction. The study keeps sums, not who worked when."
)


class TimePanel(QWidget):
    """How long people worked on the scan on the screen, and on all."""

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow) -> None:
        super().__init__()
        self._open = open_study
        self._on_show = on_show
        self.words = caption(faint=True)
        describe(self.words, "Time spent on labels", MEANING)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        for signal in (open_study.records_changed, on_show.shown_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is recorded now; nothing while nobody has worked on a label."""
        case = self._on_show.case
        spent = "" if case is None else time_words(case.time)
        lines = [f"This scan: {spent}." if spent else ""]
        lines.append(savings_words(savings(case.time for case in self._open.records.cases)))
        text = "\n".join(line for line in lines if line)
        self.words.setText(text)
        self.setVisible(bool(text))
