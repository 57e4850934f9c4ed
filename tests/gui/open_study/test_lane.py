from __future__ import annotations

import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.gui.open_study.lane import StudyLane


@pytest.fixture
def lane(background):
    return StudyLane(background)


def refuse():
    raise StudyError("The disk is full: free some space.")


def test_changes_happen_one_after_the_other_in_order(lane, background):
    order = []
    for number in range(3):
        lane.submit(lambda number=number: order.append(number), lambda _: None, pytest.fail)
    assert len(background.waiting) == 1
    background.finish()
    assert order == [0, 1, 2]
    assert not lane.busy


def test_a_failure_is_told_and_the_next_change_goes_on(lane, background):
    told = []
    lane.submit(refuse, pytest.fail, told.append)
    lane.submit(lambda: "done", told.append, pytest.fail)
    background.finish()
    assert told == ["The disk is full: free some space.", "done"]


def test_a_callback_that_raises_does_not_stop_the_lane(lane, background):
    told = []

    def fail(_):
        raise ValueError("a defect of a page")

    lane.submit(lambda: None, fail, pytest.fail)
    lane.submit(lambda: "done", told.append, pytest.fail)
    with pytest.raises(ValueError, match="defect"):
        background.finish()
    background.finish()
    assert told == ["done"]


def test_finishing_does_what_waits_once_and_tells_nobody(lane, background, caplog):
    done = []
    lane.submit(lambda: done.append("first"), pytest.fail, pytest.fail)
    lane.submit(refuse, pytest.fail, pytest.fail)
    lane.submit(lambda: done.append("last"), pytest.fail, pytest.fail)
    lane.finish()
    background.finish()  # the worker comes round too late
    assert done == ["first", "last"]
    assert "disk is full" in caplog.text
