"""How long a person works on each case, and what starting from a prediction saves.

Time is counted between two edits of the same case, and a longer pause counts as one minute: a phone
call is no annotation. What starts from a prediction is correction, what starts from nothing is work by
hand; the difference is what the program saves. Plain values, for any thread; the desk runs the clock
and the study keeps the sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_semiseg.engine.study.time_spent import CaseTime, Work

IDLE_SECONDS = 60.0
"""The longest that a pause between two edits counts."""


class WorkClock:
    """A clock that runs while one person edits one case.

    Opening a case starts it, and each edit counts the time since the one before; looking without
    editing counts for nothing.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._case: str | None = None
        self._last = 0.0
        self._work = Work()

    def open(self, case: str | None, now: float) -> None:
        """Start for the case that came onto the screen; None stops.

        A case that is shown again goes on, for its label may have been exchanged under the brush.

        Parameters
        ----------
        now : float
            Seconds of a clock that never goes back.
        """
        if case != self._case:
            self._case, self._last, self._work = case, now, Work()

    def edit(self, now: float) -> None:
        """Count an edit of the case on the screen, and the time before it.

        Parameters
        ----------
        now : float
            Seconds of the clock of `open`.
        """
        if self._case is not None:
            seconds = min(max(now - self._last, 0.0), self._idle_seconds)
            self._last = now
            self._work += Work(seconds, 1)

    def take(self) -> Work:
        """Return the work on the case on the screen since the last time, to be written down."""
        work, self._work = self._work, Work()
        return work

    def put_back(self, case: str, work: Work) -> None:
        """Give back what could not be written down, unless the case has left the screen.

        Parameters
        ----------
        work : Work
            What `take` returned.
        """
        if case == self._case:
            self._work += work


@dataclass(frozen=True)
class Savings:
    """Mean minutes of a case that was drawn by hand, and of one that was corrected.

    Attributes
    ----------
    manual_minutes, correction_minutes : float or None
        None where there is no such case.
    manual_cases, correction_cases : int
        How many there are.
    """

    manual_minutes: float | None
    correction_minutes: float | None
    manual_cases: int
    correction_cases: int

    @property
    def share(self) -> float | None:
        """Time of a correction as a share of the time by hand; None where either is not known."""
        if not self.manual_minutes or self.correction_minutes is None:
            return None
        return self.correction_minutes / self.manual_minutes


def savings(times: Iterable[CaseTime]) -> Savings:
    """Compare the cases that were drawn by hand with those that were corrected.

    A case with both kinds of edits counts as corrected: a prediction stood at some moment of it.

    Parameters
    ----------
    times : iterable of CaseTime
        Of all cases; those without an edit are passed over.
    """
    edited = [time for time in times if time.edits]
    manual = [time.minutes for time in edited if not time.correction_edits]
    corrected = [time.minutes for time in edited if time.correction_edits]
    return Savings(_mean(manual), _mean(corrected), len(manual), len(corrected))


def _mean(minutes: list[float]) -> float | None:
    return sum(minutes) / len(minutes) if minutes else None


def in_minutes(minutes: float) -> str:
    """Return minutes such as ``"0.3 min"``, and ``"under 0.1 min"`` for a few seconds."""
    return f"{minutes:.1f} min" if minutes >= 0.05 else "under 0.1 min"


def time_words(time: CaseTime) -> str:
    """Return the time of a case such as ``"1.4 min by hand, 0.3 min of corrections"``; or nothing."""
    parts = []
    if time.manual_edits:
        parts.append(f"{in_minutes(time.manual_minutes)} by hand")
    if time.correction_edits:
        parts.append(f"{in_minutes(time.correction_minutes)} of corrections")
    return ", ".join(parts)


def savings_words(found: Savings) -> str:
    """Return what corrections save, in one sentence; nothing while there is nothing to compare.

    Parameters
    ----------
    found : Savings
        From `savings`.
    """
    if found.share is None or found.manual_minutes is None or found.correction_minutes is None:
        return ""
    return (
        f"Corrections took {100 * found.share:.0f} % of the time of labelling by hand: "
        f"{in_minutes(found.correction_minutes)} against {in_minutes(found.manual_minutes)} a scan "
        f"({found.correction_cases} corrected, {found.manual_cases} by hand)."
    )
