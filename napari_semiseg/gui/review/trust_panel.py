"""The part of the Review page that says why a prediction is trusted or not. Main thread only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from napari_semiseg.gui.widgets.case_columns import percent
from napari_semiseg.gui.widgets.controls import button, caption, describe, show_share

if TYPE_CHECKING:
    from napari_semiseg.engine.review.trust import Trust
    from napari_semiseg.gui.open_study.open_study import OpenStudy
    from napari_semiseg.gui.review.trust import PredictionTrust
    from napari_semiseg.gui.viewer.case_on_show import CaseOnShow

MOST_REASONS = 2
MEANING = (
    "Trust says which scans to look at first: how sure the program is, and how plausible size, place "
    "and pieces are beside your labels. It is no measured quality."
)


class TrustPanel(QWidget):
    """The trust in the prediction on the screen with its reasons, and how far judging is.

    It renews the progress by itself; `refresh` renews the rest.
    """

    def __init__(self, open_study: OpenStudy, on_show: CaseOnShow, trust: PredictionTrust) -> None:
        super().__init__()
        self._open = open_study
        self._on_show = on_show
        self._trust = trust
        self.words = caption()
        describe(self.words, "Why the prediction is trusted or not", MEANING)
        self.note = caption(faint=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        describe(self.bar, "Progress of judging", "How far judging the predictions is.")
        self.stop = button("Stop", "Stop judging the predictions.", self._trust.stop)
        self.again = button("Judge again", "Judge all predictions again.", self._trust.judge_again)
        self._progress = QWidget()
        row = QHBoxLayout(self._progress)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for part in (self.note, self._progress, self.again, self.words):
            column.addWidget(part)
        self._trust.progressed.connect(self._refresh_bar)

    def refresh(self) -> None:
        """Show what is known of the scan on the screen."""
        trust, on_show = self._trust, self._on_show
        judged = trust.cases.get(on_show.reading or on_show.name or "")
        self.words.setText("" if judged is None else trust_words(judged.trust))
        self.words.setToolTip(MEANING if judged is None else _all_words(judged.trust))
        self.words.setVisible(judged is not None)
        self.note.setText("Judging the predictions…" if trust.busy else trust.problem or "")
        self.note.setVisible(trust.busy or trust.problem is not None)
        self._progress.setVisible(trust.busy)
        self.again.setVisible(trust.problem is not None and self._open.job is None)
        self._refresh_bar()
        self.setVisible(judged is not None or trust.busy or trust.problem is not None)

    def _refresh_bar(self) -> None:
        show_share(self.bar, self._trust.share)


def trust_words(trust: Trust) -> str:
    """Return the trust in a prediction and the gravest reasons against it, a line each."""
    score = f"Trust {percent(trust.score)}"
    reasons = trust.reasons
    if not reasons:
        return f"{score}: nothing here is unusual beside the other scans."
    lines = [_line(reason) for reason in reasons[:MOST_REASONS]]
    left = len(reasons) - MOST_REASONS
    if left > 0:
        lines.append(f"• {left} more, less grave.")
    return "\n".join([f"{score}:", *lines])


def _all_words(trust: Trust) -> str:
    return "\n".join([*map(_line, trust.reasons), MEANING])


def _line(reason: str) -> str:
    return f"• {reason[:1].upper()}{reason[1:]}."
