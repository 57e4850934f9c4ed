"""What a list of scans tells of each: its picture, what is wrong with it, and how much is marked.

All of it is read from the disk once and then kept in the study's cache, so that a study of hundreds
of scans is overviewed in moments when it is opened again. The desk asks for it on a worker's thread.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.stored import from_stored, stored_choice
from napari_semiseg.engine.study.cases import Case
from napari_semiseg.engine.study.scans.adding import with_detached_data
from napari_semiseg.engine.study.scans.checks import (
    ScanFinding,
    ScanTrouble,
    examine_scan,
    find_missing,
    find_notes,
)
from napari_semiseg.engine.study.scans.thumbnails import ThumbnailStore, make_thumbnail
from napari_semiseg.engine.study.storage import storage_errors, write_text
from napari_semiseg.engine.study.study import Study

SLAB_VOXELS = 2**20
"""Voxels that are counted at a time: Python's lock is not held for longer than milliseconds."""

SAVED_EVERY = 50
"""Cases after which what was found is kept, or a quarter of all, should the program end meanwhile."""

_FILE = "overview.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Marked:
    """How much a label, or else a prediction, marks in a scan.

    Attributes
    ----------
    run : str or None
        The run that predicted it; None for a label.
    volumes_ml : dict of int to float
        Class value to millilitres; classes without a voxel are left out.
    unsure : float or None
        Mean uncertainty of the newest prediction over what it marks, 0…1; over the whole scan where
        it marks nothing; None without a prediction or without its map of uncertainty.
    """

    run: str | None
    volumes_ml: dict[int, float]
    unsure: float | None = None


@dataclass(frozen=True, eq=False)
class CaseOverview:
    """What a list tells of one case.

    Attributes
    ----------
    case : str
        Name of the case.
    thumbnail : ndarray, shape (rows, columns), uint8, or None
        Its picture, as of when the scan was last seen whole.
    findings : tuple of ScanFinding
        What is wrong with the scan, and after it what is only unusual.
    marked : Marked or None
        None for a case with neither a label nor a prediction.
    """

    case: str
    thumbnail: np.ndarray | None = None
    findings: tuple[ScanFinding, ...] = ()
    marked: Marked | None = None

    @property
    def trouble(self) -> ScanFinding | None:
        """What keeps the scan from being used."""
        return next((finding for finding in self.findings if not finding.is_note), None)


@dataclass
class _Entry:
    """What the cache knows of one case, and of which files it is true."""

    scan: str = ""
    trouble: dict[str, str] | None = None
    marks: str = ""
    marked: dict[str, Any] | None = None


@dataclass
class _Cache:
    """The file ``overview.json`` in the cache of a study, which may be deleted at any time."""

    study: Study
    entries: dict[str, _Entry] = field(default_factory=dict)
    found: int = 0
    """Cases of which something new was found since the file was written."""

    def __post_init__(self) -> None:
        try:
            stored = json.loads((self.study.cache_folder / _FILE).read_text("utf-8"))
            entries = {key: _whole_entry(entry) for key, entry in stored.items()}
        except (OSError, ValueError, AttributeError):
            return  # missing or damaged: made anew
        self.entries = {key: entry for key, entry in entries.items() if entry is not None}

    def save(self) -> None:
        """Write the whole file, if there is anything new to write."""
        if not self.found:
            return
        self.found = 0
        text = json.dumps({key: vars(entry) for key, entry in self.entries.items()})
        try:
            with storage_errors(self.study.path):
                write_text(self.study.cache_folder / _FILE, text)
        except StudyError as problem:
            _log.warning("The overview is not kept: %s", problem)  # it works without a cache


