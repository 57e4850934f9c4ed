"""What the list of scans tells beyond the records.

Pictures, volumes and what is wrong with scans are found out on another thread, a few cases at a time,
and told as they come. Main thread only.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.study.overview import CaseOverview, overview_cases
from napari_semiseg.gui.open_study.advice import plural
from napari_semiseg.gui.open_study.latest import Latest
from napari_semiseg.gui.scans.scans import locate_scans

if TYPE_CHECKING:
    from napari_semiseg.gui.open_study.open_study import OpenStudy

TOLD_EVERY_SECONDS = 0.2
"""Cases are told together where they are found faster than this."""


class Overview:
    """What is known of the cases of the open study.

    Attributes
    ----------
    cases : dict of str to CaseOverview
        By name; a case that was not looked at yet is not among them.
    changed : psygnal.Signal
        Emitted with the names of the cases of which more is known.
    """

    changed = Signal(object)

    def __init__(self, open_study: OpenStudy) -> None:
        self._open = open_study
        self.cases: dict[str, CaseOverview] = {}
        self._seen: dict[str, tuple[Any, ...]] = {}
        """What the records said of a case when it was looked at."""
        self._waiting: set[str] = set()
        self._looking = Latest(open_study)
        open_study.leaving.connect(self._forget)

    @property
    def busy(self) -> bool:
        """Whether cases are being looked at."""
        return self._looking.busy

    def look(self, everywhere: bool = False) -> None:
        """Look at the cases whose records have changed since they were looked at.

        Parameters
        ----------
        everywhere : bool
            Look at all cases: their files may have changed, or predictions may have come.
        """
        study, records = self._open.study, self._open.records
        if study is None:
            return
        now = {case.name: _records_of(case) for case in records.cases}
        for gone in self.cases.keys() - now.keys():
            del self.cases[gone]
        wanted = [name for name, seen in now.items() if everywhere or self._seen.get(name) != seen]
        self._seen = now
        self.look_at(wanted)

    def look_at(self, names: Iterable[str]) -> None:
        """Look at some cases, whatever is known of them."""
        self._waiting.update(names)
        self._start()

    def _start(self) -> None:
        study = self._open.study
        if study is None or self._looking.busy or not self._waiting:
            return
        names, self._waiting = sorted(self._waiting), set()
        self._looking.start(
            look_at_scans,
            study,
            names,
            done=lambda _: self._start(),
            failed=self._on_failed,
            progress=self._on_found,
        )

    def _on_found(self, found: Sequence[CaseOverview]) -> None:
        self.cases.update({item.case: item for item in found})
        self.changed.emit([item.case for item in found])

    def _on_failed(self, sentence: str) -> None:
        self._open.warn(f"Not all scans could be looked at. {sentence}")
        self._start()

    def locate(self, place: str | Path) -> None:
        """Find scans that moved, by their content: in a folder, or the one that this file is."""
        study = self._open.study
        if study is not None:
            self._open.start_job(
                "Looking for scans", locate_scans, study, place, done=self._on_located
            )

    def _on_located(self, outcome: tuple[int, int]) -> None:
        found, missing = outcome
        if not found:
            self._open.warn("None of the scans that are looked for is there: choose another place.")
        else:
            left = f" {missing} are still missing." if missing else ""
            self._open.tell(f"{plural(found, 'scan')} found again.{left}")

    def _forget(self) -> None:
        self.cases, self._seen, self._waiting = {}, {}, set()


def _records_of(case: Case) -> tuple[Any, ...]:
    """Return what, where it changes, makes the overview of a case out of date."""
    return case.identifier, case.source, case.label_hash, case.hidden_state


def look_at_scans(study: Study, names: Sequence[str]) -> Iterator[list[CaseOverview]]:
    """Look at cases on a worker's thread.

    Yields
    ------
    list of CaseOverview
        Those found since the last ones; the desk can stop it between two.
    """
    yield from _gathered(overview_cases(study, names))


def _gathered(found: Iterable[CaseOverview]) -> Iterator[list[CaseOverview]]:
    gathered: list[CaseOverview] = []
    told = time.monotonic()
    for item in found:
        gathered.append(item)
        if time.monotonic() - told >= TOLD_EVERY_SECONDS:
            yield gathered
            gathered, told = [], time.monotonic()
    if gathered:
        yield gathered
