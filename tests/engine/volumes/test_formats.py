from __future__ import annotations

from pathlib import Path

import pytest

from napari_semiseg.engine.volumes.formats import (
    FILE_TYPES,
    image_format,
    image_stem,
    in_words,
    readable,
    writable_endings,
)


@pytest.mark.parametrize(
    ("name", "expected", "stem"),
    [
        ("case.1.nii.gz", "NIfTI", "case.1"),
        ("CASE.NII", "NIfTI", "CASE"),
        ("Segmentation.seg.nrrd", "NRRD", "Segmentation"),
        ("a.mhd", "MetaImage", "a"),
        ("notes.txt", None, "notes"),
        ("archive.gz", None, "archive"),
    ],
)
def test_a_format_is_told_by_the_end_of_the_name(name, expected, stem):
    found = image_format(Path(name))
    assert (found and found.name) == expected
    assert image_stem(Path(name)) == stem


def test_no_ending_belongs_to_two_types():
    endings = [ending for each in FILE_TYPES for ending in each.endings]
    assert len(endings) == len(set(endings))
    assert all(ending == ending.lower() and ending.startswith(".") for ending in endings)


def test_what_can_be_read_and_written_is_said_in_words():
    assert (
        readable() == "NIfTI (.nii.gz, .nii), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or DICOM"
    )
    assert in_words(writable_endings()) == ".nii.gz, .nii, .nrrd, .mha or .mhd"
