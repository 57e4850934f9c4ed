"""Small scans and a study with two classes for the tests of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_semiseg.engine.study import Study, parse_classes

SHAPE_XYZ = (8, 7, 6)


@pytest.fixture
def write_scan(tmp_path: Path) -> Callable[..., Path]:
    """Write one small scan; its content differs with its name."""

    def write(name: str, *, folder: str = "scans", bad_voxel: float | None = None) -> Path:
        random = np.random.default_rng(sum(map(ord, name)))
        voxels = random.normal(size=SHAPE_XYZ).astype(np.float32)
        if bad_voxel is not None:
            voxels[0, 0, 0] = bad_voxel
        affine = np.diag([0.5, 0.75, 2.0, 1.0])
        affine[:3, 3] = (-3.0, 4.0, 5.5)
        path = tmp_path / folder / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, affine), path)
        return path

    return write


@pytest.fixture
def study(tmp_path: Path, write_scan: Callable[..., Path]) -> Iterator[Study]:
    """Give a study with the unlabelled cases a, b and c."""
    for name in "abc":
        write_scan(name)
    with Study.create(tmp_path / "liver.semiseg", parse_classes("1=liver,2=tumour")) as study:
        list(study.scans.add_all([tmp_path / "scans"]))
        yield study


@pytest.fixture
def drawn() -> np.ndarray:
    """Give a label (z, y, x) that fits the scans, with both classes."""
    label = np.zeros(SHAPE_XYZ[::-1], np.uint8)
    label[2:4, 2:5, 2:6] = 1
    label[3, 3, 3] = 2
    return label
