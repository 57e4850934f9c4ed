from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.study.labels.provenance import human_provenance
from napari_semiseg.engine.study.labels.store import LabelStore, label_hash


def test_the_hash_of_a_label_depends_on_shape_and_values_only() -> None:
    label = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert label_hash(label) == label_hash(np.asfortranarray(label))
    assert label_hash(label) != label_hash(label.reshape(4, 3, 2))
    assert label_hash(label) != label_hash(label + 1)


def test_two_versions_are_kept_and_older_ones_removed(study: Study, drawn: np.ndarray) -> None:
    for shift in range(4):
        study.labels.save("a", np.roll(drawn, shift, axis=0))
    versions = sorted(entry.name for entry in (study.path / "labels" / "1").iterdir())
    assert versions == ["0003.zarr", "0004.zarr"]
    np.testing.assert_array_equal(study.labels.load("a"), np.roll(drawn, 3, axis=0))
    np.testing.assert_array_equal(study.labels.load_previous("a"), np.roll(drawn, 2, axis=0))


def test_a_loaded_label_may_be_painted_on(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    label = study.labels.load("a")
    assert label is not None
    label[...] = 0
    np.testing.assert_array_equal(study.labels.load("a"), drawn)


def test_a_damaged_label_is_noticed_and_the_previous_one_is_whole(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn)
    study.labels.save("a", drawn // 2)
    # zarr itself would read the missing chunk as zeros
    (study.path / "labels" / "1" / "0002.zarr" / "c.0.0.0").unlink()
    with pytest.raises(StudyError, match="restore the previous label"):
        study.labels.load("a")
    study.labels.restore_previous("a")
    np.testing.assert_array_equal(study.labels.load("a"), drawn)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "is full"), (errno.EROFS, "cannot be written")]
)
@pytest.mark.parametrize("step", ["zarr.create_array", "os.replace", "os.fsync"])
def test_a_disk_that_refuses_leaves_the_label_of_before(
    study: Study,
    drawn: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
    step: str,
) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    before = study.case("a")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(step, refuse)
        with pytest.raises(StudyError, match=words):
            study.labels.save("a", drawn * 0)
    np.testing.assert_array_equal(study.labels.load("a"), drawn)
    assert study.case("a").label_hash == before.label_hash
    assert study.case("a").state is CaseState.LABELLED
    assert not list((study.path / "labels" / "1").glob(".staged*"))
    study.labels.save("a", drawn * 0)
    assert study.labels.load("a") is not None


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere"
)
def test_a_read_only_study_can_be_read_and_says_why_it_cannot_be_written(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn)
    study.close()
    folders = [study.path, *(entry for entry in study.path.rglob("*") if entry.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    (study.path / "study.sqlite").chmod(0o444)
    try:
        with Study.open(study.path) as opened:
            np.testing.assert_array_equal(opened.labels.load("a"), drawn)
            with pytest.raises(StudyError, match="cannot be written"):
                opened.labels.save("a", drawn)
            with pytest.raises(StudyError, match="cannot be written"):
                opened.mark("a", CaseState.LABELLED)
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_what_a_killed_program_left_is_removed_after_an_hour(
    study: Study, drawn: np.ndarray
) -> None:
    study.labels.save("a", drawn)
    folder = study.path / "labels" / "1"
    old, young = folder / ".staged-old", folder / ".staged-young"
    old.mkdir()
    young.mkdir()
    two_hours_ago = time.time() - 7200
    os.utime(old, (two_hours_ago, two_hours_ago))
    study.labels.save("a", drawn)
    assert young.exists()
    assert not old.exists()


def test_a_version_that_was_never_committed_is_skipped(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    store = LabelStore(study.path / "labels")
    assert store.publish(1, store.stage(1, drawn * 0, human_provenance(drawn * 0))) == 2
    np.testing.assert_array_equal(study.labels.load("a"), drawn)
    study.labels.save("a", drawn // 2)
    assert study.case("a").label_version == 3
    assert sorted(entry.name for entry in (study.path / "labels" / "1").iterdir()) == [
        "0001.zarr",
        "0003.zarr",
    ]


def test_labels_of_a_removed_case_are_kept(study: Study, drawn: np.ndarray, tmp_path: Path) -> None:
    study.labels.save("a", drawn)
    run = study.runs.create("dtc", {}, 0)
    study.runs.maps.save(run, "a", "prediction", drawn)
    study.runs.record_metrics(run, "a", {"dice": 1.0})
    study.remove_case("a")
    assert [case.name for case in study.cases()] == ["b", "c"]
    assert (study.path / "labels" / "removed" / "1-a" / "0001.zarr").is_dir()
    assert (tmp_path / "scans" / "a.nii.gz").exists()
    assert not (run.folder / "maps" / "1").exists()
    assert study.decisions("a")[-1].what == "case removed"
    list(study.scans.add_all([tmp_path / "scans" / "a.nii.gz"]))
    assert study.case("a").identifier == 4
    assert study.labels.load("a") is None
