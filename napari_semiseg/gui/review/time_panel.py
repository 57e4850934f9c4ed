"""The lines of the Review page about time: what this scan took, and what corrections have saved.

Main thread only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_semiseg.engine.review.time_ledger import savings, savings_words, time_words
from napari_semiseg.gui.widgets.controls import caption, describe

if TYPE_CHECKING:
    from napari_semiseg.gui.session import Session

MEANING = (
    "Counted between two strokes on the same scan; of a longer pause, one minute. Corrections are "
    "strokes on a label that began as a prediction. The study keeps sums, not who worked when."
)


class TimePanel(QWidget):
    """How long people worked on the scan on the screen, and on all.

    Parameters
    ----------
    session : Session
        What to show.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.words = caption(faint=True)
        describe(self.words, "Time spent on labels", MEANING)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.words)
        for signal in (session.records_changed, session.labelling.shown_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show what is recorded now; nothing while nobody has worked on a label."""
        case = self._session.labelling.case
        spent = "" if case is None else time_words(case.time)
        lines = [f"This scan: {spent}." if spent else ""]
        lines.append(savings_words(savings(case.time for case in self._session.records.cases)))
        text = "\n".join(line for line in lines if line)
        self.words.setText(text)
        self.setVisible(bool(text))
