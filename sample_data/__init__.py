"""Sixteen small brain scans with tissue labels, which come with the program.

The command line's ``demo``, napari's *File > Open Sample* and the tests read them from here, on any
thread; nothing is downloaded. The anatomy is real and the population simulated: README.md in this
folder says how. It gives paths and reads no voxels.
"""

from __future__ import annotations

from pathlib import Path

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.study.classes import ClassInfo

__all__ = ["CLASSES", "image_path", "label_path", "sample_cases", "sample_folder"]

CLASSES: tuple[ClassInfo, ...] = (
    ClassInfo(1, "cerebrospinal fluid", "#56b4e9"),
    ClassInfo(2, "grey matter", "#e69f00"),
    ClassInfo(3, "white matter", "#f0f0f0"),
)
"""Label values of the sample cases, with names and colours."""

_SUFFIX = ".nii.gz"


def sample_folder() -> Path:
    """Return the folder that holds ``images/`` and ``labels/``."""
    return Path(__file__).parent


def sample_cases() -> list[str]:
    """Return the names of the sample cases in order: ``brain_01`` to ``brain_16``."""
    images = (sample_folder() / "images").glob(f"*{_SUFFIX}")
    return sorted(path.name.removesuffix(_SUFFIX) for path in images)


def image_path(name: str) -> Path:
    """Return the scan of a sample case.

    Parameters
    ----------
    name : str
        One of :func:`sample_cases`.

    Returns
    -------
    pathlib.Path
        A NIfTI file, int16, T1-weighted and skull-stripped (0 outside the brain), 2 mm voxels.

    Raises
    ------
    BadScan
        If there is no such case.
    """
    return _existing("images", name)


def label_path(name: str) -> Path:
    """Return the tissue label of a sample case.

    Parameters
    ----------
    name : str
        One of :func:`sample_cases`.

    Returns
    -------
    pathlib.Path
        A NIfTI file, uint8 on the grid of the scan, with the values of :data:`CLASSES`.

    Raises
    ------
    BadScan
        If there is no such case.
    """
    return _existing("labels", name)


def _existing(kind: str, name: str) -> Path:
    """Return the path of one sample file, or say which cases there are."""
    path = sample_folder() / kind / f"{name}{_SUFFIX}"
    if not path.is_file():
        cases = sample_cases()
        known = f"choose one of {', '.join(cases)}" if cases else "reinstall napari-semiseg"
        raise BadScan(f"There is no sample case {name!r} in {path.parent}: {known}.")
    return path
