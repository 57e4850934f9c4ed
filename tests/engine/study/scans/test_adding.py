from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import BadScan, ScanMissing, StudyError
from napari_semiseg.engine.study import Case, ScanProblem, Study
from napari_semiseg.engine.study.scans.adding import content_hash
from napari_semiseg.engine.volumes.scans import ScanSource, find_scans


def test_adding_changes_no_byte_of_a_scan(study: Study, tmp_path: Path) -> None:
    case = study.case("a")
    assert content_hash([tmp_path / "scans" / "a.nii.gz"]) == case.content_hash
    assert study.scans.read("a").voxels.shape == (1, 6, 7, 8)


def test_a_bad_scan_stops_none_of_the_others(
    study: Study, write_scan: Callable[..., Path], tmp_path: Path
) -> None:
    write_scan("d", folder="more", bad_voxel=np.nan)
    write_scan("e", folder="more")
    (tmp_path / "more" / "f.nii.gz").write_bytes(b"no image")
    write_scan("g", folder="more", bad_voxel=np.inf)
    write_scan("h", folder="more")
    results = list(study.scans.add_all([tmp_path / "more"]))
    assert [r.name for r in results if isinstance(r, Case)] == ["e", "h"]
    problems = {r.source.name: r.sentence for r in results if isinstance(r, ScanProblem)}
    assert sorted(problems) == ["d", "f", "g"]
    assert all("\n" not in sentence for sentence in problems.values())
    assert [case.name for case in study.cases()] == ["a", "b", "c", "e", "h"]


def test_a_path_that_is_missing_stops_none_of_the_others(
    study: Study, write_scan: Callable[..., Path], tmp_path: Path
) -> None:
    results = list(study.scans.add_all([tmp_path / "nowhere.nii.gz", write_scan("d")]))
    assert [type(result) for result in results] == [ScanProblem, Case]


def test_a_scan_with_nan_is_refused(study: Study, write_scan: Callable[..., Path]) -> None:
    [source] = find_scans([write_scan("d", bad_voxel=np.nan)])
    with pytest.raises(BadScan, match=r"NaN|not a number"):
        study.scans.add(source)


def test_the_same_content_under_another_name_is_a_duplicate(study: Study, tmp_path: Path) -> None:
    copy = tmp_path / "copy.nii.gz"
    shutil.copy(tmp_path / "scans" / "a.nii.gz", copy)
    [problem] = study.scans.add_all([copy])
    assert isinstance(problem, ScanProblem)
    assert "already in the study as the case 'a'" in problem.sentence


def test_another_scan_with_the_same_name_is_told_to_be_renamed(
    study: Study, write_scan: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "a.nii.gz"
    shutil.move(write_scan("different"), other)
    [problem] = study.scans.add_all([other])
    assert isinstance(problem, ScanProblem)
    assert "rename" in problem.sentence


def test_a_scan_with_other_channels_is_refused(
    study: Study, write_scan: Callable[..., Path]
) -> None:
    paths = (write_scan("x_0000", folder="two"), write_scan("x_0001", folder="two"))
    with pytest.raises(StudyError, match="2 channel"):
        study.scans.add(ScanSource("x", paths, "channels"))


def test_study_and_scans_move_together(study: Study, drawn: np.ndarray, tmp_path: Path) -> None:
    study.labels.save("a", drawn)
    study.close()
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(study.path, moved / "liver.semiseg")
    shutil.move(tmp_path / "scans", moved / "scans")
    with Study.open(moved / "liver.semiseg") as opened:
        assert opened.scans.read("a").voxels.shape == (1, 6, 7, 8)
        np.testing.assert_array_equal(opened.labels.load("a"), drawn)


def test_a_scan_that_moved_is_missed_and_found_again_by_its_content(
    study: Study, write_scan: Callable[..., Path], tmp_path: Path
) -> None:
    archive = tmp_path / "archive" / "2024"
    archive.parent.mkdir()
    shutil.move(tmp_path / "scans", archive)
    with pytest.raises(ScanMissing, match="folder that it moved to"):
        study.scans.read("a")
    decoy = tmp_path / "archive" / "1999" / "a.nii.gz"
    decoy.parent.mkdir()
    shutil.move(write_scan("decoy"), decoy)
    (archive / "c.nii.gz").unlink()
    found = study.scans.relocate(tmp_path / "archive")
    assert [case.name for case in found] == ["a", "b"]
    assert study.scans.read("a").voxels.shape == (1, 6, 7, 8)
    with pytest.raises(ScanMissing):
        study.scans.read("c")


def test_scans_of_several_files_are_found_again_as_a_whole(
    study: Study, write_scan: Callable[..., Path], tmp_path: Path
) -> None:
    with Study.create(tmp_path / "two", study.classes) as two:
        paths = (write_scan("x_0000", folder="two"), write_scan("x_0001", folder="two"))
        two.scans.add(ScanSource("x", paths, "channels"))
        shutil.move(tmp_path / "two", tmp_path / "three")
        assert [case.name for case in two.scans.relocate(tmp_path / "three")] == ["x"]
        assert two.scans.read("x").voxels.shape[0] == 2


def test_relocating_to_no_folder_is_refused(study: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="There is no folder"):
        study.scans.relocate(tmp_path / "nowhere")


def test_a_scan_that_was_exchanged_for_another_grid_is_noticed(
    study: Study, tmp_path: Path
) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4))
    nib.save(image, tmp_path / "scans" / "a.nii.gz")
    with pytest.raises(BadScan, match="has changed"):
        study.scans.read("a")


def test_a_file_that_was_renamed_is_found_by_its_content(study: Study, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    shutil.move(tmp_path / "scans" / "a.nii.gz", moved / "another name.nii.gz")
    assert [case.name for case in study.scans.relocate(moved)] == ["a"]
    assert study.scans.read("a").voxels.shape == (1, 6, 7, 8)


def test_a_single_file_is_taken_for_the_scan_that_it_is(
    study: Study, write_scan: Callable[..., Path], tmp_path: Path
) -> None:
    original = tmp_path / "backup.nii.gz"
    shutil.copy(tmp_path / "scans" / "b.nii.gz", original)
    shutil.copy(tmp_path / "scans" / "a.nii.gz", tmp_path / "scans" / "b.nii.gz")
    assert [case.name for case in study.scans.relocate(original)] == ["b"]
    assert study.case("b").source.paths == (original,)
    assert study.scans.relocate(write_scan("stranger")) == []


def test_nothing_is_searched_where_nothing_is_missing(study: Study, tmp_path: Path) -> None:
    assert study.scans.relocate(tmp_path) == []


def test_a_known_scan_is_told_with_the_case_that_has_it(study: Study, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "scans" / "a.nii.gz", tmp_path / "copy.nii.gz")
    [problem] = study.scans.add_all([tmp_path / "copy.nii.gz"])
    assert isinstance(problem, ScanProblem)
    assert problem.known_as == "a"
