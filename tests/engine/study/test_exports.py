from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study, export_labels
from napari_semiseg.engine.volumes.reading import read_label


@pytest.fixture
def labelled(study: Study, drawn: np.ndarray) -> Study:
    """Give the study with a human label, an accepted one and a rejected one."""
    run = study.runs.create("dtc", {}, 0)
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    study.hold_out("a")
    for name in "bc":
        study.runs.maps.save(run, name, "prediction", np.minimum(drawn, 1))
        study.accept(name, run)
    study.reject("c", run)
    return study


@pytest.mark.parametrize("file_type", [".nii.gz", ".nrrd", ".mha"])
def test_labels_land_on_the_grids_of_their_scans_with_their_class_names(
    labelled: Study, drawn: np.ndarray, tmp_path: Path, file_type: str
) -> None:
    files = export_labels(labelled, tmp_path / "out", file_type)
    assert [file.name for file in files] == [f"a{file_type}", f"b{file_type}"]
    label = read_label(files[0], scan=labelled.case("a").geometry)
    np.testing.assert_array_equal(label.voxels, drawn)
    assert label.class_names == {1: "liver", 2: "tumour"}


def test_an_exported_nifti_label_has_the_exact_affine_of_its_scan(
    labelled: Study, tmp_path: Path
) -> None:
    [first, _] = export_labels(labelled, tmp_path / "out")
    scan, label = nib.load(tmp_path / "scans" / "a.nii.gz"), nib.load(first)
    np.testing.assert_array_equal(scan.affine, label.affine)
    assert scan.header["sform_code"] == label.header["sform_code"]


def test_the_table_tells_origin_and_state_and_no_folder(labelled: Study, tmp_path: Path) -> None:
    export_labels(labelled, tmp_path / "out")
    text = (tmp_path / "out" / "labels.csv").read_text()
    assert str(tmp_path) not in text
    rows = list(csv.DictReader(text.splitlines()))
    assert [(row["case"], row["file"], row["origin"], row["state"]) for row in rows] == [
        ("a", "a.nii.gz", "human", "held-out"),
        ("b", "b.nii.gz", "accepted", "accepted"),
    ]
    assert all(row["saved at"] for row in rows)
    readme = (tmp_path / "out" / "README.txt").read_text()
    assert readme == "For research use only; not a medical device.\n"


def test_only_files_of_an_earlier_export_are_replaced(labelled: Study, tmp_path: Path) -> None:
    scan = tmp_path / "scans" / "a.nii.gz"
    before = scan.read_bytes()
    with pytest.raises(StudyError, match="is in the way"):
        export_labels(labelled, tmp_path / "scans")
    assert scan.read_bytes() == before
    assert len(list((tmp_path / "scans").iterdir())) == 3
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.txt").write_text("notes of somebody")
    with pytest.raises(StudyError, match=r"README\.txt is in the way"):
        export_labels(labelled, tmp_path / "out")
    first = export_labels(labelled, tmp_path / "again")
    assert export_labels(labelled, tmp_path / "again") == first


def test_an_unknown_file_type_is_refused(labelled: Study, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"choose one of \.nii\.gz"):
        export_labels(labelled, tmp_path / "out", ".png")


def test_a_full_disk_is_told_in_one_sentence(
    labelled: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(StudyError, match="is full"):
            export_labels(labelled, tmp_path / "out")
    assert len(export_labels(labelled, tmp_path / "out")) == 2


def test_slices_that_nobody_has_looked_at_are_not_exported_as_background(
    study: Study, drawn: np.ndarray, tmp_path: Path
) -> None:
    study.labels.save("a", drawn)
    study.labels.mark_slices("a", 0, [2, 3])
    (file,) = export_labels(study, tmp_path / "out")
    written = np.asarray(nib.load(file).dataobj).T
    np.testing.assert_array_equal(written[2:4], drawn[2:4])
    assert (written[[0, 1, 4, 5]] == 255).all()
    sidecar = json.loads((tmp_path / "out" / "a.json").read_text())
    assert sidecar["labels"]["not annotated"] == 255


def test_a_table_tells_who_said_what_of_each_class(
    study: Study, drawn: np.ndarray, tmp_path: Path
) -> None:
    run = study.runs.create("dtc", {}, 0).identifier
    human = np.zeros_like(drawn)
    human[2, 2, 2:4] = 1
    study.labels.save("a", human)
    for name in "ab":
        study.runs.maps.save(run, name, "prediction", drawn)
        study.labels.parts.accept(name, run, drawn.astype(np.int32), {1: "liver, part 1"})
    study.labels.parts.reject(
        "c", _predicted(study, run, "c", drawn), drawn.astype(np.int32), {1: "x"}
    )
    files = export_labels(study, tmp_path / "out")
    assert [file.name for file in files] == ["a.nii.gz", "b.nii.gz"], "c has no label of anyone"
    text = (tmp_path / "out" / "provenance.csv").read_text()
    assert str(tmp_path) not in text
    rows = [tuple(row.values()) for row in csv.DictReader(text.splitlines())]
    assert rows == [
        ("a", "liver", "human", "2", "0.0015"),
        ("a", "liver", run, "21", "0.0158"),
        ("b", "liver", run, "23", "0.0173"),
    ]
    written = np.asarray(nib.load(files[1]).dataobj).T
    assert (written[drawn != 1] == 255).all()
    assert export_labels(study, tmp_path / "out") == files


def test_a_foreign_table_of_provenance_is_in_the_way(labelled: Study, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "provenance.csv").write_text("painting,owner\n")
    with pytest.raises(StudyError, match=r"provenance\.csv is in the way"):
        export_labels(labelled, tmp_path / "out")


def _predicted(study: Study, run: str, name: str, prediction: np.ndarray) -> str:
    study.runs.maps.save(run, name, "prediction", prediction)
    study.mark(name, CaseState.PREDICTED)
    return run
