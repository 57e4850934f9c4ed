"""DICOM series in: which files belong together, and whether they make an even volume.

Headers and pixels are read by the GDCM reader inside SimpleITK, slice by slice, with the rescale
applied; positions come from ImagePositionPatient alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own customary name

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes.geometry import Geometry, is_usable_affine
from napari_semiseg.engine.volumes.itk import ras_to_lps
from napari_semiseg.engine.volumes.volume import Volume

SERIES_UID, INSTANCE_UID = "0020|000e", "0008|0018"
SERIES_NUMBER, SERIES_DESCRIPTION = "0020|0011", "0008|103e"
MODALITY, SAMPLES_PER_PIXEL, NUMBER_OF_FRAMES = "0008|0060", "0028|0002", "0028|0008"
POSITION, ORIENTATION, PIXEL_SPACING = "0020|0032", "0020|0037", "0028|0030"

# Storage classes of objects that travel with scans and are none: waveforms, presentation states,
# raw data and segmentations, structured reports, documents, radiotherapy, the index DICOMDIR.
STORAGE_WITHOUT_SCANS = (
    "1.2.840.10008.5.1.4.1.1.9.",
    "1.2.840.10008.5.1.4.1.1.11.",
    "1.2.840.10008.5.1.4.1.1.66",
    "1.2.840.10008.5.1.4.1.1.88.",
    "1.2.840.10008.5.1.4.1.1.104.",
    "1.2.840.10008.5.1.4.1.1.481.",
    "1.2.840.10008.1.3.10",
)
STORAGE_CLASS = re.compile(rb"\x02\x00\x02\x00UI..([0-9.]+)", re.DOTALL)
BYTES_OF_FILE_META = 1024
EXTENSIONS_WITHOUT_MARK = {".dcm", ".ima", ".dicom"}
SAME_POSITION_MM = 1e-3
UNEVEN_SHARE = 0.05  # of the distance between slices: what rounded positions may be off
UNEVEN_MM = 0.01
SAME_NUMBER = 1e-4
TILT_DEGREES = 0.1
SINGLE_SLICE_MM = 1.0


@dataclass(frozen=True)
class DicomSlice:
    """What the header of one DICOM image says.

    Attributes
    ----------
    path : Path
        The file.
    series, instance : str
        SeriesInstanceUID and SOPInstanceUID.
    title : str
        Series number and description, to tell series apart.
    modality : str or None
        "CT", "MR" and so on.
    size : tuple of int
        (columns, rows).
    frames, samples : int
        Images in the file, and values a pixel (3 for colour).
    position, orientation, pixel_spacing : tuple of float or None
        ImagePositionPatient (LPS, mm), ImageOrientationPatient, PixelSpacing (between rows, between
        columns; mm); None where the header has none.
    dtype : numpy.dtype
        Type of the pixels after the rescale.
    """

    path: Path
    series: str
    instance: str
    title: str
    modality: str | None
    size: tuple[int, int]
    frames: int
    samples: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    dtype: np.dtype

    @property
    def normal(self) -> np.ndarray | None:
        """Unit vector (LPS) that the slices are stacked along, or None without an orientation."""
        if self.orientation is None:
            return None
        normal = np.cross(self.orientation[:3], self.orientation[3:])
        length = np.linalg.norm(normal)
        return normal / length if length > 0 else None

    @property
    def depth(self) -> float | None:
        """Position along the normal in mm, or None where the header does not say it."""
        if self.position is None or self.normal is None:
            return None
        return float(np.dot(self.position, self.normal))


def read_slices(paths: Iterable[Path]) -> list[DicomSlice]:
    """Return the headers of the DICOM images among ``paths``.

    Other files, and DICOM objects that are no scans (reports, segmentations, radiotherapy plans),
    are left out.

    Raises
    ------
    BadScan
        A DICOM image is truncated or damaged.
    """
    return [_read_header(path) for path in paths if is_dicom_image(path)]


def is_dicom_image(path: Path) -> bool:
    """Return whether the first bytes (or, for old files, the name) promise a DICOM image.

    Raises
    ------
    BadScan
        The file cannot be opened.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(BYTES_OF_FILE_META)
    except OSError as error:
        raise BadScan(
            f"{path} cannot be opened ({error.strerror}); check its permissions and its drive."
        ) from error
    if start[128:132] != b"DICM":
        return path.suffix.lower() in EXTENSIONS_WITHOUT_MARK
    storage_class = STORAGE_CLASS.search(start)
    name = storage_class[1].decode("ascii") if storage_class else ""
    return not name.startswith(STORAGE_WITHOUT_SCANS)


