"""What each page does when something is missing or goes wrong, in the real viewer with real threads.

Nothing to work on, a training that fails, a disk that is full, a viewer that is closed in the middle:
each is told in a sentence, nothing that was saved is lost, and the desk is ready again.
"""

from __future__ import annotations

import errno
import gc
import os

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.gui.desk import TITLE, SemisegWidget

PATIENCE = 60_000
SMALL = {"patch": (8, 8, 8), "network.filters": 2, "network.strides": [[2, 2, 2]]}
"""A network that trains and predicts in no time."""

BOX = (slice(3, 9), slice(5, 10), slice(5, 11))
LETTERS = (Qt.Key.Key_A, Qt.Key.Key_F, Qt.Key.Key_H, Qt.Key.Key_I, Qt.Key.Key_K, Qt.Key.Key_R)


@pytest.fixture
def viewer(make_napari_viewer):
    return make_napari_viewer()


@pytest.fixture
def docked(viewer, qtbot, recent):
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    qtbot.waitUntil(lambda: bool(widget.session.open_study.methods), timeout=PATIENCE)
    yield widget
    widget.session.close()


@pytest.fixture
def opened(docked, qtbot, study_path):
    """The desk with the study of four scans, of which one is labelled."""
    docked.session.open_study.open(study_path)
    qtbot.waitUntil(lambda: docked.session.open_study.study is not None, timeout=PATIENCE)
    return docked


@pytest.fixture
def predicted(opened, qtbot):
    """The same with a run that has predicted scan_1, which is on the screen of the Review page."""
    study = opened.session.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run, status="finished")
    prediction = np.zeros(study.case("scan_1").geometry.shape, np.uint8)
    prediction[BOX] = 1
    study.runs.maps.save(run, "scan_1", "prediction", prediction)
    study.mark("scan_1", CaseState.PREDICTED)
    opened.session.open_study.refresh()
    settle(qtbot, opened.session)
    opened.show_page(3)
    opened.session.maps.show_case("scan_1")
    qtbot.waitUntil(opened.review_page.accept.isEnabled, timeout=PATIENCE)
    return opened


@pytest.fixture
def full_disk():
    """Fill the disk; the function that comes back frees it again."""
    patch = pytest.MonkeyPatch()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(os, "fsync", refuse)
    yield patch.undo
    patch.undo()


def settle(qtbot, session):
    qtbot.waitUntil(
        lambda: (
            session.open_study.job is None
            and not session.open_study.lane.busy
            and not session.labelling.saving.under_way
        ),
        timeout=PATIENCE,
    )


def show(qtbot, session, name):
    session.on_show.show(name)
    qtbot.waitUntil(lambda: session.on_show.name == name, timeout=PATIENCE)


def paint(session, z):
    y, x = np.mgrid[5:10, 5:11].reshape(2, -1)
    session.on_show.layers.label_layer.data_setitem((np.full_like(y, z), y, x), 1)


def errors(messages):
    return [text for severity, text in messages() if severity == "error"]


def press_every_letter(docked, viewer):
    canvas = viewer.window._qt_viewer.canvas.native
    for page in range(5):
        docked.show_page(page)
        for key in LETTERS:
            QTest.keyClick(canvas, key)


# nothing to work on


def test_without_a_scan_every_page_says_what_to_do_first(docked, viewer, qtbot, tmp_path, messages):
    Study.create(tmp_path / "empty", parse_classes("1=box")).close()
    docked.session.open_study.open(tmp_path / "empty.semiseg")
    qtbot.waitUntil(lambda: docked.session.open_study.study is not None, timeout=PATIENCE)
    reasons = (
        (docked.scans_page.open, "Select a scan"),
        (docked.scans_page.hold_out, "Select a scan"),
        (docked.label_page.case, "add some on the Scans page"),
        (docked.label_page.done, "No scan is on the screen"),
        (docked.train_page.start, "There are no scans yet"),
        (docked.review_page.predict, "Nothing has been trained yet"),
        (docked.review_page.accept, "No scan is on the screen"),
        (docked.compare_page.measure_runs, "No labelled scan is held out"),
    )
    for control, reason in reasons:
        assert not control.isEnabled()
        assert reason in control.toolTip()
    press_every_letter(docked, viewer)
    settle(qtbot, docked.session)
    assert errors(messages) == []


def test_without_a_label_training_and_what_follows_say_what_is_missing(
    docked, viewer, qtbot, scan_folder, tmp_path, messages
):
    with Study.create(tmp_path / "bare", parse_classes("1=box")) as study:
        list(study.scans.add_all([scan_folder]))
    docked.session.open_study.open(tmp_path / "bare.semiseg")
    qtbot.waitUntil(lambda: docked.session.open_study.study is not None, timeout=PATIENCE)
    show(qtbot, docked.session, "scan_0")
    reasons = (
        (docked.label_page.done, "Nothing is painted yet"),
        (docked.label_page.restore, "no earlier version"),
        (docked.train_page.start, "No label is finished yet"),
        (docked.review_page.predict, "Nothing has been trained yet"),
        (docked.review_page.accept, "no prediction"),
        (docked.compare_page.measure_runs, "No labelled scan is held out"),
    )
    for control, reason in reasons:
        assert not control.isEnabled()
        assert reason in control.toolTip()
    press_every_letter(docked, viewer)
    settle(qtbot, docked.session)
    assert docked.session.open_study.study.decisions() == []


# a training that fails


