"""Scans on disk before they are read: what belongs together, and under which name.

`find_scans` turns files and folders that a user picked into one `ScanSource` a scan.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_semiseg.engine.errors import BadScan, ScanMissing
from napari_semiseg.engine.stored import from_stored
from napari_semiseg.engine.volumes.dicom import DicomSlice, group_series, read_slices
from napari_semiseg.engine.volumes.formats import image_format, image_stem, image_suffix, readable

CHANNEL_FILE = re.compile(r"(?P<name>.+)_(?P<channel>\d{4})")
MOST_CHANNEL_FILES = 8


@dataclass(frozen=True)
class ScanSource:
    """Where a scan lies on disk.

    Attributes
    ----------
    name : str
        Name of the scan, from its file or folder.
    paths : tuple of Path
        One file; or one file a channel; or the files of one DICOM series in slice order.
    kind : {"file", "channels", "dicom"}
        How the paths make up the scan.
    """

    name: str
    paths: tuple[Path, ...]
    kind: Literal["file", "channels", "dicom"]

    def to_dict(self, relative_to: Path) -> dict[str, Any]:
        """Return JSON values with paths relative to the folder ``relative_to``.

        A path on another drive, which has no relative form, stays absolute.
        """
        start = Path(relative_to).resolve()
        return {
            "name": self.name,
            "kind": self.kind,
            "paths": [_relative(path, start) for path in self.paths],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any], relative_to: Path) -> ScanSource:
        """Return the source that `to_dict` recorded, seen from the folder ``relative_to``."""
        start = os.path.realpath(relative_to)
        paths = tuple(Path(os.path.normpath(os.path.join(start, path))) for path in record["paths"])
        return from_stored(cls, {**record, "paths": paths}, "The place of a scan")


def find_scans(paths: Sequence[str | Path]) -> list[ScanSource]:
    """Find the scans in files and folders.

    Parameters
    ----------
    paths : sequence of str or Path
        Image files, DICOM files, folders of image files, and folders of DICOM files at any depth.
        In a folder without images of its own, subfolders are searched. Files ``NAME_0000``,
        ``NAME_0001``, … (nnU-Net's names, at most 8) become the channels of one scan.

    Returns
    -------
    list of ScanSource
        Sorted by name, names unique; one source a DICOM series.

    Raises
    ------
    ScanMissing
        A path does not exist.
    BadScan
        A file is in no readable format, or a folder holds no scans.
    """
    images: list[Path] = []
    slices: dict[str, DicomSlice] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise ScanMissing(f"{path} does not exist; check the name, or whether a drive is off.")
        found_images, found_slices = _search(path)
        if not found_images and not found_slices:
            what = "holds no scans" if path.is_dir() else "is not a readable image"
            raise BadScan(f"{path} {what}; scans are {readable()} files.")
        images += [image for image in found_images if image not in images]
        # A copy of a slice in another folder is still the same slice.
        slices |= {dicom.instance: dicom for dicom in found_slices if dicom.instance not in slices}
    sources = [*_group_channels(images), *_series_sources(slices.values())]
    return sorted(_with_unique_names(sources), key=lambda source: source.name)


def _relative(path: Path, start: Path) -> str:
    # Only folders are resolved: the scan itself may be a link into a store of files by content.
    place = path.parent.resolve() / path.name
    try:
        return Path(os.path.relpath(place, start)).as_posix()
    except ValueError:
        return place.as_posix()


def _search(path: Path) -> tuple[list[Path], list[DicomSlice]]:
    """Return the image files and the DICOM slices of one file or folder."""
    if path.is_file():
        is_image = image_suffix(path) is not None
        return ([path], []) if is_image else ([], read_slices([path]))
    try:
        files = [file for file in sorted(path.iterdir()) if not file.name.startswith(".")]
    except OSError as error:
        raise BadScan(
            f"The folder {path} cannot be opened ({error.strerror}); check its permissions."
        ) from error
    images = [file for file in files if image_suffix(file) is not None and file.is_file()]
    others = [file for file in files if image_suffix(file) is None and file.is_file()]
    slices = read_slices(others)
    if not images:
        for folder in files:
            if folder.is_dir():
                found_images, found_slices = _search(folder)
                images += found_images
                slices += found_slices
    return images, slices


def _group_channels(images: Iterable[Path]) -> list[ScanSource]:
    """Put the channel files of one scan together; every other file is a scan of its own."""
    groups: dict[tuple[Path, str, object], dict[int, Path]] = defaultdict(dict)
    sources: list[ScanSource] = []
    for path in images:
        match = CHANNEL_FILE.fullmatch(image_stem(path))
        if match is None:
            sources.append(ScanSource(image_stem(path), (path,), "file"))
        else:
            key = (path.parent, match["name"], image_format(path))
            groups[key][int(match["channel"])] = path
    for (_, name, _), files in groups.items():
        # A long or gappy row of numbers counts scans, not the channels of one scan.
        if sorted(files) != list(range(len(files))) or len(files) > MOST_CHANNEL_FILES:
            sources += [ScanSource(image_stem(file), (file,), "file") for file in files.values()]
        elif len(files) == 1:
            sources.append(ScanSource(name, (files[0],), "file"))
        else:
            channels = tuple(files[channel] for channel in sorted(files))
            sources.append(ScanSource(name, channels, "channels"))
    return sources


def _series_sources(slices: Iterable[DicomSlice]) -> list[ScanSource]:
    """Return one source a DICOM series, named after its folder (never after the patient)."""
    series = group_series(slices)
    folders = Counter(members[0].path.parent for members in series.values())
    sources = []
    for members in series.values():
        folder = members[0].path.parent
        name = folder.resolve().name or "scan"
        if folders[folder] > 1:
            name = f"{name}_{members[0].title}"
        paths = tuple(member.path for member in members)
        sources.append(ScanSource(name, paths, "dicom"))
    return sources


def _with_unique_names(sources: list[ScanSource]) -> list[ScanSource]:
    """Put the folder's name, then a number, to names that several scans have."""
    counts = Counter(source.name for source in sources)
    named: dict[str, ScanSource] = {}
    for source in sources:
        name = source.name
        if counts[name] > 1 and source.kind != "dicom":
            name = f"{source.paths[0].parent.resolve().name}_{name}"
        candidate, number = name, 2
        while candidate in named:
            candidate, number = f"{name}_{number}", number + 1
        named[candidate] = replace(source, name=candidate)
    return list(named.values())