def group_series(slices: Iterable[DicomSlice]) -> dict[str, list[DicomSlice]]:
    """Return the slices of each series, by SeriesInstanceUID, in slice order.

    Slices are ordered by their position along the normal of the first; without positions (such a
    series is refused when it is read) by their path.
    """
    series: dict[str, list[DicomSlice]] = defaultdict(list)
    for dicom in slices:
        series[dicom.series].append(dicom)
    for members in series.values():
        members.sort(key=lambda dicom: str(dicom.path))
        if all(dicom.depth is not None for dicom in members):
            # One normal for all: where orientations differ, the order still is one by position.
            normal = np.array(members[0].normal)
            members.sort(key=lambda dicom: float(np.array(dicom.position) @ normal))
    return dict(series)


def read_series(paths: Sequence[Path]) -> Volume:
    """Read the files of one DICOM series as a volume.

    Parameters
    ----------
    paths : sequence of Path
        Files in any order; those that are no DICOM images are left out.

    Returns
    -------
    Volume
        One channel; slices in the order of their positions along the normal of the image plane,
        voxel values after the rescale: integers where it keeps them whole, else float32. The
        distance between slices comes from their positions, never from SliceThickness.

    Raises
    ------
    BadScan
        No DICOM image, several series, colours, several frames a file, slices of mixed sizes or
        orientations, missing or doubled or uneven slices, gantry tilt, no positions, or damaged
        pixels.
    """
    series = group_series(read_slices(paths))
    folder = paths[0].parent
    if not series:
        raise BadScan(f"{folder} holds no DICOM images; pick the folder that holds the scan.")
    if len(series) > 1:
        titles = "; ".join(
            f"“{members[0].title}” with {len(members)} slices" for members in series.values()
        )
        raise BadScan(
            f"{folder} holds {len(series)} DICOM series ({titles}); add the folder to the study, "
            "which takes each series as a scan of its own, or pick the files of one series."
        )
    (slices,) = series.values()
    _require_equal_slices(slices)
    affine = ras_to_lps(_affine_lps(slices))
    columns, rows = slices[0].size
    geometry = Geometry((len(slices), rows, columns), affine)
    return Volume(_read_pixels(slices)[np.newaxis], geometry, slices[0].modality)


def _read_header(path: Path) -> DicomSlice:
    reader = _reader(path)
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _damaged(path) from error

    def text(tag: str) -> str:
        return reader.GetMetaData(tag).strip(" \0") if reader.HasMetaDataKey(tag) else ""

    def numbers(tag: str, count: int) -> tuple[float, ...] | None:
        try:
            values = tuple(float(value) for value in text(tag).split("\\"))
        except ValueError:
            return None
        return values if len(values) == count and np.isfinite(values).all() else None

    columns, rows = reader.GetSize()[:2]
    probe = sitk.Image([1, 1], reader.GetPixelIDValue(), reader.GetNumberOfComponents())
    return DicomSlice(
        path=path,
        series=text(SERIES_UID),
        instance=text(INSTANCE_UID) or str(path),
        title=" ".join(filter(None, (text(SERIES_NUMBER), text(SERIES_DESCRIPTION)))) or "series",
        modality=text(MODALITY) or None,
        size=(columns, rows),
        frames=int(text(NUMBER_OF_FRAMES) or 1),
        samples=int(text(SAMPLES_PER_PIXEL) or 1),
        position=numbers(POSITION, 3),
        orientation=numbers(ORIENTATION, 6),
        pixel_spacing=numbers(PIXEL_SPACING, 2),
        dtype=sitk.GetArrayFromImage(probe).dtype,
    )


def _reader(path: Path) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(path))
    return reader


def _damaged(path: Path) -> BadScan:
    return BadScan(
        f"The DICOM file {path} cannot be read, it may be truncated or damaged: export the series "
        "again."
    )


def _require_equal_slices(slices: list[DicomSlice]) -> None:
    """Raise BadScan where slices cannot lie in one volume, whatever their positions."""
    for dicom in slices:
        _require_single_grey_slice(dicom)
    first, folder = slices[0], slices[0].path.parent
    for name, value_of in (
        ("sizes (columns, rows)", lambda dicom: dicom.size),
        ("pixel spacings", lambda dicom: dicom.pixel_spacing),
        ("orientations", lambda dicom: dicom.orientation),
    ):
        for dicom in slices:
            if not np.allclose(value_of(dicom), value_of(first), atol=SAME_NUMBER):
                raise BadScan(
                    f"{folder} has slices of mixed {name}: {first.path.name} has {value_of(first)} "
                    f"and {dicom.path.name} has {value_of(dicom)}; remove localizers and slices of "
                    "other series."
                )


def _require_single_grey_slice(dicom: DicomSlice) -> None:
    if dicom.samples != 1:
        raise BadScan(f"{dicom.path} is a colour image (RGB); pick a series of grey values.")
    if dicom.frames != 1:
        raise BadScan(
            f"{dicom.path} holds {dicom.frames} frames in one file (enhanced DICOM); convert it to "
            "NIfTI or to one file a slice first."
        )
    places = {
        "ImagePositionPatient": dicom.position,
        "ImageOrientationPatient": dicom.normal,
        "PixelSpacing": dicom.pixel_spacing,
    }
    missing = [name for name, value in places.items() if value is None]
    if missing:
        raise BadScan(
            f"{dicom.path} does not say where it lies ({', '.join(missing)} missing or unusable); "
            "pick a series of original slices."
        )


