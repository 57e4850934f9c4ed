"""Which file formats are read and written, told by the end of a file's name.

Called by reading, writing and the search for scans; touches no file.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path


class FileFormat(StrEnum):
    """The image formats with one file (or one header file) a volume."""

    NIFTI = "NIfTI"
    NRRD = "NRRD"
    META_IMAGE = "MetaImage"


SUFFIXES: dict[str, FileFormat] = {
    ".nii.gz": FileFormat.NIFTI,
    ".nii": FileFormat.NIFTI,
    ".seg.nrrd": FileFormat.NRRD,
    ".nrrd": FileFormat.NRRD,
    ".nhdr": FileFormat.NRRD,
    ".mha": FileFormat.META_IMAGE,
    ".mhd": FileFormat.META_IMAGE,
}
WRITABLE = ".nii.gz, .nii, .nrrd, .mha or .mhd"
READABLE = "NIfTI (.nii, .nii.gz), NRRD (.nrrd), MetaImage (.mha, .mhd) or DICOM"


def image_suffix(path: Path) -> str | None:
    """Return the known image suffix that ``path`` ends with (".nii.gz" before ".gz"), or None."""
    name = path.name.lower()
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def image_format(path: Path) -> FileFormat | None:
    """Return the format that the name of ``path`` promises, or None for an unknown one."""
    suffix = image_suffix(path)
    return None if suffix is None else SUFFIXES[suffix]


def image_stem(path: Path) -> str:
    """Return the file's name without its image suffix: "case_1" for "case_1.nii.gz"."""
    suffix = image_suffix(path)
    return path.stem if suffix is None else path.name[: -len(suffix)]
