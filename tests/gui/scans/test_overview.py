from __future__ import annotations

import shutil

import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.scans.checks import ScanTrouble
from napari_semiseg.gui.scans import overview


def look(desk, background, everywhere=False):
    desk.overview.look(everywhere)
    background.finish()


def test_scans_are_looked_at_away_from_the_main_thread(desk, background):
    told = []
    desk.overview.changed.connect(told.extend)
    desk.overview.look()
    assert desk.overview.cases == {}
    assert desk.overview.busy
    background.finish()
    assert not desk.overview.busy
    assert sorted(told) == sorted(desk.overview.cases) == ["scan_0", "scan_1", "scan_2", "scan_3"]
    assert desk.overview.cases["scan_0"].marked.volumes_ml[1] == pytest.approx(180 * 4.5 / 1000)


def test_only_what_has_changed_is_looked_at_again(desk, background, monkeypatch):
    look(desk, background)
    asked = []
    real = overview.overview_cases
    monkeypatch.setattr(
        overview, "overview_cases", lambda study, names: asked.extend(names) or real(study, names)
    )
    look(desk, background)
    assert asked == []
    desk.scans.remove("scan_3")
    desk.open_study.change(lambda study: study.labels.save("scan_1", study.labels.load("scan_0")))
    background.finish()
    look(desk, background)
    assert asked == ["scan_1"]
    assert "scan_3" not in desk.overview.cases
    look(desk, background, everywhere=True)
    assert len(asked) == 4


def test_what_is_asked_meanwhile_waits(desk, background):
    desk.overview.look()
    desk.overview.look_at(["scan_2"])
    assert len(background.waiting) == 1
    background.finish()
    assert not desk.overview.busy


def test_a_study_that_is_left_is_forgotten(desk, background):
    desk.overview.look()
    desk.open_study.close_study()
    background.finish()
    assert desk.overview.cases == {}
    assert not desk.overview.busy


def test_a_problem_is_told_once(desk, background, monkeypatch, messages):
    def refuse(*_):
        raise StudyError("The disk is gone.")

    monkeypatch.setattr(overview, "overview_cases", refuse)
    look(desk, background)
    assert "The disk is gone." in messages()[-1][1]
    assert not desk.overview.busy
    count = len(messages())
    look(desk, background)
    assert len(messages()) == count


@pytest.mark.parametrize("whole_folder", [True, False])
def test_scans_that_moved_are_found_again(
    desk, background, scan_folder, tmp_path, messages, whole_folder
):
    moved = tmp_path / "moved"
    shutil.move(scan_folder, moved)
    look(desk, background)
    trouble = desk.overview.cases["scan_0"].trouble
    assert trouble.trouble is ScanTrouble.FOLDER_MISSING
    desk.overview.locate(moved if whole_folder else moved / "scan_2.nii.gz")
    background.finish()
    assert "4 scans found again" in messages()[-1][1]
    look(desk, background)
    assert all(item.trouble is None for item in desk.overview.cases.values())


def test_a_place_without_the_scans_is_told(desk, background, scan_folder, tmp_path, messages):
    (scan_folder / "scan_1.nii.gz").unlink()
    (tmp_path / "empty").mkdir()
    desk.overview.locate(tmp_path / "empty")
    background.finish()
    assert "choose another place" in messages()[-1][1]
