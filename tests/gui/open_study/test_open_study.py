import pytest

from napari_semiseg.gui.session import Session, _signals_below


@pytest.fixture
def told(desk):
    """The names of the signals of the open study, in the order in which they come."""
    names = []
    for name in ("about_to_work", "leaving", "records_changed", "study_changed", "job_changed"):
        getattr(desk.open_study, name).connect(lambda name=name: names.append(name))
    return names


def test_strokes_are_asked_for_before_every_change(desk, background, told):
    desk.open_study.change(lambda study: told.append("change"))
    background.finish()
    assert told == ["about_to_work", "change", "records_changed"]


def test_records_are_read_again_without_asking_for_strokes(desk, background, told):
    desk.open_study.refresh()
    background.finish()
    assert told == ["records_changed"]


def test_strokes_are_asked_for_before_a_long_job(desk, background, told):
    desk.open_study.start_job("Counting", lambda: told.append("job"), done=lambda _: None)
    background.finish()
    assert told[:3] == ["about_to_work", "job_changed", "job"]


def test_strokes_come_first_when_a_study_is_left_and_it_is_still_there(desk, background, told):
    there = []
    desk.open_study.leaving.connect(lambda: there.append(desk.open_study.study is not None))
    desk.open_study.close_study()
    assert told.index("about_to_work") < told.index("leaving") < told.index("study_changed")
    assert there == [True]
    assert desk.open_study.study is None
    background.finish()


@pytest.mark.parametrize("what", ["training", "adding scans"])
def test_a_study_is_not_left_while_work_on_it_is_under_way(desk, worker, messages, what):
    study = desk.open_study.study
    if what == "training":
        worker.state = "running"
    else:
        desk.open_study.start_job("Adding scans", lambda: None, done=lambda _: None)
    desk.open_study.close_study()
    assert desk.open_study.study is study
    assert (
        "warning",
        f"The study cannot be changed during {what}: wait, or stop it first.",
    ) in messages()
    worker.state = "idle"


def test_every_signal_of_every_part_is_known_to_the_session(session):
    signals = _signals_below(session, set())
    names = {signal.name for signal in signals}
    assert {"shown_changed", "about_to_work", "kinds_changed", "moved", "progressed"} <= names
    assert len(signals) == len({id(signal) for signal in signals})


def test_nobody_is_told_of_anything_once_the_desk_is_closed(desk, background):
    heard = []
    for signal in _signals_below(desk, set()):
        signal.connect(lambda *_, name=signal.name: heard.append(name))
    desk.close()
    assert set(heard) <= {"about_to_work", "leaving"}
    heard.clear()
    desk.close()
    background.finish()
    assert heard == []


def test_the_parts_do_not_know_the_session(session):
    for part in vars(session).values():
        assert not any(isinstance(held, Session) for held in vars(part).values()), part
