from __future__ import annotations

from pathlib import Path

import pytest

from napari_semiseg.engine.volumes.formats import FileFormat, image_format, image_stem


@pytest.mark.parametrize(
    ("name", "expected", "stem"),
    [
        ("case.1.nii.gz", FileFormat.NIFTI, "case.1"),
        ("CASE.NII", FileFormat.NIFTI, "CASE"),
        ("Segmentation.seg.nrrd", FileFormat.NRRD, "Segmentation"),
        ("a.mhd", FileFormat.META_IMAGE, "a"),
        ("notes.txt", None, "notes"),
        ("archive.gz", None, "archive"),
    ],
)
def test_a_format_is_told_by_the_end_of_the_name(name, expected, stem):
    assert image_format(Path(name)) is expected
    assert image_stem(Path(name)) == stem