def overview_cases(study: Study, names: Sequence[str] | None = None) -> Iterator[CaseOverview]:
    """Look at the scans, labels and newest predictions of cases.

    Parameters
    ----------
    names : sequence of str or None
        Names of cases; None takes all. Names that the study no longer has are passed over.

    Yields
    ------
    CaseOverview
        One a case, in the order of the study.
    """
    wanted = None if names is None else set(names)
    cases = [case for case in study.cases() if wanted is None or case.name in wanted]
    looking = _Looking(study)
    try:
        for case in cases:
            yield looking.at(case)
            # what is found is a fixed share of what is written, however large the file has grown
            if looking.cache.found >= max(SAVED_EVERY, len(looking.cache.entries) // 4):
                looking.cache.save()
    finally:
        looking.cache.save()


class _Looking:
    """Looks at cases, and anew only at what has changed since it is in the cache."""

    def __init__(self, study: Study) -> None:
        self.cache = _Cache(study)
        self._study = study
        self._thumbnails = ThumbnailStore(study.cache_folder)
        self._runs = study.runs.all()[::-1]

    def at(self, case: Case) -> CaseOverview:
        entry = self.cache.entries.setdefault(str(case.identifier), _Entry())
        thumbnail = self._thumbnails.load(case)
        notes = tuple(find_notes(case))
        trouble = find_missing(case)
        if trouble is None:
            trouble, thumbnail = self._examine(case, entry, thumbnail)
        return CaseOverview(
            case=case.name,
            thumbnail=thumbnail,
            findings=(*(() if trouble is None else (trouble,)), *notes),
            marked=self._measure(case, entry),
        )

    def _examine(
        self, case: Case, entry: _Entry, thumbnail: np.ndarray | None
    ) -> tuple[ScanFinding | None, np.ndarray | None]:
        signature = _signature(case)
        known = entry.scan == signature and signature != ""
        if known and (thumbnail is not None or entry.trouble is not None):
            return _restored(entry.trouble), thumbnail
        trouble, volume = examine_scan(case)
        if volume is not None and thumbnail is None:
            thumbnail = make_thumbnail(volume)
            try:
                self._thumbnails.save(case, thumbnail)
            except OSError as error:
                _log.warning("The picture of %s is not kept: %s", case.name, error)
        entry.scan, entry.trouble = signature, None if trouble is None else asdict(trouble)
        self.cache.found += 1
        return trouble, thumbnail

    def _measure(self, case: Case, entry: _Entry) -> Marked | None:
        run, predicted_at = self._newest_prediction(case)
        marks = f"{case.label_hash} {run} {predicted_at}"
        if entry.marks != marks:
            try:
                marked = measure_marked(self._study, case, run)
            except StudyError as problem:
                _log.warning("What is marked in %s is not measured: %s", case.name, problem)
                return None
            entry.marks, entry.marked = marks, None if marked is None else asdict(marked)
            self.cache.found += 1
        return _marked(entry.marked)

    def _newest_prediction(self, case: Case) -> tuple[str | None, int]:
        """Return the newest run that predicted a case, and when, as the disk counts time."""
        for run in self._runs:
            # asked of the disk at once: a study has thousands of pairs of a case and a run
            try:
                stored = run.folder / "maps" / str(case.identifier) / "prediction.zarr"
                return run.identifier, stored.stat().st_mtime_ns
            except FileNotFoundError:
                continue
        return None, 0


def measure_marked(study: Study, case: Case, run: str | None) -> Marked | None:
    """Measure what the label of a case, or else a prediction, marks.

    Parameters
    ----------
    run : str or None
        The newest run that predicted it; None where none has.

    Returns
    -------
    Marked or None
        None without a label and without a prediction.

    Raises
    ------
    StudyError
        If the label or a map is damaged.
    """
    counts, unsure = np.zeros(256, np.int64), None
    label = study.labels.load(case.name) if case.has_label else None
    if run is not None:
        prediction = study.runs.maps.load(run, case.name, "prediction").array
        uncertainty = None
        if "uncertainty" in study.runs.maps.kinds(run, case.name):
            uncertainty = study.runs.maps.load(run, case.name, "uncertainty").array
        counts, unsure = _measure_prediction(prediction, uncertainty)
    if label is not None:
        counts = sum((_count(slab) for slab in _slabs(label)), np.zeros(256, np.int64))
    elif run is None:
        return None
    ml = case.geometry.voxel_volume_ml
    volumes = {int(value): float(counts[value] * ml) for value in np.flatnonzero(counts) if value}
    return Marked(run if label is None else None, volumes, unsure)


def _measure_prediction(prediction: Any, uncertainty: Any) -> tuple[np.ndarray, float | None]:
    """Return voxels per class value of a map (z, y, x), and its mean uncertainty or None."""
    counts = np.zeros(256, np.int64)
    inside = everywhere = 0.0
    rows = prediction.chunks[0]
    for start in range(0, prediction.shape[0], rows):
        predicted = np.asarray(prediction[start : start + rows])
        unsure = None
        if uncertainty is not None:
            unsure = np.asarray(uncertainty[start : start + rows])
            everywhere += float(unsure.sum(dtype=np.float64))
            inside += float(unsure[predicted > 0].sum(dtype=np.float64))
        for slab in _slabs(predicted):
            counts += _count(slab)
    if uncertainty is None:
        return counts, None
    marked = int(counts[1:].sum())
    # the background is left out: it is large and sure, and would make all cases look alike
    return counts, inside / marked if marked else everywhere / int(counts.sum())


def _slabs(voxels: np.ndarray) -> Iterator[np.ndarray]:
    flat = voxels.reshape(-1)
    for start in range(0, flat.size, SLAB_VOXELS):
        yield flat[start : start + SLAB_VOXELS]


def _count(slab: np.ndarray) -> np.ndarray:
    return np.bincount(slab, minlength=256)


def _signature(case: Case) -> str:
    """Return what changes whenever a file of the scan is written; empty where one is gone."""
    parts = [case.content_hash]
    try:
        for path in with_detached_data(case.source.paths):
            status = path.stat()
            parts.append(f"{status.st_size} {status.st_mtime_ns}")
    except OSError:
        return ""
    return " ".join(parts)


def _whole_entry(record: Mapping[str, Any]) -> _Entry | None:
    """Return what the cache kept of a case; None where another version kept too little of it."""
    try:
        entry = from_stored(_Entry, record)
        _restored(entry.trouble)
        _marked(entry.marked)
    except (KeyError, StudyError):
        return None
    return entry


def _marked(record: Mapping[str, Any] | None) -> Marked | None:
    if record is None:
        return None
    volumes = {int(value): ml for value, ml in record["volumes_ml"].items()}
    return from_stored(Marked, {**record, "volumes_ml": volumes})


def _restored(trouble: Mapping[str, str] | None) -> ScanFinding | None:
    if trouble is None:
        return None
    kind = stored_choice(ScanTrouble, trouble["trouble"])
    return from_stored(ScanFinding, {**trouble, "trouble": kind})
