"""Where the voxels of a scan lie in the world: shape, affine, and what a NIfTI header said of them.

A `Geometry` travels with every volume, label and map, so that whatever is written lands on the
native grid of its scan. Pure values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.stored import from_stored

MATCH_TOLERANCE_MM = 1e-3
AXIS_ALIGNED_TOLERANCE = 1e-3
AXIS_NAMES = ("x", "y", "z")


@dataclass(frozen=True)
class NiftiForms:
    """The spatial fields of a NIfTI header, kept to write them back bit for bit.

    Attributes
    ----------
    version : int
        1 (fields are float32) or 2 (fields are float64); both fit exactly into Python floats.
    dimensions : int
        Spatial dimensions that the file declared: 2 or 3.
    sform_code, qform_code : int
        The NIfTI codes; 0 means "not set".
    sform : tuple of 12 float
        ``srow_x``, ``srow_y`` and ``srow_z`` one after the other.
    quaternion, offset : tuple of 3 float
        ``quatern_b, c, d`` and ``qoffset_x, y, z``.
    pixdim : tuple of 8 float
        ``pixdim[0]`` is the sign of the third axis of the qform.
    units : int
        ``xyzt_units``; the lowest three bits are the unit of length.
    """

    version: int
    dimensions: int
    sform_code: int
    qform_code: int
    sform: tuple[float, ...]
    quaternion: tuple[float, ...]
    offset: tuple[float, ...]
    pixdim: tuple[float, ...]
    units: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; floats keep every bit."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> NiftiForms:
        """Return the forms that `to_dict` recorded."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in record.items()
        }
        return from_stored(cls, values)


