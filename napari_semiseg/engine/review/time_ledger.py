"""How long a person worked on each case, from the moments at which the brush touched it.

Time is counted between two strokes on the same case, and a longer pause counts as one minute: a phone
call is no annotation. What starts from a prediction is correction, what starts from nothing is manual
work; the difference is what the program saves. Plain values and pure functions, for any thread; the
desk makes the events and the study keeps them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from napari_semiseg.engine.errors import StudyError

IDLE_SECONDS = 60.0
"""The longest that a pause between two strokes counts."""

FORMAT = 1
"""Raise when the meaning of the stored JSON changes."""

Activity = Literal["opened", "manual", "correction"]


@dataclass(frozen=True)
class EditEvent:
    """A moment at which a person worked on a case.

    Attributes
    ----------
    case : str
        Name of the case.
    when : str
        ISO 8601 with its time zone, as `napari_semiseg.engine.study.decisions.now` gives it.
    activity : {"opened", "manual", "correction"}
        The case came onto the screen, or a stroke, fill or other edit: of a label that a person began,
        or of one that began as a prediction.
    author : str
        Who; the time of two people never mixes.

    Raises
    ------
    ValueError
        If the moment has no time zone or the activity is none of these.
    """

    case: str
    when: str
    activity: Activity
    author: str = ""

    def __post_init__(self) -> None:
        if self.activity not in get_args(Activity):
            raise ValueError(f"an edit is one of {get_args(Activity)}, not {self.activity!r}")
        if datetime.fromisoformat(self.when).tzinfo is None:
            raise ValueError(f"the moment of an edit wants its time zone: {self.when!r}")

    @property
    def moment(self) -> datetime:
        """The moment in UTC."""
        return datetime.fromisoformat(self.when).astimezone(UTC)

    def to_json(self) -> str:
        """Return the one line of text that `read_event` reads."""
        return json.dumps({"format": FORMAT, **asdict(self)}, sort_keys=True, ensure_ascii=False)


def read_event(text: str) -> EditEvent:
    """Return the event that `EditEvent.to_json` wrote.

    Parameters
    ----------
    text : str
        One line.

    Raises
    ------
    StudyError
        A newer version of the program wrote it.
    """
    record = json.loads(text)
    if record.pop("format", None) != FORMAT:
        raise StudyError(
            "The times of annotation were written by a newer version of napari-semiseg: update "
            "napari-semiseg."
        )
    return EditEvent(**record)


@dataclass(frozen=True)
class CaseTime:
    """Time that people spent on a case.

    Attributes
    ----------
    manual_seconds, correction_seconds : float
        Spent on labels that a person began, and on labels that began as a prediction.
    manual_edits, correction_edits : int
        Number of strokes and other edits of each.
    """

    manual_seconds: float = 0.0
    correction_seconds: float = 0.0
    manual_edits: int = 0
    correction_edits: int = 0

    @property
    def manual_minutes(self) -> float:
        """Minutes spent on labels that a person began."""
        return self.manual_seconds / 60

    @property
    def correction_minutes(self) -> float:
        """Minutes spent on labels that began as a prediction."""
        return self.correction_seconds / 60

    @property
    def minutes(self) -> float:
        """Both together."""
        return self.manual_minutes + self.correction_minutes

    def __add__(self, other: CaseTime) -> CaseTime:
        return CaseTime(
            self.manual_seconds + other.manual_seconds,
            self.correction_seconds + other.correction_seconds,
            self.manual_edits + other.manual_edits,
            self.correction_edits + other.correction_edits,
        )

    def __str__(self) -> str:
        parts = [
            f"{minutes:.1f} min {what}"
            for minutes, what in (
                (self.manual_minutes, "by hand"),
                (self.correction_minutes, "correcting"),
            )
            if minutes
        ]
        return " and ".join(parts) or "no time yet"


def time_by_case(
    events: Iterable[EditEvent], idle_seconds: float = IDLE_SECONDS
) -> dict[str, CaseTime]:
    """Return how long people worked on each case.

    The time before an edit counts for that edit, if the same person's last event was on the same
    case. Opening a case starts the clock; looking without painting counts for nothing.

    Parameters
    ----------
    events : iterable of EditEvent
        In any order.
    idle_seconds : float
        The longest that a pause counts.

    Returns
    -------
    dict of str to CaseTime
        Cases with at least one edit, in the order of their first one.
    """
    times: dict[str, CaseTime] = {}
    last: dict[str, EditEvent] = {}
    for event in sorted(events, key=_order):
        former = last.get(event.author)
        last[event.author] = event
        if event.activity == "opened":
            continue
        seconds = 0.0
        if former is not None and former.case == event.case:
            seconds = min((event.moment - former.moment).total_seconds(), idle_seconds)
        spent = (
            CaseTime(manual_seconds=seconds, manual_edits=1)
            if event.activity == "manual"
            else CaseTime(correction_seconds=seconds, correction_edits=1)
        )
        times[event.case] = times.get(event.case, CaseTime()) + spent
    return times


def _order(event: EditEvent) -> tuple[datetime, bool, str, str]:
    """Put events in the order of time, and an opening before the edits of the same moment."""
    return event.moment, event.activity != "opened", event.case, event.activity


def mean_time(times: Mapping[str, CaseTime]) -> dict[Activity, float]:
    """Return the mean minutes of a case that was drawn by hand, and of one that was corrected.

    A case with both kinds of edits counts as corrected: a prediction stood at some moment of it.

    Parameters
    ----------
    times : mapping of str to CaseTime
        From `time_by_case`.

    Returns
    -------
    dict of str to float
        Minutes by ``"manual"`` and ``"correction"``; a kind that no case has is missing.
    """
    kinds: dict[Activity, list[float]] = {}
    for time in times.values():
        kind: Activity = "correction" if time.correction_edits else "manual"
        kinds.setdefault(kind, []).append(time.minutes)
    return {kind: sum(minutes) / len(minutes) for kind, minutes in kinds.items()}
