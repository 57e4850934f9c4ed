from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from napari_semiseg.engine.errors import BadScan, ScanMissing
from napari_semiseg.engine.volumes import ScanSource, find_scans, read_volume

DEPTHS = [0.0, 2.0, 4.0]


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(sources: list[ScanSource]) -> list[str]:
    return [source.name for source in sources]


def test_every_image_of_a_folder_is_a_scan(tmp_path):
    touch(tmp_path, "b.nii.gz", "a.nrrd", "c.mha", "notes.txt", "._b.nii.gz", "d.raw")
    sources = find_scans([tmp_path])
    assert names(sources) == ["a", "b", "c"]
    assert {source.kind for source in sources} == {"file"}


def test_a_file_named_twice_is_one_scan(tmp_path):
    touch(tmp_path, "a.nii")
    assert len(find_scans([tmp_path, tmp_path / "a.nii", str(tmp_path / "a.nii")])) == 1


def test_numbered_channels_are_one_scan(tmp_path):
    touch(tmp_path, "x_0001.nii.gz", "x_0000.nii.gz", "y_0000.nii.gz", "y_0001.nii.gz")
    sources = find_scans([tmp_path])
    assert names(sources) == ["x", "y"]
    assert [path.name for path in sources[0].paths] == ["x_0000.nii.gz", "x_0001.nii.gz"]
    assert sources[0].kind == "channels"


def test_a_single_numbered_channel_drops_its_number(tmp_path):
    touch(tmp_path, "x_0000.nii.gz")
    (source,) = find_scans([tmp_path])
    assert (source.name, source.kind) == ("x", "file")


@pytest.mark.parametrize(
    "files",
    [
        ["x_0001.nii", "x_0002.nii"],
        ["x_0000.nii", "x_0002.nii"],
        [f"x_{number:04}.nii" for number in range(9)],
    ],
    ids=["from one", "with a gap", "many"],
)
def test_numbers_that_count_scans_are_kept(tmp_path, files):
    touch(tmp_path, *files)
    assert names(find_scans([tmp_path])) == [file[:-4] for file in files]


def test_subfolders_are_searched_where_a_folder_has_no_images(tmp_path):
    touch(tmp_path, "one/T1.nii", "two/T1.nii", "two/deep/T2.nii")
    assert names(find_scans([tmp_path])) == ["one_T1", "two_T1"]


def test_names_stay_unique(tmp_path):
    touch(tmp_path, "a/s/T1.nii", "b/s/T1.nii")
    assert names(find_scans([tmp_path])) == ["s_T1", "s_T1_2"]


def test_nested_dicom_series_are_scans_named_after_their_folders(tmp_path, write_series):
    write_series(tmp_path / "one" / "head", DEPTHS, series="1.2.1")
    write_series(tmp_path / "two", DEPTHS[::-1], series="1.2.2")
    sources = find_scans([tmp_path])
    assert names(sources) == ["head", "two"]
    assert [path.name for path in sources[1].paths] == [
        "slice_02.dcm",
        "slice_01.dcm",
        "slice_00.dcm",
    ]
    assert read_volume(sources[1]).geometry.shape == (3, 5, 7)


def test_series_that_share_a_folder_are_told_apart(tmp_path, write_series):
    write_series(tmp_path, DEPTHS, series="1.2.1", SeriesNumber=3, SeriesDescription="T1")
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"first_{path.stem}")
    write_series(tmp_path, DEPTHS, series="1.2.2", SeriesNumber=4, SeriesDescription="T2")
    sources = find_scans([tmp_path])
    assert names(sources) == [f"{tmp_path.name}_3 T1", f"{tmp_path.name}_4 T2"]
    assert [len(source.paths) for source in sources] == [3, 3]


def test_dicom_files_may_be_picked_one_by_one(tmp_path, write_series):
    write_series(tmp_path, DEPTHS)
    (source,) = find_scans(sorted(tmp_path.iterdir(), reverse=True))
    assert [path.name for path in source.paths] == sorted(os.listdir(tmp_path))


def test_copies_of_slices_are_taken_once(tmp_path, write_series):
    write_series(tmp_path / "a", DEPTHS)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (source,) = find_scans([tmp_path])
    assert len(source.paths) == 3


def test_an_empty_folder_is_one_sentence(tmp_path):
    with pytest.raises(BadScan, match="holds no scans; scans are NIfTI"):
        find_scans([tmp_path])


def test_a_file_of_another_kind_is_one_sentence(tmp_path):
    touch(tmp_path, "letter.pdf")
    with pytest.raises(BadScan, match=r"letter\.pdf is not a readable image"):
        find_scans([tmp_path / "letter.pdf"])


def test_a_place_that_cannot_be_opened_is_one_sentence(tmp_path, monkeypatch):
    touch(tmp_path, "folder/slice")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadScan, match=r"slice cannot be opened \(Permission denied\)"):
        find_scans([tmp_path])
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BadScan, match=r"folder cannot be opened \(Permission denied\)"):
        find_scans([tmp_path / "folder"])


def test_a_missing_path_is_one_sentence(tmp_path):
    with pytest.raises(ScanMissing, match="does not exist"):
        find_scans([tmp_path / "nowhere"])


def test_a_source_moves_with_its_study(tmp_path):
    touch(tmp_path, "here/scans/a_0000.nii", "here/scans/a_0001.nii", "here/my.semiseg/x")
    (source,) = find_scans([tmp_path / "here" / "scans"])
    record = source.to_dict(relative_to=tmp_path / "here" / "my.semiseg")
    assert record == {
        "name": "a",
        "kind": "channels",
        "paths": ["../scans/a_0000.nii", "../scans/a_0001.nii"],
    }
    (tmp_path / "here").rename(tmp_path / "there")
    moved = ScanSource.from_dict(record, relative_to=tmp_path / "there" / "my.semiseg")
    assert moved.paths[1] == tmp_path / "there" / "scans" / "a_0001.nii"
    assert moved.paths[1].exists()


def test_a_relative_path_is_seen_from_the_study_and_not_from_here(tmp_path, monkeypatch):
    touch(tmp_path, "scans/a.nii")
    monkeypatch.chdir(tmp_path)
    source = ScanSource("a", (Path("scans/a.nii"),), "file")
    assert source.to_dict(tmp_path / "study")["paths"] == ["../scans/a.nii"]
