from __future__ import annotations

from functools import partial

import pytest

from napari_semiseg.gui.viewer.turns import Turns


@pytest.fixture
def waiting():
    """What is to be done when the event loop comes round."""
    return []


@pytest.fixture
def turns(waiting):
    return Turns(waiting.append)


def parts(done, names):
    return [partial(done.append, name) for name in names]


def test_the_first_part_is_done_at_once_and_the_others_one_a_turn(turns, waiting):
    done = []
    turns.begin(parts(done, "abc"))
    assert done == ["a"]
    waiting.pop()()
    assert done == ["a", "b"]
    assert not turns.over
    waiting.pop()()
    assert done == ["a", "b", "c"]
    assert turns.over
    assert not waiting


def test_other_work_takes_the_place_of_what_is_left(turns, waiting):
    done = []
    turns.begin(parts(done, "abc"))
    turns.begin(parts(done, "xy"))
    while waiting:
        waiting.pop(0)()
    assert done == ["a", "x", "y"]


def test_what_is_dropped_stays_undone(turns, waiting):
    done = []
    turns.begin(parts(done, "ab"))
    turns.drop()
    assert turns.over
    waiting.pop()()
    assert done == ["a"]


def test_a_part_that_begins_other_work_does_not_go_on_with_its_own(turns, waiting):
    done = []
    turns.begin([lambda: turns.begin(parts(done, "x")), *parts(done, "b")])
    assert not waiting
    assert done == ["x"]


def test_by_default_the_event_loop_comes_round_in_between(qtbot):
    done = []
    turns = Turns()
    turns.begin(parts(done, "ab"))
    assert done == ["a"]
    qtbot.waitUntil(lambda: turns.over)
    assert done == ["a", "b"]