def _affine_lps(slices: list[DicomSlice]) -> np.ndarray:
    """Return the affine from index (x, y, z) to LPS mm, shape (4, 4), of checked slices."""
    first = slices[0]
    orientation, spacing = np.array(first.orientation), np.array(first.pixel_spacing)
    positions = np.array([dicom.position for dicom in slices])
    affine = np.eye(4)
    affine[:3, 0] = orientation[:3] * spacing[1]
    affine[:3, 1] = orientation[3:] * spacing[0]
    affine[:3, 2] = _slice_step(slices, positions, np.array(first.normal))
    affine[:3, 3] = positions[0]
    if not is_usable_affine(affine):
        raise BadScan(
            f"{first.path} has no usable voxel grid (its PixelSpacing is {first.pixel_spacing} and "
            f"its ImageOrientationPatient {first.orientation}); export the series again."
        )
    return affine


def _slice_step(slices: list[DicomSlice], positions: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Return the vector (LPS, mm) from each slice to the next, after checking that it is one."""
    if len(slices) == 1:
        return normal * SINGLE_SLICE_MM
    folder, gaps = slices[0].path.parent, np.diff(positions @ normal)
    _require_each_slice_once(slices, gaps)
    step: np.ndarray = (positions[-1] - positions[0]) / (len(slices) - 1)
    even = positions[0] + np.arange(len(slices))[:, np.newaxis] * step
    furthest = np.linalg.norm(positions - even, axis=1).max()
    if max(furthest, np.abs(gaps - gaps.mean()).max()) > _tolerance(gaps):
        raise BadScan(
            f"{folder} has uneven distances between its slices, from {gaps.min():.4g} to "
            f"{gaps.max():.4g} mm; pick an evenly spaced reconstruction, or resample it first."
        )
    sideways = np.linalg.norm(step - normal * (step @ normal))
    tilt = float(np.degrees(np.arctan2(sideways, step @ normal)))
    if tilt > TILT_DEGREES:
        raise BadScan(
            f"{folder} was taken with a gantry tilt of {tilt:.3g}° (its slices are sheared against "
            "each other); correct the tilt at the scanner's console or with a converter first."
        )
    return step


def _tolerance(gaps: np.ndarray) -> float:
    """Return by how many mm a slice may be off its place: positions are often rounded."""
    return max(UNEVEN_MM, UNEVEN_SHARE * float(np.median(gaps)))


def _require_each_slice_once(slices: list[DicomSlice], gaps: np.ndarray) -> None:
    """Raise BadScan naming the first doubled or missing slice."""
    folder, usual = slices[0].path.parent, float(np.median(gaps))
    doubled = np.flatnonzero(gaps < SAME_POSITION_MM)
    if len(doubled):
        index, times = int(doubled[0]), "once" if len(doubled) == 1 else f"{len(doubled)} times"
        raise BadScan(
            f"{folder} has two slices at the same position ({times}), such as "
            f"{slices[index].path.name} and {slices[index + 1].path.name}; separate the phases or "
            "echoes, or remove the copies."
        )
    tolerance = _tolerance(gaps)
    wide = np.flatnonzero(gaps > usual + tolerance)
    multiples = gaps[wide] / usual
    if len(wide) and (np.abs(multiples - np.round(multiples)) * usual <= tolerance).all():
        index, lost = int(wide[0]), int(np.round(multiples).sum()) - len(wide)
        raise BadScan(
            f"{folder} misses {lost} {'slice' if lost == 1 else 'slices'}, the first between "
            f"{slices[index].path.name} and {slices[index + 1].path.name}; export the whole series "
            "again."
        )


def _read_pixels(slices: list[DicomSlice]) -> np.ndarray:
    """Return the rescaled pixels, shape (z, y, x), as the smallest type that all slices need."""
    columns, rows = slices[0].size
    dtype = np.result_type(*{dicom.dtype for dicom in slices})
    if dtype.kind == "f":
        dtype = np.dtype(np.float32)
    voxels = np.empty((len(slices), rows, columns), dtype)
    for index, dicom in enumerate(slices):
        try:
            image = _reader(dicom.path).Execute()
        except RuntimeError as error:
            raise _damaged(dicom.path) from error
        voxels[index] = sitk.GetArrayFromImage(image).reshape(rows, columns)
    # The reader widens CT to 32 bits to be safe; Hounsfield units fit into 16.
    int16 = np.iinfo(np.int16)
    if dtype == np.int32 and int16.min <= voxels.min() and voxels.max() <= int16.max:
        return voxels.astype(np.int16)
    return voxels
