"""What is wrong with the scan of a case, in plain words: gone, moved, changed, unreadable, unusual.

A scan lies outside the study, so anything may happen to it after it was added. The overview of the
study asks these functions, on a worker's thread; they read files and change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.study.cases import Case
from napari_semiseg.engine.study.scans.adding import content_hash
from napari_semiseg.engine.volumes.reading import read_volume
from napari_semiseg.engine.volumes.volume import Volume

VERY_LARGE_VOXELS = 2**27
"""Voxels, over all channels, from which on a scan is called very large: 512 × 512 × 512."""


class ScanTrouble(StrEnum):
    """What can be wrong with a scan, in the words for its row of a table."""

    FILE_MISSING = "file not found"
    FOLDER_MISSING = "folder not found"
    UNREADABLE = "cannot be read"
    OTHER_CHANNELS = "other number of channels"
    CHANGED = "file has changed"
    OBLIQUE = "oblique"
    VERY_LARGE = "very large"


NOTES = frozenset({ScanTrouble.OBLIQUE, ScanTrouble.VERY_LARGE})
"""What is unusual, but keeps nobody from using the scan."""


@dataclass(frozen=True)
class ScanFinding:
    """One thing that is wrong with a scan.

    Attributes
    ----------
    trouble : ScanTrouble
        What it is.
    sentence : str
        What is wrong, where, and what to do.
    """

    trouble: ScanTrouble
    sentence: str

    @property
    def is_note(self) -> bool:
        """Whether the scan can be used all the same."""
        return self.trouble in NOTES

    @property
    def is_mended_by_locating(self) -> bool:
        """Whether the study only has to be told where the scan, as it was added, lies now."""
        return not self.is_note


def find_notes(case: Case) -> Iterator[ScanFinding]:
    """Tell what is unusual about a scan, from the records alone."""
    if case.geometry.is_oblique:
        yield ScanFinding(
            ScanTrouble.OBLIQUE,
            "This scan is oblique: it is shown along its own voxel axes, and its labels are written "
            "back exactly. There is nothing to do.",
        )
    voxels = case.channels * math.prod(case.geometry.shape)
    if voxels >= VERY_LARGE_VOXELS:
        yield ScanFinding(
            ScanTrouble.VERY_LARGE,
            f"This scan has {voxels / 1e6:.0f} million voxels: opening and predicting it takes "
            "long. If only a part of it matters, cut that part out and add it in place of the scan.",
        )


def find_missing(case: Case) -> ScanFinding | None:
    """Tell whether a file of a scan is gone, or the folder that it was in.

    Returns
    -------
    ScanFinding or None
        None where every file is at its place.
    """
    missing = [path for path in case.source.paths if not path.exists()]
    if not missing:
        return None
    if not missing[0].parent.exists():
        return ScanFinding(
            ScanTrouble.FOLDER_MISSING,
            f"The folder {missing[0].parent} is not there: connect its drive, or tell the study "
            "which folder the scans moved to.",
        )
    return ScanFinding(
        ScanTrouble.FILE_MISSING,
        f"{missing[0].name} is no longer in {missing[0].parent}: put the file back, or tell the "
        "study where it is now.",
    )


def examine_scan(case: Case) -> tuple[ScanFinding | None, Volume | None]:
    """Read the whole scan of a case and compare it with the records.

    Parameters
    ----------
    case : Case
        A case of the study; its files are there.

    Returns
    -------
    tuple of (ScanFinding or None) and (Volume or None)
        What is wrong; and the scan, where it is the one that was added.
    """
    file = case.source.paths[0]
    try:
        volume = read_volume(case.source)
        changed = content_hash(case.source.paths) != case.content_hash
    except BadScan as problem:
        return ScanFinding(ScanTrouble.UNREADABLE, str(problem)), None
    except OSError as error:
        sentence = (
            f"The scan {case.name} at {file} cannot be read ({error.strerror or error}): check "
            "that you may open the file."
        )
        return ScanFinding(ScanTrouble.UNREADABLE, sentence), None
    channels = volume.voxels.shape[0]
    if channels != case.channels:
        sentence = (
            f"{file.name} now has {channels} channel(s) and had {case.channels} when it was added: "
            "put the original file back, or tell the study where it is."
        )
        return ScanFinding(ScanTrouble.OTHER_CHANNELS, sentence), None
    if changed:
        where = "lies on another voxel grid" if _moved_grid(case, volume) else "has other content"
        sentence = (
            f"{file.name} {where} than when it was added, so labels may no longer fit: put the "
            "original file back, tell the study where it is, or remove the scan and add it again."
        )
        return ScanFinding(ScanTrouble.CHANGED, sentence), None
    return None, volume


def _moved_grid(case: Case, volume: Volume) -> bool:
    return not volume.geometry.matches(case.geometry)
