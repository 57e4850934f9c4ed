"""NRRD and MetaImage in and out through SimpleITK, between ITK's LPS and our RAS world.

An image's array is always copied out: a view of a temporary ITK image points to memory that is
already gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own customary name

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.volumes.geometry import Geometry, is_usable_affine

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_itk(path: Path, file_type: str) -> tuple[np.ndarray, Geometry, dict[str, str]]:
    """Read an NRRD or MetaImage file.

    Parameters
    ----------
    path : Path
        A file with 2 or 3 dimensions and any number of components, or with a fourth dimension of
        channels.

    Returns
    -------
    voxels : ndarray, shape (channels, z, y, x)
        Integers in their own type, floats as float32.
    geometry : Geometry
        The file's own grid, in RAS.
    metadata : dict of str to str
        The key/value pairs of the header.

    Raises
    ------
    BadScan
        The file is truncated or damaged, has complex numbers, more than four dimensions, or no
        usable grid.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-200:]
        raise BadScan(
            f"{path} cannot be read as {file_type}, it may be truncated, damaged or "
            f"without its data file: copy or export it again ({reason})."
        ) from error
    voxels = sitk.GetArrayFromImage(image)
    if voxels.dtype.kind == "c":
        raise BadScan(f"{path} holds complex numbers; export its magnitude image instead.")
    if voxels.dtype.kind == "f":
        voxels = voxels.astype(np.float32, copy=False)
    voxels = _channels_first(path, voxels, image)
    metadata = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    return voxels, _geometry(path, voxels.shape, image), metadata


def itk_image(voxels: np.ndarray, geometry: Geometry) -> sitk.Image:
    """Return an ITK image on the grid of ``geometry``.

    Parameters
    ----------
    voxels : ndarray, shape (z, y, x) or (channels, z, y, x)
        Values; channels become the components of an ITK vector image.
    geometry : Geometry
        Where the voxels lie, in RAS; told to ITK in LPS.
    """
    has_channels = voxels.ndim == 4
    array = np.moveaxis(voxels, 0, -1) if has_channels else voxels
    image = sitk.GetImageFromArray(np.ascontiguousarray(array), isVector=has_channels)
    affine = ras_to_lps(geometry.affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    return image


def save_itk(path: Path, voxels: np.ndarray, geometry: Geometry, header: Mapping[str, str]) -> None:
    """Write an NRRD or MetaImage file, compressed, with key/value pairs in its header.

    Voxels of an ``.mhd`` file go into another one beside it.

    Raises
    ------
    RuntimeError
        The disk refuses.
    """
    image = itk_image(voxels, geometry)
    for key, value in header.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True)


def ras_to_lps(affine: np.ndarray) -> np.ndarray:
    """Turn an index-to-world affine from RAS to LPS, or back: both turn x and y around."""
    # Adding zero turns the −0.0 that the change of sign makes into 0.0.
    turned: np.ndarray = LPS_TO_RAS @ affine + 0.0
    return turned


def _channels_first(path: Path, voxels: np.ndarray, image: sitk.Image) -> np.ndarray:
    """Turn ITK's array ([t, z, ]y, x[, component]) into (channel, z, y, x)."""
    dimensions, components = image.GetDimension(), image.GetNumberOfComponentsPerPixel()
    if dimensions > 4 or (dimensions == 4 and components > 1):
        raise BadScan(
            f"{path} has {dimensions} dimensions with {components} values a voxel; export it as "
            "one volume of 2 or 3 dimensions, or 4 with channels last."
        )
    if dimensions == 4:
        return voxels
    if components == 1:
        voxels = voxels[..., np.newaxis]
    if dimensions == 2:
        voxels = voxels[np.newaxis]
    return np.ascontiguousarray(np.moveaxis(voxels, -1, 0))


def _geometry(path: Path, shape: tuple[int, ...], image: sitk.Image) -> Geometry:
    dimensions = image.GetDimension()
    used = min(dimensions, 3)
    direction = np.reshape(image.GetDirection(), (dimensions, dimensions))
    affine = np.eye(4)
    affine[:used, :used] = direction[:used, :used] * np.array(image.GetSpacing()[:used])
    affine[:used, 3] = image.GetOrigin()[:used]
    if not is_usable_affine(affine):
        raise BadScan(
            f"{path} has a header without a usable voxel grid (voxel sizes or axes that are zero "
            "or not finite); export the scan again."
        )
    _, depth, height, width = shape
    return Geometry((depth, height, width), ras_to_lps(affine))
