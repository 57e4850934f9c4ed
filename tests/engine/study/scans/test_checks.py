"""What happened to a scan outside the study is told in plain words."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_semiseg.engine.study import Study
from napari_semiseg.engine.study.scans.checks import (
    ScanTrouble,
    examine_scan,
    find_missing,
    find_notes,
)
from napari_semiseg.engine.volumes import Geometry


def test_a_scan_at_its_place_has_no_trouble(study: Study) -> None:
    case = study.case("a")
    trouble, volume = examine_scan(case)
    assert find_missing(case) is None
    assert trouble is None
    assert volume is not None
    assert list(find_notes(case)) == []


def test_a_missing_file_and_a_missing_folder_are_told_apart(study: Study, tmp_path: Path) -> None:
    (tmp_path / "scans" / "a.nii.gz").unlink()
    trouble = find_missing(study.case("a"))
    assert trouble is not None
    assert trouble.trouble is ScanTrouble.FILE_MISSING
    assert "a.nii.gz" in trouble.sentence
    assert trouble.is_mended_by_locating
    shutil.move(tmp_path / "scans", tmp_path / "moved")
    trouble = find_missing(study.case("a"))
    assert trouble is not None
    assert trouble.trouble is ScanTrouble.FOLDER_MISSING


@pytest.mark.parametrize("content", [b"", b"no scan at all"])
def test_a_file_that_is_no_scan_any_more_cannot_be_read(
    study: Study, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "scans" / "a.nii.gz").write_bytes(content)
    trouble, volume = examine_scan(study.case("a"))
    assert trouble is not None
    assert trouble.trouble is ScanTrouble.UNREADABLE
    assert volume is None


def test_another_content_on_the_same_and_on_another_grid_is_told(
    study: Study, tmp_path: Path
) -> None:
    file = tmp_path / "scans" / "a.nii.gz"
    shutil.copy(tmp_path / "scans" / "b.nii.gz", file)
    trouble, _ = examine_scan(study.case("a"))
    assert trouble is not None
    assert trouble.trouble is ScanTrouble.CHANGED
    assert "other content" in trouble.sentence
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), file)
    trouble, _ = examine_scan(study.case("a"))
    assert trouble is not None
    assert "another voxel grid" in trouble.sentence


def test_another_number_of_channels_is_told_with_both_numbers(study: Study, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).normal(size=(8, 7, 6, 2)).astype(np.float32)
    file = tmp_path / "scans" / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([0.5, 0.75, 2.0, 1.0])), file)
    trouble, _ = examine_scan(study.case("a"))
    assert trouble is not None
    assert trouble.trouble is ScanTrouble.OTHER_CHANNELS
    assert "2 channel(s) and had 1" in trouble.sentence


def test_oblique_and_very_large_scans_can_be_used_all_the_same(study: Study) -> None:
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    case = replace(study.case("a"), geometry=Geometry((600, 512, 512), affine, None))
    notes = list(find_notes(case))
    assert [note.trouble for note in notes] == [ScanTrouble.OBLIQUE, ScanTrouble.VERY_LARGE]
    assert all(note.is_note and not note.is_mended_by_locating for note in notes)
    assert "157 million voxels" in notes[1].sentence


def test_every_sentence_is_one_line(study: Study, tmp_path: Path) -> None:
    (tmp_path / "scans" / "a.nii.gz").write_bytes(b"x")
    trouble, _ = examine_scan(study.case("a"))
    assert trouble is not None
    assert "\n" not in trouble.sentence
