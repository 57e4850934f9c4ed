"""Jumping from one slice that needs a look to the next, along the axis of the view."""

from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.review import worst_slices
from tests.gui.conftest import SHAPE, box


@pytest.fixture
def worst(desk, background):
    """Scan_1 predicted and on the screen: doubt in slices 7 and, less, 3 and 5 along z."""
    study = desk.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run.identifier, status="finished")
    unsure = np.zeros(SHAPE, np.float32)
    for index, value in ((7, 0.9), (3, 0.5), (5, 0.3)):
        unsure[index, 5:10, 5:11] = value
    study.runs.maps.save(run, "scan_1", "prediction", box(1))
    study.runs.maps.save(run, "scan_1", "uncertainty", unsure, source="x")
    study.runs.maps.save(run, "scan_2", "prediction", box(2))
    for name in ("scan_1", "scan_2"):
        study.mark(name, CaseState.PREDICTED)
    desk.open_study.refresh()
    background.finish()
    desk.maps.show_case("scan_1")
    background.finish()
    return desk.reviewing.worst


def current(desk):
    return desk.slices.current


def test_it_jumps_from_the_worst_to_the_next_and_starts_over(worst, desk):
    assert worst.why_not() is None
    desk.slices.show(0)
    jumps = []
    for _ in range(4):
        worst.show_next()
        jumps.append(current(desk))
    assert jumps == [7, 3, 5, 7]


def test_it_passes_over_the_slice_that_is_looked_at(worst, desk):
    desk.slices.show(7)
    worst.show_next()
    assert current(desk) == 3


def test_slices_that_are_done_are_passed_over(worst, desk, background):
    desk.open_study.study.labels.mark_slices("scan_1", 0, [7], done=True)
    desk.open_study.refresh()
    background.finish()
    desk.slices.show(0)
    worst.show_next()
    assert current(desk) == 3


def test_it_says_what_was_found_while_the_slice_is_looked_at(worst, desk):
    worst.show_next()
    assert worst.words.startswith("Slice 7: ≈ ")
    assert worst.words.endswith("may be wrong")
    desk.slices.show(0)
    assert worst.words == ""


def test_it_follows_the_axis_of_the_view(worst, desk):
    desk.on_show.layers.dims.order = (1, 0, 2)
    worst.show_next()
    assert worst.latest.axis == 1
    assert current(desk) == worst.latest.index


def test_it_is_measured_once_for_each_prediction(worst, desk, background, monkeypatch):
    measured = []
    monkeypatch.setattr(worst_slices, "measure_slices", lambda *given: measured.append(given))
    worst.show_next()
    worst.show_next()
    background.finish()
    assert measured == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("scan_0", worst_slices.NO_PREDICTION), ("scan_2", worst_slices.NOT_UNSURE)],
)
def test_it_says_why_there_is_none(worst, desk, background, name, reason):
    desk.maps.show_case(name)
    background.finish()
    assert worst.why_not() == reason
    before = current(desk)
    worst.show_next()
    assert current(desk) == before


def test_in_3d_there_are_no_slices_to_look_at(worst, desk):
    desk.on_show.layers.dims.ndisplay = 3
    assert worst.why_not() == worst_slices.IN_3D


def test_while_the_slices_are_measured_it_waits(worst, desk, background):
    desk.maps.show_stored()
    background.waiting.popleft().run()
    assert worst.why_not() == worst_slices.MEASURING
    background.finish()
    assert worst.why_not() is None


def test_a_sure_prediction_has_no_worst_slice(worst, desk):
    worst._needs = {axis: np.zeros(length) for axis, length in enumerate(SHAPE)}
    assert worst.why_not() == worst_slices.NOTHING


def test_another_way_to_a_scan_forgets_the_slices_of_the_one_before(worst, desk, background):
    desk.on_show.show("scan_2")
    background.finish()
    assert worst.why_not() == worst_slices.NO_PREDICTION