@dataclass(frozen=True, eq=False)
class Geometry:
    """The voxel grid of a scan.

    Attributes
    ----------
    shape : tuple of int
        Voxels along (z, y, x); a 2D image has ``z == 1``.
    affine : ndarray, shape (4, 4), float64, read-only
        Maps a voxel index (x, y, z, 1) to the world position of the voxel's centre in mm, RAS
        (right, anterior, superior): nibabel's convention.
    nifti : NiftiForms or None
        What the NIfTI header of the scan said, to write it back exactly; None for other formats.

    Raises
    ------
    ValueError
        The shape has no voxels, or the affine is not finite and invertible.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    nifti: NiftiForms | None = None

    def __post_init__(self) -> None:
        depth, height, width = (int(extent) for extent in self.shape)
        if min(depth, height, width) < 1:
            raise ValueError(f"a geometry wants at least one voxel along each axis: {self.shape}")
        affine = np.array(self.affine, dtype=np.float64)
        if not is_usable_affine(affine):
            raise ValueError("a geometry wants a finite, invertible (4, 4) affine")
        affine.setflags(write=False)
        object.__setattr__(self, "shape", (depth, height, width))
        object.__setattr__(self, "affine", affine)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (z, y, x), in mm."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors (columns: x, y, z index axes) in RAS, shape (3, 3)."""
        columns = self.affine[:3, :3]
        unit: np.ndarray = columns / np.linalg.norm(columns, axis=0)
        return unit

    @property
    def is_oblique(self) -> bool:
        """Whether some index axis leaves its nearest world axis by more than 0.001 (sine)."""
        cosines = np.abs(self.directions)
        off_axis = np.sort(cosines, axis=0)[:2]
        return bool(off_axis.max() > AXIS_ALIGNED_TOLERANCE)

    @property
    def orientation(self) -> str:
        """Closest world directions that the index axes x, y, z run to, as "RAS" or "LPI"."""
        from nibabel.orientations import aff2axcodes  # half a second that opening the desk saves

        return "".join(str(code) for code in aff2axcodes(self.affine))

    def corner_distance_mm(self, other: Geometry) -> float:
        """Return the largest distance in mm between the same corner voxels of the two grids.

        Each grid's eight corners are those of its own shape.
        """
        return float(np.linalg.norm(self._corners() - other._corners(), axis=1).max())

    def matches(self, other: Geometry, tolerance_mm: float = MATCH_TOLERANCE_MM) -> bool:
        """Return whether both grids have the same shape and corners within ``tolerance_mm``."""
        return self.shape == other.shape and self.corner_distance_mm(other) <= tolerance_mm

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values from which `from_dict` restores every bit."""
        return {
            "shape": list(self.shape),
            "affine": self.affine.tolist(),
            "nifti": None if self.nifti is None else self.nifti.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Geometry:
        """Return the geometry that `to_dict` recorded.

        Forms of which a field is missing cannot be written back bit for bit, and are none.
        """
        forms = record.get("nifti")
        try:
            nifti = None if forms is None else NiftiForms.from_dict(forms)
        except StudyError:
            nifti = None
        return from_stored(cls, {**record, "nifti": nifti}, "The voxel grid of a scan")

    def _corners(self) -> np.ndarray:
        """Return the world positions of the eight corner voxels, shape (8, 3)."""
        depth, height, width = self.shape
        corners = list(product((0, width - 1), (0, height - 1), (0, depth - 1), (1,)))
        placed: np.ndarray = (np.array(corners, dtype=np.float64) @ self.affine.T)[:, :3]
        return placed


def is_usable_affine(affine: np.ndarray) -> bool:
    """Return whether ``affine`` is a finite (4, 4) matrix with three independent axes.

    The axes are compared as unit vectors, so that small voxels are not taken for flat ones.
    """
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if not (lengths > 0).all():
        return False
    return abs(float(np.linalg.det(affine[:3, :3] / lengths))) > 1e-6


def describe_difference(label: Geometry, scan: Geometry) -> str | None:
    """Say in which property the grid of a label differs from that of its scan.

    Returns
    -------
    str or None
        A clause for a sentence ("its voxel size is … and the scan's is …") that names the first
        of shape, voxel size, axis order, flipped axis, orientation and origin that differs; None
        where the grids match within 0.001 mm.
    """
    if label.shape != scan.shape:
        return f"its shape is {_voxels(label)} (x × y × z) and the scan's is {_voxels(scan)}" + (
            ", the axes in another order" if sorted(label.shape) == sorted(scan.shape) else ""
        )
    if label.matches(scan):
        return None
    return (
        _describe_spacing(label, scan)
        or _describe_orientation(label, scan)
        or _describe_origin(label, scan)
    )


def _voxels(geometry: Geometry) -> str:
    return " × ".join(str(extent) for extent in reversed(geometry.shape))


def _millimetres(spacing: tuple[float, ...]) -> str:
    return " × ".join(f"{size:.6g}" for size in reversed(spacing)) + " mm"


def _describe_spacing(label: Geometry, scan: Geometry) -> str | None:
    # What the difference adds up to over the whole scan is what counts, not its size in one voxel.
    drift = np.abs(np.subtract(label.spacing, scan.spacing)) * np.maximum(scan.shape, 2)
    if drift.max() <= MATCH_TOLERANCE_MM:
        return None
    return (
        f"its voxel size (spacing) is {_millimetres(label.spacing)} (x × y × z) and the scan's is "
        f"{_millimetres(scan.spacing)}"
    )


def _describe_orientation(label: Geometry, scan: Geometry) -> str | None:
    cosines = np.einsum("ij,ij->j", label.directions, scan.directions)
    extents = np.linalg.norm(np.multiply(scan.shape, scan.spacing))
    sines = np.linalg.norm(np.cross(label.directions, scan.directions, axis=0), axis=0)
    if (sines * extents <= MATCH_TOLERANCE_MM).all():
        flipped = [axis for axis, cosine in zip(AXIS_NAMES, cosines, strict=True) if cosine < 0]
        if not flipped:
            return None
        axes = " and ".join(flipped)
        return f"its {axes} axis is flipped (orientation {label.orientation}, the scan's is " + (
            f"{scan.orientation})"
        )
    if label.orientation != scan.orientation:
        return f"its orientation is {label.orientation} and the scan's is {scan.orientation}"
    degrees = float(np.degrees(np.arctan2(sines, cosines)).max())
    return f"its orientation is turned by {degrees:.3g}° against the scan's"


def _describe_origin(label: Geometry, scan: Geometry) -> str:
    shift_mm = label.affine[:3, 3] - scan.affine[:3, 3]
    shift = np.linalg.solve(scan.affine[:3, :3], shift_mm)
    moved = np.abs(shift) > 1e-3
    if not moved.any():
        return f"its corner voxels lie {label.corner_distance_mm(scan):.3g} mm off the scan's"
    voxels = ", ".join(f"{value:.3g}" for value in np.where(moved, shift, 0.0))
    clause = f"its origin is shifted by ({voxels}) voxels along (x, y, z)"
    if moved.any() and np.allclose(np.abs(shift[moved]), 0.5, atol=1e-2):
        clause += ", a half-voxel shift as from software that counts from voxel corners"
    return clause
