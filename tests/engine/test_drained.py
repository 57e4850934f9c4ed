import pytest

from napari_semiseg.engine.drained import Drained, drained


def counting(told):
    try:
        for number in range(3):
            told.append(number)
            yield number
        return "done"
    finally:
        told.append("closed")


def test_the_steps_are_passed_on_and_the_result_is_there_after_the_last():
    told = []
    steps = Drained(counting(told))
    assert list(steps) == [0, 1, 2]
    assert steps.result == "done"
    assert told == [0, 1, 2, "closed"]


def test_a_loop_that_is_left_early_closes_the_work_and_has_no_result():
    told = []
    steps = Drained(counting(told))
    for _ in steps:
        break
    with pytest.raises(AttributeError, match="result"):
        steps.result  # noqa: B018
    assert told == [0, "closed"]


def test_without_a_loop_only_the_result_is_told():
    told = []
    assert drained(counting(told)) == "done"
    assert told[-1] == "closed"


def test_what_goes_wrong_inside_is_raised_where_it_is_looped_over():
    def failing():
        yield 1
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        drained(failing())
