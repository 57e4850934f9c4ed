"""The scans of a study: adding them, reading them, and finding them again after a move.

Scans stay where they are and are never written. Each is known by its path relative to the study
folder and by the hash of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import BadScan, ScanMissing, SemisegError, StudyError
from napari_semiseg.engine.study.cases import (
    Case,
    insert_case,
    read_case,
    read_cases,
    recorded_case,
    recorded_cases,
)
from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.study.storage import storage_errors
from napari_semiseg.engine.volumes.detached_data import detached_data
from napari_semiseg.engine.volumes.formats import image_suffix
from napari_semiseg.engine.volumes.reading import read_volume
from napari_semiseg.engine.volumes.scans import ScanSource, find_scans
from napari_semiseg.engine.volumes.volume import Volume

_READ_BYTES = 2**20


@dataclass(frozen=True)
class ScanProblem:
    """Why one scan was not added to the study.

    Attributes
    ----------
    source : ScanSource
        The scan; nothing about it was recorded.
    sentence : str
        What is wrong, where, and what to do.
    known_as : str or None
        Name of the case that has this scan already.
    """

    source: ScanSource
    sentence: str
    known_as: str | None = None


class ScanKnown(StudyError):
    """The study has the scan already.

    Attributes
    ----------
    case : str
        Name of the case that has it.
    """

    def __init__(self, sentence: str, case: str) -> None:
        super().__init__(sentence)
        self.case = case


def content_hash(paths: Sequence[Path]) -> str:
    """Return the SHA-256 of the bytes of files, in the order given.

    The files that a header names for its voxels count too. Hexadecimal; OSError tells that a file
    cannot be read.
    """
    digest = hashlib.sha256()
    for path in with_detached_data(paths):
        with open(path, "rb") as stream:
            while block := stream.read(_READ_BYTES):
                digest.update(block)
    return digest.hexdigest()


def with_detached_data(paths: Sequence[Path]) -> list[Path]:
    """Return the files of a scan with those that its headers name; OSError as `content_hash`."""
    return [file for path in paths for file in (path, *detached_data(path))]


class Scans:
    """``study.scans``: the scans of one study."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def add(self, source: ScanSource) -> Case:
        """Read a scan, prove that it can be used, and record it as an unlabelled case.

        Its files stay where they are.

        Raises
        ------
        BadScan
            If the scan is missing, cannot be read, or has voxels that are no numbers.
        ScanKnown
            If the study already has a case with this content.
        StudyError
            If it has another case of this name, or if its scans have another number of channels.
        """
        _refuse_missing(source)
        try:
            digest = content_hash(source.paths)
        except OSError as error:
            raise BadScan(
                f"The scan {source.name} cannot be read ({error.strerror or error}): check that you "
                "may open the file, then add it again."
            ) from error
        folder = self._records.folder
        _refuse_duplicate(recorded_cases(self._records), source, digest)
        volume = read_volume(source)
        _refuse_voxels_without_value(source, volume)
        with self._records.transaction() as connection:
            cases = read_cases(connection, folder)
            _refuse_duplicate(cases, source, digest)  # again: another program may have been faster
            _refuse_other_channels(cases, source, volume)
            insert_case(
                connection,
                name=source.name,
                source=json.dumps(source.to_dict(folder)),
                geometry=json.dumps(volume.geometry.to_dict()),
                channels=volume.voxels.shape[0],
                modality=volume.modality,
                content_hash=digest,
            )
            return read_case(connection, folder, source.name)

    def add_all(self, paths: Sequence[str | Path]) -> Iterator[Case | ScanProblem]:
        """Add every scan in files and folders, one a step; a bad one stops none of the others.

        Yields
        ------
        Case or ScanProblem
            One for each scan, in the order in which they were found.
        """
        for found in _find_each(paths):
            if isinstance(found, ScanProblem):
                yield found
                continue
            try:
                yield self.add(found)
            except ScanKnown as error:
                yield ScanProblem(found, str(error), error.case)
            except SemisegError as error:
                yield ScanProblem(found, str(error))

    def read(self, name: str) -> Volume:
        """Read the scan of a case: voxels (channels, z, y, x) on the grid that the study recorded.

        ScanMissing tells that it is no longer at its place; BadScan that it cannot be read or has
        another voxel grid than when it was added.
        """
        case = recorded_case(self._records, name)
        _refuse_missing(case.source)
        volume = read_volume(case.source)
        if volume.voxels.shape[0] != case.channels or not volume.geometry.matches(case.geometry):
            raise BadScan(
                f"The scan {case.name} at {case.source.paths[0]} has changed since it was added to "
                "the study: put the original file back, or remove the case and add the scan again."
            )
        return volume

    def relocate(self, place: str | Path) -> list[Case]:
        """Find scans that moved, proved by their content, and return their cases.

        In a folder, at any depth, the missing scans are looked for by their file names first, then
        among all other images, for they may have been renamed. A single file is taken for the scan
        that it is a copy of, also where a changed file stands in its place. StudyError tells that
        ``place`` does not exist, or that a file in it cannot be read.
        """
        place = Path(place)
        if not place.exists():
            raise StudyError(f"There is no folder {place}: choose the one that the scans moved to.")
        folder, cases = self._records.folder, recorded_cases(self._records)
        with storage_errors(place):
            moved = _moved_file(cases, place) if place.is_file() else _moved_scans(cases, place)
        found = []
        for case, source in moved:
            with self._records.transaction() as connection:
                connection.execute(
                    "UPDATE cases SET source = ? WHERE identifier = ?",
                    (json.dumps(source.to_dict(folder)), case.identifier),
                )
                found.append(read_case(connection, folder, case.name))
        return found