def test_a_training_that_breaks_is_told_and_can_be_started_again(
    opened, qtbot, monkeypatch, messages
):
    def broken(*_):
        raise ValueError("a shape that nobody foresaw")
        yield

    with monkeypatch.context() as patch:
        patch.setattr("napari_semiseg.engine.training.loop.train", broken)
        opened.show_page(2)
        opened.train_page.start.click()
        qtbot.waitUntil(lambda: not opened.session.training.active, timeout=PATIENCE)
    assert any("did not foresee" in text for text in errors(messages))
    assert opened.session.training.progress.outcome == "failed"
    settle(qtbot, opened.session)
    assert opened.train_page.start.isEnabled()
    assert opened.train_page.choices.isVisibleTo(opened.train_page)
    settings = TrainingSettings(steps=2, device="cpu", plan_overrides=SMALL)
    opened.session.training.start(settings)
    qtbot.waitUntil(lambda: not opened.session.training.active, timeout=PATIENCE)
    assert opened.session.training.progress.outcome == "finished"


# a disk that is full


def test_strokes_outlive_a_full_disk(opened, qtbot, full_disk, messages, study_path):
    session = opened.session
    show(qtbot, session, "scan_1")
    paint(session, 4)
    qtbot.waitUntil(lambda: any("full" in text for text in errors(messages)), timeout=PATIENCE)
    settle(qtbot, session)
    assert session.on_show.layers.label_voxels()[4].sum() == 30, "the stroke stays on the screen"
    full_disk()
    paint(session, 5)
    qtbot.waitUntil(lambda: session.labelling.saving.saved_at is not None, timeout=PATIENCE)
    settle(qtbot, session)
    assert np.flatnonzero(
        session.open_study.study.labels.load("scan_1").any(axis=(1, 2))
    ).tolist() == [4, 5]


def test_an_acceptance_on_a_full_disk_is_told_and_changes_nothing(
    predicted, qtbot, full_disk, messages
):
    session = predicted.session
    predicted.review_page.accept.click()
    qtbot.waitUntil(lambda: any("full" in text for text in errors(messages)), timeout=PATIENCE)
    full_disk()
    settle(qtbot, session)
    case = session.open_study.study.case("scan_1")
    assert (case.state, case.has_label) == (CaseState.PREDICTED, False)
    assert predicted.review_page.accept.isEnabled(), "it can be tried again"
    predicted.review_page.accept.click()
    qtbot.waitUntil(
        lambda: session.open_study.study.case("scan_1").state is CaseState.ACCEPTED,
        timeout=PATIENCE,
    )


def test_a_training_that_cannot_save_is_told_and_leaves_the_labels(
    opened, qtbot, full_disk, messages
):
    session = opened.session
    before = session.open_study.study.labels.load("scan_0")
    session.training.start(TrainingSettings(steps=2, device="cpu", plan_overrides=SMALL))
    qtbot.waitUntil(lambda: not session.training.active, timeout=PATIENCE)
    full_disk()
    settle(qtbot, session)
    assert any("full" in text for text in errors(messages))
    assert session.training.progress.outcome == "failed"
    assert [run.status for run in session.open_study.study.runs.all()] in ([], ["failed"])
    assert opened.train_page.start.isEnabled()
    np.testing.assert_array_equal(session.open_study.study.labels.load("scan_0"), before)


def test_an_export_to_a_full_disk_is_told(opened, qtbot, full_disk, messages, tmp_path):
    opened.session.scans.export_labels(tmp_path / "out")
    qtbot.waitUntil(lambda: any("full" in text for text in errors(messages)), timeout=PATIENCE)
    settle(qtbot, opened.session)
    full_disk()
    opened.session.scans.export_labels(tmp_path / "out")
    qtbot.waitUntil(lambda: (tmp_path / "out" / "scan_0.nii.gz").exists(), timeout=PATIENCE)


# a viewer that is closed in the middle


def close(viewer):
    viewer.close()
    gc.collect()


def test_a_viewer_closed_while_training_pauses_leaves_a_run_that_can_go_on(
    make_napari_viewer, qtbot, study_path, recent
):
    viewer = make_napari_viewer()
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    session = widget.session
    session.open_study.open(study_path)
    qtbot.waitUntil(lambda: session.open_study.study is not None, timeout=PATIENCE)
    session.training.start(TrainingSettings(minutes=5, device="cpu", plan_overrides=SMALL))
    qtbot.waitUntil(widget.strip.pause.isEnabled, timeout=PATIENCE)
    widget.strip.pause.click()
    qtbot.waitUntil(lambda: session.training.state == "paused", timeout=PATIENCE)
    session.close()
    close(viewer)
    with Study.open(study_path) as study:
        run = study.runs.all()[-1]
        assert (run.status, run.has_checkpoint) == ("stopped", True)


def test_a_viewer_closed_while_predicting_keeps_what_was_predicted(
    make_napari_viewer, qtbot, study_path, recent
):
    viewer = make_napari_viewer()
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    session = widget.session
    session.open_study.open(study_path)
    qtbot.waitUntil(lambda: session.open_study.study is not None, timeout=PATIENCE)
    session.training.start(TrainingSettings(steps=1, device="cpu", plan_overrides=SMALL))
    qtbot.waitUntil(lambda: not session.training.active, timeout=PATIENCE)
    settle(qtbot, session)
    session.reviewing.predict_unlabelled()
    qtbot.waitUntil(lambda: bool(session.reviewing.unsure), timeout=PATIENCE)
    session.close()
    close(viewer)
    with Study.open(study_path) as study:
        predicted = [case.name for case in study.cases() if case.state is CaseState.PREDICTED]
        assert predicted
        for name in predicted:
            assert study.runs.maps.load(study.runs.get(None), name, "prediction").array.shape
        assert study.case("scan_0").state is CaseState.LABELLED
