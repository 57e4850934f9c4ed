"""The columns of the list of cases: what each says of a case, and how it sorts.

Pure functions without Qt, asked for the rows in sight alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from napari_semiseg.engine.review.time_ledger import in_minutes, time_words
from napari_semiseg.engine.study import Case, CaseState, ClassInfo
from napari_semiseg.engine.study.overview import CaseOverview

STATE_MEANINGS = {
    CaseState.UNLABELLED: "no label yet",
    CaseState.IN_PROGRESS: "painting has begun; training leaves it alone until it is labelled",
    CaseState.LABELLED: "finished by a person; training learns from it",
    CaseState.PREDICTED: "a prediction waits for review",
    CaseState.ACCEPTED: "a person accepted the prediction; training learns from it",
    CaseState.REJECTED: "a person rejected the prediction",
    CaseState.HELD_OUT: "locked: never trained on, kept to measure quality",
}
IN_PART = "parts of the prediction are accepted; training learns from those alone"
_STATE_ORDER = {state: place for place, state in enumerate(STATE_MEANINGS)}
_WARNING = "⚠"


@dataclass(frozen=True)
class CaseRow:
    """What is known of a case in a list.

    Attributes
    ----------
    case : Case
        Its records.
    overview : CaseOverview or None
        None while nobody has looked at it.
    unsure, trust : float or None
        Mean uncertainty of its prediction, and how far it may be trusted, 0…1; None if unknown.
    """

    case: Case
    overview: CaseOverview | None = None
    unsure: float | None = None
    trust: float | None = None

    @property
    def remark(self) -> str:
        """The second line under the name: what is wrong with the scan, or else its state."""
        findings = () if self.overview is None else self.overview.findings
        if self.overview is not None and self.overview.trouble is not None:
            return f"{_WARNING} {self.overview.trouble.trouble.value}"
        return " · ".join((self.case.standing, *(finding.trouble.value for finding in findings)))

    @property
    def words(self) -> str:
        """All that a filter by text looks in, in small letters."""
        return f"{self.case.name} {self.case.state.value} {self.remark}".lower()

    @property
    def has_trouble(self) -> bool:
        """Whether the scan cannot be used as it is."""
        return self.overview is not None and self.overview.trouble is not None


@dataclass(frozen=True)
class Column:
    """One column of the list.

    Attributes
    ----------
    title, tooltip : str
        For its header.
    text : callable
        What it says of a row.
    order : callable
        What rows are sorted by; None where the row says nothing, which comes last.
    widest : str
        A text that it has to have room for.
    class_value : int or None
        The class that it is about.
    """

    title: str
    tooltip: str
    text: Callable[[CaseRow], str]
    order: Callable[[CaseRow], Any]
    widest: str
    class_value: int | None = None


def percent(share: float | None) -> str:
    """Return a share such as ``"12 %"``; empty for None."""
    return "" if share is None else f"{100 * share:.0f} %"


def millilitres(volume: float | None) -> str:
    """Return a volume in mL with about three digits; empty for None."""
    if volume is None:
        return ""
    digits = 2 if volume < 10 else 1 if volume < 100 else 0
    return f"{volume:.{digits}f} mL"


def natural_order(name: str) -> list[tuple[bool, int, str]]:
    """Return what puts ``scan_2`` before ``scan_10``."""
    parts = re.split(r"(\d+)", name.lower())
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


SCAN = Column(
    "Scan",
    "Name of the scan, and what is wrong with it.",
    lambda row: row.case.name,
    lambda row: natural_order(row.case.name),
    "hippocampus_001",
)
STATE = Column(
    "State",
    "How far its label is.",
    lambda row: row.case.standing,
    lambda row: _STATE_ORDER.get(row.case.state, len(_STATE_ORDER)),
    "in progress",
)
UNSURE = Column(
    "Unsure",
    "How unsure the newest prediction is, on average over what it marks.",
    lambda row: percent(row.unsure),
    lambda row: row.unsure,
    "Unsure",
)
TRUST = Column(
    "Trust",
    "How far its prediction may be trusted; empty while nobody knows.",
    lambda row: percent(row.trust),
    lambda row: row.trust,
    "Trust",
)


TIME = Column(
    "Time",
    "How long people have worked on its label, by hand and correcting; pauses are left out.",
    lambda row: in_minutes(row.case.time.minutes) if row.case.time.edits else "",
    lambda row: row.case.time.minutes if row.case.time.edits else None,
    "under 0.1 min",
)


def _last_edit(row: CaseRow) -> str:
    saved = row.case.label_saved_at
    if saved is None:
        return ""
    return f"{datetime.fromisoformat(saved).astimezone():%d %b %y, %H:%M}"


EDITED = Column(
    "Last edited",
    "When its label was saved for the last time.",
    _last_edit,
    lambda row: row.case.label_saved_at,
    "30 Nov 26, 00:00 ",
)


def volume_column(item: ClassInfo) -> Column:
    """Return the column of a class's volume, of the label or else of the newest prediction."""

    def volume(row: CaseRow) -> float | None:
        marked = None if row.overview is None else row.overview.marked
        return None if marked is None else marked.volumes_ml.get(item.value, 0.0)

    return Column(
        item.name,
        f"Millilitres of {item.name} in the label, or else in the newest prediction (slanted).",
        lambda row: millilitres(volume(row)),
        volume,
        f"{item.name[:10]}MMM",
        class_value=item.value,
    )


def detailed_columns(classes: Sequence[ClassInfo]) -> tuple[Column, ...]:
    """Return the columns of the list of all scans."""
    volumes = (volume_column(item) for item in classes)
    return (SCAN, STATE, UNSURE, TRUST, *volumes, TIME, EDITED)


def full_text(row: CaseRow) -> str:
    """Return what the tooltip of a row says."""
    case = row.case
    size = " × ".join(str(length) for length in reversed(case.geometry.shape))
    spacing = " × ".join(f"{length:.2f}" for length in reversed(case.geometry.spacing))
    kind = f"{case.modality}, " if case.modality else ""
    lines = [
        f"{case.name}: {IN_PART if case.accepted_in_part else _meaning(case.state)}.",
        f"{kind}{size} voxels of {spacing} mm",
        str(case.source.paths[0]),
    ]
    if case.time.edits:
        lines.append(f"Time spent on its label: {time_words(case.time)}.")
    overview = row.overview
    if overview is not None:
        if overview.marked is not None and overview.marked.run is not None:
            lines.append(f"Volumes are those of the prediction of {overview.marked.run}.")
        lines += [finding.sentence for finding in overview.findings]
    return "\n".join(lines)


def sorted_rows(rows: Sequence[CaseRow], column: Column, descending: bool) -> list[CaseRow]:
    """Return rows in the order of a column; those of which it says nothing come last."""
    known = [row for row in rows if column.order(row) is not None]
    unknown = [row for row in rows if column.order(row) is None]
    return [*sorted(known, key=column.order, reverse=descending), *unknown]


def _meaning(state: CaseState) -> str:
    return STATE_MEANINGS.get(
        state, f"“{state.value}”, a state of another version of napari-semiseg"
    )
