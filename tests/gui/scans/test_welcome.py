from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_semiseg.engine.errors import BadScan
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.volumes import Geometry, write_label, write_map
from napari_semiseg.gui.scans import sample_studies
from tests.gui.parts_of_the_desk import welcome_page


@pytest.fixture
def page(qtbot, session, recent):
    page = welcome_page(session, recent)
    qtbot.addWidget(page)
    return page


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The user always names the same new study."""
    path = tmp_path / "named.semiseg"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, **__: (str(path), ""))
    return path


def recent_buttons(page):
    buttons = page._studies.findChildren(QPushButton)
    return {button.accessibleName(): button for button in buttons}


def test_recent_studies_are_offered_with_their_folder(
    page, recent, session, background, study_path
):
    assert recent_buttons(page) == {}
    recent.remember(study_path)
    session.open_study.study_changed.emit()
    [button] = recent_buttons(page).values()
    assert button.text().splitlines()[0] == "boxes"
    assert str(study_path) in button.toolTip()
    button.click()
    background.finish()
    assert session.open_study.study.path == study_path


def test_a_study_that_is_gone_is_not_offered(page, recent, tmp_path):
    recent.remember(tmp_path / "gone.semiseg")
    page.refresh()
    assert recent_buttons(page) == {}


def test_scans_that_are_dropped_become_a_new_study(page, session, background, scan_folder, place):
    page.dropped.emit([scan_folder])
    background.finish()
    assert session.open_study.study.path == place
    assert len(session.open_study.records.cases) == 4


def test_a_study_that_is_dropped_opens(page, session, background, study_path):
    page.dropped.emit([study_path])
    background.finish()
    assert session.open_study.study.path == study_path


def test_the_sample_brains_become_a_study(page, session, background, place):
    page.sample.click()
    assert session.open_study.job.title == "Making the sample study"
    assert not page.download.isEnabled()
    background.finish()
    assert len(session.open_study.records.cases) == 16
    assert page.download.isEnabled()


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """The data set as it is downloaded, with three scans; returns what a test may make fail."""
    folder = tmp_path / "Task04"
    grid = Geometry((4, 6, 8), np.eye(4), None)
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True)
    for number in range(3):
        name = f"hippocampus_{number:03d}.nii.gz"
        voxels = np.random.default_rng(number).normal(size=grid.shape)
        write_map(folder / "imagesTr" / name, voxels, grid)
        write_label(folder / "labelsTr" / name, voxels > 0, grid)
    outcome = {"folder": folder}

    def fetch():
        yield 0.5
        if isinstance(outcome["folder"], Exception):
            raise outcome["folder"]
        return outcome["folder"]

    monkeypatch.setattr(sample_studies, "fetch_hippocampus", fetch)
    return outcome


def test_the_hippocampi_are_downloaded_with_progress(downloads, tmp_path):
    steps = sample_studies.create_hippocampus_study(tmp_path / "new", 3, labelled=1, held_out=1)
    first = next(steps)
    assert (first.share, first.detail) == (0.5, "downloading")
    while True:
        try:
            next(steps)
        except StopIteration as end:
            study, snapshot = end.value
            break
    states = [case.state for case in snapshot.cases]
    assert states == [CaseState.LABELLED, CaseState.UNLABELLED, CaseState.HELD_OUT]
    study.close()


def test_a_download_that_fails_is_told_and_makes_no_study(
    page, session, background, downloads, place, messages
):
    downloads["folder"] = BadScan("There is no network.")
    page.download.click()
    background.finish()
    assert "no network" in messages()[-1][1]
    assert not Path(place).exists()
    assert session.open_study.study is None


def test_a_download_that_is_stopped_makes_no_study(page, session, background, downloads, place):
    page.download.click()
    session.open_study.stop_job()
    background.finish()
    assert session.open_study.study is None
    assert not Path(place).exists()
