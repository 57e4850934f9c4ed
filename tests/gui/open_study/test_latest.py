import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.gui.open_study.latest import Latest


def answer(value):
    return value


def refuse():
    raise StudyError("The disk is full.")


@pytest.fixture
def latest(desk):
    return Latest(desk.open_study)


def test_only_the_last_of_several_answers_is_told(latest, background):
    told = []
    latest.start(answer, "first", done=told.append)
    latest.start(answer, "second", done=told.append)
    assert latest.busy
    background.finish()
    assert told == ["second"]
    assert not latest.busy


def test_an_answer_that_arrives_although_it_was_dropped_is_not_told(latest, desk, monkeypatch):
    arriving, told = [], []
    monkeypatch.setattr(
        desk.open_study, "background", lambda *_, done, failed, progress: arriving.append(done)
    )
    latest.start(answer, 1, done=told.append)
    latest.drop()
    arriving[0](1)
    assert told == []
    assert not latest.busy


def test_it_is_free_by_the_time_the_answer_is_told(latest, background):
    told = []

    def again(value):
        told.append((value, latest.busy))
        if len(told) < 3:
            latest.start(answer, value + 1, done=again)

    latest.start(answer, 1, done=again)
    background.finish()
    assert told == [(1, False), (2, False), (3, False)]


def test_progress_is_told_while_it_is_busy(latest, background):
    told = []

    def work():
        yield "half"
        return "all"

    latest.start(
        work,
        done=lambda value: told.append((value, latest.busy)),
        progress=lambda value: told.append((value, latest.busy)),
    )
    background.finish()
    assert told == [("half", True), ("all", False)]


def test_a_problem_is_told_to_the_user_unless_somebody_takes_it(latest, background, messages):
    latest.start(refuse, done=answer)
    background.finish()
    assert ("error", "The disk is full.") in messages()
    taken = []
    latest.start(refuse, done=answer, failed=taken.append)
    background.finish()
    assert taken == ["The disk is full."]
    assert len([each for each in messages() if each[0] == "error"]) == 1


def test_all_is_dropped_when_the_study_is_left(latest, desk, background):
    told = []
    latest.start(answer, 1, done=told.append)
    desk.open_study.close_study()
    background.finish()
    assert told == []
    assert not latest.busy
