"""The one table of file types: by what ending each is told, how it is read and how it is written.

`napari.yaml`, which napari reads without running anything, repeats the endings; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from napari_semiseg.engine.volumes.geometry import Geometry

Image = tuple["np.ndarray", "Geometry", dict[str, str]]
"""Voxels (channels, z, y, x), their grid, and the entries of the header."""

Reader = Callable[[Path], Image]
Writer = Callable[[Path, "np.ndarray", "Geometry", Mapping[str, str]], None]
"""Writes voxels ([channels, ]z, y, x) on their grid, with entries of the header where it has any."""


@dataclass(frozen=True)
class FileType:
    """A type of image files with one file, or one header file, a volume.

    Attributes
    ----------
    name : str
        As people call it.
    endings : tuple of str
        Small letters, with the dot.
    read : callable or None
        None where a volume is a series of files, which `dicom` reads.
    write : callable or None
        None where it is only read.
    read_only : tuple of str
        Endings that are read, but not written.
    holds_labels : bool
        Whether labels come in it, or scans alone.
    names_classes : bool
        Whether its header names the classes of a label; else a file beside it does.
    """

    name: str
    endings: tuple[str, ...]
    read: Reader | None
    write: Writer | None
    read_only: tuple[str, ...] = ()
    holds_labels: bool = True
    names_classes: bool = False

    def __str__(self) -> str:
        return self.name


# the libraries are imported when they are used, so that the desk opens sooner


def _read_nifti(path: Path) -> Image:
    from napari_semiseg.engine.volumes.nifti import read_nifti

    return (*read_nifti(path), {})


def _write_nifti(
    path: Path, voxels: np.ndarray, geometry: Geometry, header: Mapping[str, str]
) -> None:
    from napari_semiseg.engine.volumes.nifti import save_nifti

    save_nifti(path, voxels, geometry)


def _read_itk(file_type: str, path: Path) -> Image:
    from napari_semiseg.engine.volumes.itk import read_itk

    return read_itk(path, file_type)


def _write_itk(
    path: Path, voxels: np.ndarray, geometry: Geometry, header: Mapping[str, str]
) -> None:
    from napari_semiseg.engine.volumes.itk import save_itk

    save_itk(path, voxels, geometry, header)


FILE_TYPES: tuple[FileType, ...] = (
    FileType("NIfTI", (".nii.gz", ".nii"), _read_nifti, _write_nifti),
    FileType(
        "NRRD",
        (".seg.nrrd", ".nrrd", ".nhdr"),
        partial(_read_itk, "NRRD"),
        _write_itk,
        read_only=(".nhdr",),
        names_classes=True,
    ),
    FileType("MetaImage", (".mha", ".mhd"), partial(_read_itk, "MetaImage"), _write_itk),
    FileType("DICOM", (".dcm",), None, None, holds_labels=False),
)


def image_format(path: Path) -> FileType | None:
    """Return the type that the name of an image file promises; None for others, and for DICOM."""
    suffix = image_suffix(path)
    return next((each for each in FILE_TYPES if suffix in each.endings), None)


def image_suffix(path: Path) -> str | None:
    """Return the known image suffix that ``path`` ends with (".nii.gz" before ".gz"), or None."""
    name = path.name.lower()
    endings = [ending for each in FILE_TYPES if each.read is not None for ending in each.endings]
    return max((ending for ending in endings if name.endswith(ending)), key=len, default=None)


def image_stem(path: Path) -> str:
    """Return the file's name without its image suffix: "case_1" for "case_1.nii.gz"."""
    suffix = image_suffix(path)
    return path.stem if suffix is None else path.name[: -len(suffix)]


def label_endings() -> list[str]:
    """Return the endings of files that may be labels, the usual ones first."""
    labels = [each for each in FILE_TYPES if each.holds_labels]
    return sorted(
        (ending for each in labels for ending in each.endings),
        key=lambda ending: any(ending in each.read_only for each in labels),
    )


def writable_endings() -> list[str]:
    """Return the endings of files that can be written."""
    return [
        ending
        for each in FILE_TYPES
        if each.write is not None
        for ending in _told_apart(each)
        if ending not in each.read_only
    ]


def readable() -> str:
    """Return what can be read, in words."""
    *most, last = (
        f"{each} ({', '.join(_told_apart(each))})" if each.read is not None else str(each)
        for each in FILE_TYPES
    )
    return f"{', '.join(most)} or {last}"


def patterns(labels_only: bool = False) -> list[str]:
    """Return file name patterns such as ``"*.nii.gz"``, for dialogs and for `napari.yaml`."""
    types = [each for each in FILE_TYPES if each.holds_labels or not labels_only]
    return [f"*{ending}" for each in types for ending in _told_apart(each)]


def in_words(endings: Iterable[str]) -> str:
    """Return a choice of endings such as ``".nii, .mha or .mhd"``."""
    *most, last = endings
    return f"{', '.join(most)} or {last}" if most else last


def _told_apart(file_type: FileType) -> list[str]:
    """Return the endings that say something: ".seg.nrrd" ends with ".nrrd" anyway."""
    others = file_type.endings
    return [e for e in others if not any(e != other and e.endswith(other) for other in others)]