def _find_each(paths: Sequence[str | Path]) -> Iterator[ScanSource | ScanProblem]:
    try:
        yield from find_scans(paths)
        return
    except SemisegError as error:
        if len(paths) <= 1:
            for path in map(Path, paths):
                yield ScanProblem(ScanSource(path.name, (path,), "file"), str(error))
            return
    for each in paths:  # one of several is bad: the others are found without it
        yield from _find_each([each])


def _refuse_missing(source: ScanSource) -> None:
    missing = [path for path in source.paths if not path.exists()]
    if missing:
        raise ScanMissing(
            f"The scan {source.name} is no longer at {missing[0]}: put the file back, or tell the "
            "study the folder that it moved to (find moved scans)."
        )


def _refuse_duplicate(cases: Sequence[Case], source: ScanSource, digest: str) -> None:
    for case in cases:
        if case.content_hash == digest:
            raise ScanKnown(
                f"The scan {source.name} is already in the study as the case '{case.name}': there "
                "is no need to add it again.",
                case.name,
            )
    if any(case.name == source.name for case in cases):
        raise StudyError(
            f"The study already has another scan with the name '{source.name}': rename the new "
            "file and add it again."
        )


def _refuse_voxels_without_value(source: ScanSource, volume: Volume) -> None:
    if np.issubdtype(volume.voxels.dtype, np.inexact) and not np.isfinite(volume.voxels).all():
        raise BadScan(
            f"The scan {source.name} has voxels without a value (NaN or infinite): export it again "
            "with numbers in every voxel."
        )


def _refuse_other_channels(cases: Sequence[Case], source: ScanSource, volume: Volume) -> None:
    channels = volume.voxels.shape[0]
    if cases and cases[0].channels != channels:
        raise StudyError(
            f"The scan {source.name} has {channels} channel(s) and the scans of this study have "
            f"{cases[0].channels}: keep scans of different kinds in different studies."
        )


def _moved_file(cases: Sequence[Case], file: Path) -> list[tuple[Case, ScanSource]]:
    """Return the case that a file is the scan of, with its new source; none, or one."""
    digest = content_hash((file,))
    return [
        (case, ScanSource(case.source.name, (file,), case.source.kind))
        for case in cases
        if case.content_hash == digest and len(case.source.paths) == 1
    ]


def _moved_scans(cases: Sequence[Case], folder: Path) -> list[tuple[Case, ScanSource]]:
    """Return the missing cases that a folder holds, with their new sources."""
    missing = [case for case in cases if not all(path.exists() for path in case.source.paths)]
    if not missing:
        return []
    files = _images_below(folder, {case.source.paths[0].name for case in missing})
    by_name: dict[str, list[Path]] = {}
    for file in files:
        by_name.setdefault(file.name, []).append(file)
    moved, renamed = [], {}
    for case in missing:
        source = _moved_source(case, by_name.get(case.source.paths[0].name, []))
        if source is not None:
            moved.append((case, source))
        elif len(case.source.paths) == 1:
            renamed[case.content_hash] = case
    for file in files:
        if not renamed:
            break
        known = renamed.pop(content_hash((file,)), None)
        if known is not None:
            moved.append((known, ScanSource(known.source.name, (file,), known.source.kind)))
    order = {case.identifier: place for place, case in enumerate(cases)}
    return sorted(moved, key=lambda pair: order[pair[0].identifier])


def _images_below(folder: Path, names: set[str]) -> list[Path]:
    """Return the images below a folder, and the files with one of the names."""
    files: list[Path] = []
    for root, folders, entries in os.walk(folder):
        folders.sort()  # the same search gives the same answer everywhere
        found = (Path(root, entry) for entry in sorted(entries))
        files += [file for file in found if file.name in names or image_suffix(file) is not None]
    return files


def _moved_source(case: Case, places: Sequence[Path]) -> ScanSource | None:
    """Return the source at the first place where all its files lie as before and read the same."""
    first = case.source.paths[0]
    for place in places:
        paths = tuple(
            Path(os.path.normpath(place.parent / os.path.relpath(path, first.parent)))
            for path in case.source.paths
        )
        if all(path.is_file() for path in paths) and content_hash(paths) == case.content_hash:
            return ScanSource(case.source.name, paths, case.source.kind)
    return None
