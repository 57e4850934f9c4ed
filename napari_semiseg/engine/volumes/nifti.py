"""NIfTI in and out through nibabel, with the header's spatial fields kept bit for bit.

The index order (x, y, z[, channel]) of the file is transposed to (channel, z, y, x) and nothing else:
no reorientation, ever.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.openers import ImageOpener
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes.geometry import Geometry, NiftiForms, is_usable_affine
from napari_semiseg.engine.volumes.large_arrays import allocate, release, slabs

READ_ERRORS = (OSError, EOFError, zlib.error, ValueError, ImageFileError, HeaderDataError)
LENGTH_UNITS_IN_MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # metre, millimetre, micrometre
LENGTH_UNIT_BITS = 0b111
MILLIMETRES = 2
SCANNER_COORDINATES = 1
LARGEST_NIFTI1_EXTENT = 32767


def read_nifti(path: Path) -> tuple[np.ndarray, Geometry]:
    """Read a NIfTI-1 or NIfTI-2 file.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file with 2, 3 or 4 dimensions (the fourth are channels), or 5
        with a single time point (NIfTI's vectors).

    Returns
    -------
    voxels : ndarray, shape (channels, z, y, x)
        The stored integers where the header has no scaling, else float32; in a file where it is large.
    geometry : Geometry
        The file's own grid, with the header's forms.

    Raises
    ------
    BadScan
        The file is truncated, no NIfTI, has colours or complex numbers, too many dimensions, or a
        header without a usable grid.
    """
    try:
        image = nib.load(path, mmap=False)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if not isinstance(image, nib.Nifti1Image):
        raise BadScan(f"{path} is not a NIfTI image; export the scan again as NIfTI.")
    geometry = _geometry(path, image)
    stored = image.header.get_data_dtype()
    if stored.fields is not None:
        raise BadScan(
            f"{path} holds colours (RGB) instead of intensities; export it as a grey-value image."
        )
    if stored.kind == "c":
        raise BadScan(f"{path} holds complex numbers; export its magnitude image instead.")
    try:
        voxels = _stored_or_scaled(image, stored)
    except READ_ERRORS as error:
        raise _unreadable(path, error) from error
    return _channels_first(path, voxels), geometry


def save_nifti(path: Path, voxels: np.ndarray, geometry: Geometry) -> None:
    """Write a NIfTI image on exactly the grid of ``geometry``, slab by slab.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.
    voxels, geometry
        As for `nifti_image`; large voxels of `allocate` do not stay in memory.

    Raises
    ------
    OSError
        The disk refuses.
    """
    image = nifti_image(voxels, geometry)
    image.header.set_slope_inter(1.0, 0.0)
    with ImageOpener(str(path), "wb") as stream:
        image.header.write_to(stream)
        stream.write(bytes(image.header.get_data_offset() - stream.tell()))
        # voxels (channel, z, y, x) lie one after the other as the file wants them
        for channel in voxels if voxels.ndim == 4 else [voxels]:
            for part in slabs(channel.shape):
                stream.write(channel[part].tobytes())
                release(channel)


def nifti_image(voxels: np.ndarray, geometry: Geometry) -> nib.Nifti1Image:
    """Return a NIfTI image on exactly the grid of ``geometry``.

    Parameters
    ----------
    voxels : ndarray, shape (z, y, x) or (channels, z, y, x)
        Values to store in their own type; channels become the last dimension of the file.
    geometry : Geometry
        Where the voxels lie. Forms of a NIfTI header are repeated bit for bit as long as they say
        what the affine says; otherwise sform and qform are set from the affine.
    """
    forms = geometry.nifti
    in_file_order = voxels.transpose()
    if forms is not None and forms.dimensions == 2 and voxels.ndim == 3:
        in_file_order = in_file_order[:, :, 0]
    wide = max(in_file_order.shape) > LARGEST_NIFTI1_EXTENT
    version = 2 if wide or (forms is not None and forms.version == 2) else 1
    image_class = nib.Nifti2Image if version == 2 else nib.Nifti1Image
    header = image_class.header_class()
    header.set_data_dtype(voxels.dtype)
    header.set_data_shape(in_file_order.shape)
    if forms is not None:
        _restore_forms(header, forms)
    if forms is None or not np.array_equal(_affine_mm(header), geometry.affine):
        _set_forms(header, geometry)
    return image_class(in_file_order, None, header)


def _unreadable(path: Path, error: Exception) -> BadScan:
    return BadScan(
        f"{path} cannot be read as NIfTI, it may be truncated or damaged: copy or export it again "
        f"({' '.join(str(error).split()) or type(error).__name__})."
    )


def _stored_or_scaled(image: nib.Nifti1Image, stored: np.dtype) -> np.ndarray:
    """Return the image's numbers in file order, with the smallest type that keeps them."""
    proxy = image.dataobj
    assert isinstance(proxy, ArrayProxy)  # what nibabel.load always gives
    is_scaled = (proxy.slope, proxy.inter) != (1, 0)
    kept = stored.newbyteorder("=") if stored.kind in "iu" and not is_scaled else np.dtype("f4")
    voxels = allocate((int(np.prod(proxy.shape, dtype=np.int64)),), kept)
    with ImageOpener(proxy.file_like) as stream:
        stream.seek(proxy.offset)
        for part in slabs(voxels.shape):
            read = _read_exactly(stream, (part.stop - part.start) * stored.itemsize)
            numbers = np.frombuffer(read, stored)
            if is_scaled:
                numbers = apply_read_scaling(numbers, proxy.slope, proxy.inter)
            voxels[part] = numbers
            release(voxels)
    return voxels.reshape(proxy.shape, order="F")


def _read_exactly(stream: ImageOpener, size: int) -> bytes:
    """Read ``size`` bytes; a file that has fewer is cut off."""
    read = stream.read(size)
    if len(read) < size:
        raise EOFError(f"Expected {size} bytes more, got {len(read)}")
    return read


def _channels_first(path: Path, voxels: np.ndarray) -> np.ndarray:
    """Turn file order (x, y[, z[, channel]]) into (channel, z, y, x)."""
    shape = voxels.shape
    while len(shape) > 4 and (shape[-1] == 1 or shape[3] == 1):
        shape = shape[:-1] if shape[-1] == 1 else shape[:3] + shape[4:]
    if len(shape) > 4 or 0 in shape:
        extents = " × ".join(str(extent) for extent in voxels.shape)
        raise BadScan(
            f"{path} has the shape {extents}; export it as one volume of 2 or 3 dimensions, or 4 "
            "with channels last."
        )
    shape += (1,) * (4 - len(shape))
    return voxels.reshape(shape, order="F").transpose(3, 2, 1, 0)


def _geometry(path: Path, image: nib.Nifti1Image) -> Geometry:
    header = image.header
    shape = tuple(header.get_data_shape())
    try:
        affine = _affine_mm(header)
    except HeaderDataError as error:
        raise _unreadable(path, error) from error
    if not is_usable_affine(affine) or len(shape) < 2 or 0 in shape:
        raise BadScan(
            f"{path} has a header without a usable voxel grid (shape {shape}, or voxel sizes and "
            "axes that are zero or not finite); export the scan again."
        )
    width, height, depth = (*shape, 1)[:3]
    return Geometry((depth, height, width), affine, _forms(header))


def _affine_mm(header: nib.Nifti1Header) -> np.ndarray:
    """Return nibabel's best affine (sform, else qform, else pixdim) in millimetres."""
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    scale = LENGTH_UNITS_IN_MM.get(int(header["xyzt_units"]) & LENGTH_UNIT_BITS, 1.0)
    if scale != 1.0:
        affine[:3] *= scale
    is_flat = len(header.get_data_shape()) == 2 or header.get_data_shape()[2] == 1
    if is_flat and not affine[:3, 2].any():
        # Software that writes 2D images often leaves the size of the third axis at zero.
        normal = np.cross(affine[:3, 0], affine[:3, 1])
        length = np.linalg.norm(normal)
        affine[:3, 2] = normal / length if length > 0 else 0.0
    return affine


def _forms(header: nib.Nifti1Header) -> NiftiForms:
    return NiftiForms(
        version=2 if isinstance(header, nib.Nifti2Header) else 1,
        dimensions=min(len(header.get_data_shape()), 3),
        sform_code=int(header["sform_code"]),
        qform_code=int(header["qform_code"]),
        sform=_finite(header, "srow_x", "srow_y", "srow_z"),
        quaternion=_finite(header, "quatern_b", "quatern_c", "quatern_d"),
        offset=_finite(header, "qoffset_x", "qoffset_y", "qoffset_z"),
        pixdim=_finite(header, "pixdim"),
        units=int(header["xyzt_units"]),
    )


def _finite(header: nib.Nifti1Header, *names: str) -> tuple[float, ...]:
    """Return header fields as floats; what is not finite belongs to an unused form, so zero."""
    values = np.concatenate([np.atleast_1d(header[name]) for name in names])
    return tuple(float(value) if np.isfinite(value) else 0.0 for value in values)


def _restore_forms(header: nib.Nifti1Header, forms: NiftiForms) -> None:
    header["sform_code"], header["qform_code"] = forms.sform_code, forms.qform_code
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = forms.sform[4 * row : 4 * row + 4]
    for letter, value in zip("bcd", forms.quaternion, strict=True):
        header[f"quatern_{letter}"] = value
    for letter, value in zip("xyz", forms.offset, strict=True):
        header[f"qoffset_{letter}"] = value
    header["pixdim"] = forms.pixdim
    header["xyzt_units"] = forms.units


def _set_forms(header: nib.Nifti1Header, geometry: Geometry) -> None:
    """Set the forms from the affine; the qform only where it can say it (no shear)."""
    header["xyzt_units"] = MILLIMETRES
    header.set_sform(geometry.affine, code=SCANNER_COORDINATES)
    spacing = geometry.spacing[::-1]
    header["pixdim"][1:4] = spacing
    header["qform_code"] = 0
    directions = geometry.directions
    if np.allclose(directions.T @ directions, np.eye(3), atol=1e-6):
        header.set_qform(geometry.affine, code=SCANNER_COORDINATES)
