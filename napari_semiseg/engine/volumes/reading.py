"""Scans and labels from disk, each on its own grid, checked before anybody works with them.

Large NIfTI scans are read slab by slab into a temporary file, others whole into memory. Every problem
of a file is one sentence with its path.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from napari_semiseg.engine.errors import BadLabel, BadScan, GeometryMismatch, ScanMissing
from napari_semiseg.engine.volumes.class_names import read_sidecar, segments_to_names
from napari_semiseg.engine.volumes.dicom import read_series
from napari_semiseg.engine.volumes.formats import Image, image_format, readable
from napari_semiseg.engine.volumes.geometry import Geometry, describe_difference
from napari_semiseg.engine.volumes.large_arrays import release, slabs
from napari_semiseg.engine.volumes.scans import ScanSource
from napari_semiseg.engine.volumes.volume import LabelVolume, Volume

MOST_VALUES_NAMED = 8


def read_volume(source: ScanSource | str | Path) -> Volume:
    """Read a scan.

    Parameters
    ----------
    source : ScanSource, str or Path
        What `find_scans` found; or an image file; or a folder with exactly one DICOM series.

    Returns
    -------
    Volume
        Voxels (channels, z, y, x) on the scan's own grid: integers as stored where the file has no
        rescale, else float32.

    Raises
    ------
    ScanMissing
        A file is no longer there.
    BadScan
        A file is truncated or in no readable format; the channels of a scan do not lie on one
        grid; a DICOM folder has no or several series, or one that makes no volume (uneven, missing
        or doubled slices, gantry tilt, mixed sizes); some voxels are NaN or infinite.
    """
    if not isinstance(source, ScanSource):
        path = Path(source)
        is_image = image_format(path) is not None and not path.is_dir()
        source = ScanSource(path.name, (path,), "file" if is_image else "dicom")
    for path in source.paths:
        if not path.exists():
            raise ScanMissing(
                f"{path} is not there any more; put the file back, connect the drive that holds "
                "it, or add the scan again from its new place."
            )
    if source.kind == "dicom":
        volume = read_series(_with_folders_opened(source.paths))
    else:
        volume = _read_channels(source.paths)
    _require_finite(volume, source.paths)
    return volume


def read_label(
    path: str | Path,
    scan: Geometry | None = None,
    allowed: Collection[int] | None = None,
) -> LabelVolume:
    """Read a label and check that it can be used.

    Parameters
    ----------
    path : str or Path
        A NIfTI, NRRD or MetaImage file of whole numbers (floats without fraction are fine).
    scan : Geometry, optional
        Grid of the scan that the label must lie on; rounding noise up to 0.001 mm is forgiven, and
        the label then has the scan's geometry.
    allowed : collection of int, optional
        Class values that the study knows; 0 (background) is always allowed.

    Returns
    -------
    LabelVolume
        Voxels (z, y, x) as uint8, or uint16 where a value is above 255, and the class names that
        the file or its sidecar gives.

    Raises
    ------
    ScanMissing
        The file does not exist.
    BadLabel
        The file cannot be read, has several channels, or values that are not whole, negative,
        above 65535, or of no class.
    GeometryMismatch
        Shape, voxel size, orientation or origin differ from the scan's.
    """
    path = Path(path)
    if not path.is_file():
        raise ScanMissing(f"The label {path} does not exist; check its name and folder.")
    try:
        voxels, geometry, metadata = _read_file(path)
    except BadScan as error:
        raise BadLabel(str(error)) from error
    if len(voxels) != 1:
        raise BadLabel(
            f"The label {path} has {len(voxels)} channels or layers; export it as one label map "
            "with one class value a voxel."
        )
    label = _as_class_values(path, voxels[0])
    if allowed is not None:
        _require_allowed(path, label, allowed)
    if scan is not None:
        difference = describe_difference(geometry, scan)
        if difference is not None:
            raise GeometryMismatch(
                f"The label {path} does not lie on the voxel grid of its scan: {difference}; "
                "resample it onto the scan, or pick the label that was drawn on this scan."
            )
        geometry = scan
    file_type = image_format(path)
    in_header = file_type is not None and file_type.names_classes
    class_names = (segments_to_names(metadata) if in_header else {}) or read_sidecar(path)
    return LabelVolume(label, geometry, class_names)


def _read_file(path: Path) -> Image:
    """Return voxels (channels, z, y, x), grid and header entries of one image file."""
    file_type = image_format(path)
    if file_type is None or file_type.read is None:
        raise BadScan(f"{path} is in no readable format; export it as {readable()}.")
    return file_type.read(path)


def _read_channels(paths: tuple[Path, ...]) -> Volume:
    """Read one file, or one file a channel on a common grid."""
    voxels, geometry, _ = _read_file(paths[0])
    if len(paths) == 1:
        return Volume(voxels, geometry)
    channels = [voxels]
    for path in paths[1:]:
        voxels, other, _ = _read_file(path)
        difference = describe_difference(other, geometry)
        if difference is not None:
            clause = difference.replace("the scan's", f"that of {paths[0].name}")
            raise BadScan(
                f"{path} does not lie on the voxel grid of the scan's first channel: {clause}; "
                "resample the channels onto one grid."
            )
        channels.append(voxels)
    return Volume(np.concatenate(channels), geometry)


def _with_folders_opened(paths: tuple[Path, ...]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [file for file in found if file.is_file() and not file.name.startswith(".")]
    if not files:
        raise BadScan(f"The folder {paths[0]} is empty; pick the folder that holds the scan.")
    return files


def _require_finite(volume: Volume, paths: tuple[Path, ...]) -> None:
    """Raise BadScan naming how many voxels are NaN or infinite, and where the first one is."""
    if volume.voxels.dtype.kind != "f":
        return
    count, first = 0, None
    for channel, voxels in enumerate(volume.voxels):
        for rows in slabs(voxels.shape):
            is_finite = np.isfinite(voxels[rows])
            missing = is_finite.size - int(np.count_nonzero(is_finite))
            if missing and first is None:
                z, y, x = np.unravel_index(int(np.argmin(is_finite)), is_finite.shape)
                first = f"x {x}, y {y}, z {rows.start + z}" + (
                    f" of {volume.channel_names[channel]}" if len(volume.voxels) > 1 else ""
                )
            count += missing
            release(voxels)
    if count:
        place = paths[0] if len(paths) == 1 else paths[0].parent
        voxel = "voxel that is" if count == 1 else "voxels that are"
        raise BadScan(
            f"{place} has {count} {voxel} not a number or infinite, the first at {first} (counted "
            "from 0); replace such values before you add the scan."
        )


def _as_class_values(path: Path, voxels: np.ndarray) -> np.ndarray:
    """Return whole, non-negative values as uint8 or uint16."""
    if voxels.dtype.kind == "f":
        # The test is written so that NaN fails it, too.
        is_whole = voxels == np.floor(voxels)
        wrong = is_whole.size - int(np.count_nonzero(is_whole))
        if wrong:
            example = voxels[~is_whole][0]
            raise BadLabel(
                f"The label {path} has {wrong} voxels that are not whole numbers ({example:g} for "
                "one); it may be a probability map, or was resampled with smoothing: export the "
                "label with nearest-neighbour resampling."
            )
    lowest, highest = float(voxels.min()), float(voxels.max())
    if lowest < 0 or highest > np.iinfo(np.uint16).max:
        value = lowest if lowest < 0 else highest
        raise BadLabel(
            f"The label {path} has the value {value:g}; class values go from 0 to 65535: renumber "
            "the classes."
        )
    small = np.uint8 if highest <= np.iinfo(np.uint8).max else np.uint16
    return np.ascontiguousarray(voxels, dtype=small)


def _require_allowed(path: Path, label: np.ndarray, allowed: Collection[int]) -> None:
    is_present = np.zeros(int(label.max()) + 1, dtype=bool)
    for section in label:
        # By section, because counting turns every voxel into eight bytes.
        is_present |= np.bincount(section.ravel(), minlength=len(is_present)) > 0
    present = np.flatnonzero(is_present).tolist()
    foreign = [value for value in present if value != 0 and value not in allowed]
    if foreign:
        named = ", ".join(str(value) for value in foreign[:MOST_VALUES_NAMED])
        more = ", …" if len(foreign) > MOST_VALUES_NAMED else ""
        known = ", ".join(str(value) for value in sorted(allowed))
        raise BadLabel(
            f"The label {path} has the values {named}{more} that no class of the study has (its "
            f"classes are {known}); add the classes to the study or renumber the label."
        )
