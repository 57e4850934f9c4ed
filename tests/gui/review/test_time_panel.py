"""How long people work on scans, as the desk measures and shows it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study.time_spent import CaseTime
from napari_semiseg.gui.label import saving
from napari_semiseg.gui.widgets.case_columns import TIME, CaseRow
from tests.gui.parts_of_the_desk import time_panel


class Watch:
    """Stands in for the module `time`: its clock goes when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    def time(self):
        return self.now


@pytest.fixture
def watch(monkeypatch):
    watch = Watch()
    monkeypatch.setattr(saving, "time", watch)
    return watch


@pytest.fixture
def panel(desk, qtbot):
    panel = time_panel(desk)
    qtbot.addWidget(panel)
    return panel


@pytest.fixture
def paint(desk, background, qapp, watch):
    """Paint a voxel of the case on the screen so many seconds after the last stroke."""

    def stroke(seconds, place):
        watch.now += seconds
        layer = desk.on_show.layers.label_layer
        layer.data_setitem(tuple(np.array([index]) for index in place), 1)
        qapp.processEvents()
        background.finish()

    return stroke


def show(desk, background, name):
    desk.on_show.show(name)
    background.finish()
    assert desk.on_show.name == name


def time_of(desk, name):
    return desk.open_study.records.case(name).time


def stored_run(desk, background, name):
    """Put a run with a prediction of a case into the study, and mark it."""
    study = desk.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run, status="finished")
    prediction = np.zeros(study.case(name).geometry.shape, np.uint8)
    prediction[2:5, 2:6, 2:6] = 1
    study.runs.maps.save(run, name, "prediction", prediction)
    study.mark(name, "predicted")
    desk.open_study.refresh()
    background.finish()


def test_strokes_are_timed_and_a_pause_counts_as_a_minute(desk, background, paint):
    show(desk, background, "scan_1")
    paint(10, (1, 1, 1))
    paint(5, (1, 1, 2))
    paint(3600, (1, 1, 3))
    assert time_of(desk, "scan_1") == CaseTime(manual_seconds=75.0, manual_edits=3)
    assert desk.open_study.study.case("scan_1").time == time_of(desk, "scan_1")


def test_looking_at_another_scan_stops_the_clock(desk, background, paint, watch):
    show(desk, background, "scan_1")
    paint(10, (1, 1, 1))
    watch.now += 30
    show(desk, background, "scan_2")
    watch.now += 30
    show(desk, background, "scan_1")
    paint(4, (1, 1, 2))
    assert time_of(desk, "scan_1").manual_seconds == 14.0
    assert time_of(desk, "scan_2") == CaseTime()


def test_a_prediction_that_is_fixed_takes_corrections(desk, background, paint):
    stored_run(desk, background, "scan_1")
    show(desk, background, "scan_1")
    desk.reviewing.fix("scan_1")
    background.finish()
    paint(6, (1, 1, 1))
    assert time_of(desk, "scan_1") == CaseTime(correction_seconds=6.0, correction_edits=1)


def test_strokes_on_an_accepted_prediction_are_corrections(desk, background, paint):
    stored_run(desk, background, "scan_1")
    desk.reviewing.accept("scan_1")
    background.finish()
    show(desk, background, "scan_1")
    paint(6, (1, 1, 1))
    paint(6, (1, 1, 2))
    assert time_of(desk, "scan_1") == CaseTime(correction_seconds=12.0, correction_edits=2)


def test_time_whose_save_failed_is_counted_with_the_next_stroke(
    desk, background, paint, monkeypatch
):
    def refuse(*_):
        raise StudyError("The disk is full: free some space.")

    show(desk, background, "scan_1")
    with monkeypatch.context() as patch:
        patch.setattr(saving, "keep_label", refuse)
        paint(10, (1, 1, 1))
    assert time_of(desk, "scan_1") == CaseTime()
    paint(5, (1, 1, 2))
    assert time_of(desk, "scan_1") == CaseTime(manual_seconds=15.0, manual_edits=2)


def test_the_review_page_tells_the_time_and_what_corrections_save(
    desk, background, paint, panel, watch
):
    assert panel.isHidden()
    show(desk, background, "scan_1")
    paint(60, (1, 1, 1))
    paint(30, (1, 1, 2))
    assert panel.words.text() == "This scan: 1.5 min by hand."
    stored_run(desk, background, "scan_2")
    show(desk, background, "scan_2")
    desk.reviewing.fix("scan_2")
    background.finish()
    paint(18, (1, 1, 1))
    assert panel.words.text() == (
        "This scan: 0.3 min of corrections.\n"
        "Corrections took 20 % of the time of labelling by hand: 0.3 min against 1.5 min a scan "
        "(1 corrected, 1 by hand)."
    )
    desk.open_study.close_study()
    background.finish()
    assert panel.isHidden()


def test_the_list_of_scans_has_a_column_with_the_time(desk, background, paint):
    show(desk, background, "scan_1")
    paint(42, (1, 1, 1))
    rows = [CaseRow(case) for case in desk.open_study.records.cases]
    assert [TIME.text(row) for row in rows] == ["", "0.7 min", "", ""]
    assert TIME.order(rows[0]) is None
