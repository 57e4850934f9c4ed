"""Headers that lie beside the files with their voxels."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.study.scans.adding import content_hash
from napari_semiseg.engine.volumes.detached_data import detached_data


def write(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(seed).normal(size=(6, 7, 8)).astype(np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), path)
    return path


@pytest.mark.parametrize("name", ["image.mhd", "image.nhdr"])
def test_the_file_with_the_voxels_is_found_and_counts(tmp_path: Path, name: str) -> None:
    first, second = write(tmp_path / "a" / name, 0), write(tmp_path / "b" / name, 1)
    (data,) = detached_data(first)
    assert data.parent == first.parent
    assert data.stat().st_size > 0
    assert first.read_bytes() == second.read_bytes()
    assert content_hash([first]) != content_hash([second])
    data.write_bytes(detached_data(second)[0].read_bytes())
    assert content_hash([first]) == content_hash([second])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("ElementDataFile = LOCAL\n", []),
        ("ElementDataFile = slice%03d.raw 1 9 1\n", []),
        ("ElementDataFile = LIST\na.raw\nb.raw\n", ["a.raw", "b.raw"]),
        ("NDims = 3\n", []),
    ],
)
def test_other_ways_of_naming_it(tmp_path: Path, text: str, names: list[str]) -> None:
    header = tmp_path / "image.mhd"
    header.write_text(text)
    assert [path.name for path in detached_data(header)] == names


def test_a_file_that_holds_its_voxels_has_no_other(tmp_path: Path) -> None:
    assert detached_data(write(tmp_path / "image.mha", 0)) == ()


def test_two_patients_on_the_same_grid_are_two_scans(tmp_path: Path) -> None:
    paths = [write(tmp_path / name / f"{name}.mhd", seed) for seed, name in enumerate("ab")]
    with Study.create(tmp_path / "s.semiseg", parse_classes("1=a")) as study:
        for _ in study.scans.add_all(paths):
            pass
        assert [case.name for case in study.cases()] == ["a", "b"]
        assert {case.state for case in study.cases()} == {CaseState.UNLABELLED}
