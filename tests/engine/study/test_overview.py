"""A list of cases knows what each looks like, how much is marked in it, and what is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState, Study, overview
from napari_semiseg.engine.study.overview import overview_cases
from napari_semiseg.engine.study.scans.checks import ScanTrouble

VOXEL_ML = 0.5 * 0.75 * 2.0 / 1000


def look(study: Study) -> dict[str, overview.CaseOverview]:
    return {item.case: item for item in overview_cases(study)}


def predict(study: Study, name: str, value: int = 2) -> str:
    run = study.runs.create("ua-mt", {}, 0)
    prediction = np.zeros(study.case(name).geometry.shape, np.uint8)
    prediction[0, 0] = value
    uncertainty = np.full(prediction.shape, 0.1, np.float32)
    uncertainty[0, 0] = 0.5
    study.runs.maps.save(run, name, "prediction", prediction)
    study.runs.maps.save(run, name, "uncertainty", uncertainty)
    return run.identifier


def test_a_new_case_has_a_picture_and_nothing_marked(study: Study) -> None:
    found = look(study)
    assert list(found) == ["a", "b", "c"]
    picture = found["a"].thumbnail
    assert picture is not None
    assert picture.dtype == np.uint8
    assert found["a"].marked is None
    assert found["a"].findings == ()


def test_volumes_come_from_the_label(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn, state=CaseState.LABELLED)
    marked = look(study)["a"].marked
    assert marked is not None
    assert marked.run is None
    assert marked.volumes_ml[1] == pytest.approx((drawn == 1).sum() * VOXEL_ML)
    assert marked.volumes_ml[2] == pytest.approx(VOXEL_ML)


def test_without_a_label_they_come_from_the_newest_prediction(study: Study) -> None:
    predict(study, "a", value=1)
    run = predict(study, "a", value=2)
    marked = look(study)["a"].marked
    assert marked is not None
    assert marked.run == run
    assert marked.volumes_ml == {2: pytest.approx(8 * VOXEL_ML)}
    assert marked.unsure == pytest.approx(0.5), "the background is left out"


def test_a_label_and_the_uncertainty_of_a_prediction_stand_together(
    study: Study, drawn: np.ndarray
) -> None:
    predict(study, "a")
    study.labels.save("a", drawn)
    marked = look(study)["a"].marked
    assert marked is not None
    assert (marked.run, set(marked.volumes_ml)) == (None, {1, 2})
    assert marked.unsure == pytest.approx(0.5)


def test_what_is_known_is_not_read_again(
    study: Study, drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.labels.save("a", drawn)
    predict(study, "b")
    before = look(study)

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(overview, "examine_scan", refuse)
    monkeypatch.setattr(overview, "measure_marked", refuse)
    after = look(study)
    for name, item in before.items():
        assert item.marked == after[name].marked
        np.testing.assert_array_equal(item.thumbnail, after[name].thumbnail)


def test_a_new_label_and_a_new_prediction_are_measured_again(
    study: Study, drawn: np.ndarray
) -> None:
    look(study)
    predict(study, "b")
    study.labels.save("a", drawn)
    found = look(study)
    assert found["a"].marked is not None
    assert found["b"].marked is not None


def test_a_scan_that_is_gone_keeps_its_picture(study: Study, tmp_path: Path) -> None:
    look(study)
    shutil.move(tmp_path / "scans", tmp_path / "moved")
    gone = look(study)["a"]
    assert gone.trouble is not None
    assert gone.trouble.trouble is ScanTrouble.FOLDER_MISSING
    assert gone.thumbnail is not None
    study.scans.relocate(tmp_path / "moved")
    assert look(study)["a"].trouble is None


def test_a_file_that_changes_is_noticed_and_remembered(study: Study, tmp_path: Path) -> None:
    look(study)
    shutil.copy(tmp_path / "scans" / "b.nii.gz", tmp_path / "scans" / "a.nii.gz")
    for _ in range(2):
        trouble = look(study)["a"].trouble
        assert trouble is not None
        assert trouble.trouble is ScanTrouble.CHANGED


def test_only_the_cases_asked_for_are_looked_at(study: Study) -> None:
    assert [item.case for item in overview_cases(study, ["c", "gone"])] == ["c"]


@pytest.mark.parametrize("content", ["{", "[]", '{"1": {"other": 2}}'])
def test_a_damaged_cache_is_made_anew(study: Study, content: str) -> None:
    look(study)
    (study.cache_folder / "overview.json").write_text(content)
    assert look(study)["a"].thumbnail is not None


def test_a_damaged_label_spoils_only_its_own_row(study: Study, drawn: np.ndarray) -> None:
    study.labels.save("a", drawn)
    for chunk in (study.path / "labels").rglob("c.*"):
        chunk.write_bytes(b"broken")
    found = look(study)
    assert found["a"].marked is None
    assert len(found) == 3
