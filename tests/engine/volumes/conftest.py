from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

IDENTITY_ORIENTATION = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@pytest.fixture
def write_slice() -> Callable[..., np.ndarray]:
    """Write one DICOM slice; returns its stored pixels."""
    pydicom = pytest.importorskip("pydicom")

    def write(
        path: Path,
        position: Sequence[float],
        *,
        series: str = "1.2.826.0.1.3680043.8.498.1",
        storage: str = "CTImageStorage",
        orientation: Sequence[float] = IDENTITY_ORIENTATION,
        spacing: Sequence[float] = (0.75, 0.5),
        shape: tuple[int, int] = (5, 7),
        rescale: tuple[float, float] | None = None,
        **fields: Any,
    ) -> np.ndarray:
        meta = pydicom.dataset.FileMetaDataset()
        meta.MediaStorageSOPClassUID = getattr(pydicom.uid, storage)
        meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        dataset = pydicom.dataset.FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.826.0.1", series
        dataset.Modality = "CT" if storage.startswith("CT") else "MR"
        dataset.Rows, dataset.Columns = shape
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.ImagePositionPatient = [float(value) for value in position]
        dataset.ImageOrientationPatient = list(orientation)
        dataset.PixelSpacing = list(spacing)
        dataset.SliceThickness = 9.0  # a lie, as it often is
        if rescale is not None:
            dataset.RescaleSlope, dataset.RescaleIntercept = rescale
        for name, value in fields.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        seed = abs(hash(tuple(float(value) for value in position))) % 2**32
        pixels = np.random.default_rng(seed).integers(-50, 200, shape, dtype=np.int16)
        dataset.PixelData = pixels.tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        return pixels

    return write


@pytest.fixture
def write_series(write_slice: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Write one slice a position along z; returns the stored pixels, shape (z, y, x)."""

    def write(folder: Path, depths: Sequence[float], **options: Any) -> np.ndarray:
        slices = [
            write_slice(folder / f"slice_{number:02}.dcm", (-10.0, 20.0, depth), **options)
            for number, depth in enumerate(depths)
        ]
        return np.stack(slices)

    return write
