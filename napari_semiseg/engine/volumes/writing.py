"""Labels and maps to disk, on the native grid of their scan, whole or not at all.

A file is written beside its place and moved there when it is complete, so that a full disk or a crash
leaves the old one.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import BadLabel, GeometryMismatch, StudyError
from napari_semiseg.engine.volumes.class_names import (
    names_to_segments,
    sidecar_path,
    sidecar_text,
)
from napari_semiseg.engine.volumes.formats import (
    FileType,
    Writer,
    image_format,
    image_suffix,
    in_words,
    writable_endings,
)
from napari_semiseg.engine.volumes.geometry import Geometry

LARGEST_CLASS_VALUE = int(np.iinfo(np.uint16).max)


def write_label(
    path: str | Path,
    voxels: np.ndarray,
    geometry: Geometry,
    class_names: Mapping[int, str] | None = None,
) -> None:
    """Write a label on exactly the grid of its scan.

    Parameters
    ----------
    path : str or Path
        Where to write; the ending, one of `writable_endings`, decides the format.
    voxels : ndarray of integers or bool, shape (z, y, x)
        Class values; stored as uint8, or as uint16 where one is above 255.
    geometry : Geometry
        Grid of the scan; a NIfTI scan gets its sform, qform and their codes back bit for bit.
    class_names : mapping of int to str, optional
        What the values mean: written into NRRD files as segments, for other formats into NAME.json
        beside the label as ``{"labels": {name: value}}``.

    Raises
    ------
    BadLabel
        The values are not integers from 0 to 65535.
    GeometryMismatch
        ``voxels`` and ``geometry`` have different shapes.
    StudyError
        The format is unknown, or the disk refuses (read-only, full); an old file stays as it was.
    """
    path = Path(path)
    file_type, write = _type_to_write(path)
    label = _smallest_label_type(path, np.asarray(voxels))
    _check_shape(path, label.shape, geometry)
    header: dict[str, str] = {}
    texts: dict[str, str] = {}
    if file_type.names_classes:
        header = names_to_segments(class_names or {})
    elif class_names is not None:
        sidecar = sidecar_path(path)
        texts[sidecar.name] = sidecar_text(sidecar, class_names)
    _replace_files(path, lambda target: write(target, label, geometry, header), texts)


def write_map(path: str | Path, voxels: np.ndarray, geometry: Geometry) -> None:
    """Write a map of real numbers on exactly the grid of its scan, as float32.

    Parameters
    ----------
    path : str or Path
        Where to write; the ending, one of `writable_endings`, decides the format.
    voxels : ndarray, shape (z, y, x) or (channels, z, y, x)
        The map; NIfTI files get channels as the last of four dimensions.

    Raises
    ------
    GeometryMismatch
        ``voxels`` and ``geometry`` have different shapes.
    StudyError
        The format is unknown, or the disk refuses (read-only, full); an old file stays as it was.
    """
    path = Path(path)
    _, write = _type_to_write(path)
    values = np.asarray(voxels, dtype=np.float32)
    _check_shape(path, values.shape[1:] if values.ndim == 4 else values.shape, geometry)
    _replace_files(path, lambda target: write(target, values, geometry, {}), {})


def _type_to_write(path: Path) -> tuple[FileType, Writer]:
    file_type = image_format(path)
    if file_type is None or file_type.write is None or image_suffix(path) in file_type.read_only:
        endings = in_words(writable_endings())
        raise StudyError(f"{path} cannot be written: give it a name that ends with {endings}.")
    return file_type, file_type.write


def _smallest_label_type(path: Path, voxels: np.ndarray) -> np.ndarray:
    if voxels.dtype.kind not in "biu":
        raise BadLabel(
            f"{path} was not written: a label holds integers, not {voxels.dtype}; round the values "
            "to classes first."
        )
    lowest, highest = (int(voxels.min()), int(voxels.max())) if voxels.size else (0, 0)
    if lowest < 0 or highest > LARGEST_CLASS_VALUE:
        value = lowest if lowest < 0 else highest
        raise BadLabel(
            f"{path} was not written: the class value {value} is outside 0 to "
            f"{LARGEST_CLASS_VALUE}; renumber the classes."
        )
    return voxels.astype(np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16)


def _check_shape(path: Path, shape: tuple[int, ...], geometry: Geometry) -> None:
    if shape != geometry.shape:
        raise GeometryMismatch(
            f"{path} was not written: its shape is {shape} and the scan's is {geometry.shape} "
            "(z, y, x); use voxels on the grid of the scan."
        )


def _replace_files(path: Path, write: Callable[[Path], None], texts: Mapping[str, str]) -> None:
    """Write the image and small text files into a hidden folder beside, then move them in place.

    The image's own file moves last: until then a reader sees the old one.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as folder:
            write(Path(folder) / path.name)
            for name, text in texts.items():
                (Path(folder) / name).write_text(text, encoding="utf-8")
            written = sorted(Path(folder).iterdir(), key=lambda file: file.name == path.name)
            for file in written:
                _flush_to_disk(file)
            for file in written:
                os.replace(file, path.parent / file.name)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StudyError(
            f"{path} could not be written and an older file was left as it was: check that its "
            f"folder is writable and the disk not full ({' '.join(reason.split())[-200:]})."
        ) from error


def _flush_to_disk(file: Path) -> None:
    with file.open("r+b") as stream:
        os.fsync(stream.fileno())
