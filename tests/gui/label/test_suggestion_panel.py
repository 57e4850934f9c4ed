"""What to label next: asking, the suggested scans with their reasons, and opening one."""

from __future__ import annotations

import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.review import suggestions
from napari_semiseg.engine.review.slices import SliceNeed
from napari_semiseg.engine.review.suggestions import LookingAtCase, Suggestion
from tests.gui.parts_of_the_desk import suggestion_panel


def suggestion(case, axis, index):
    need = SliceNeed(axis, index, 12.0)
    return Suggestion(case, 0.8, 1.0, 1.2, "scan_0", (need,), f"the program is unsure in {case}")


FOUND = [suggestion("scan_2", 0, 4), suggestion("scan_3", 1, 6)]


@pytest.fixture
def asked(monkeypatch):
    """Arguments that the engine was asked with; it answers at once."""
    calls = []

    def played(study, run, count, *, axis):
        calls.append((run, count, axis))
        yield LookingAtCase("scan_0", 0, 4)
        yield LookingAtCase("scan_2", 2, 4, 0.5)
        return FOUND[:count]

    monkeypatch.setattr(suggestions, "suggest_cases", played)
    return calls


@pytest.fixture
def run(desk, background):
    run = desk.open_study.study.runs.create("ua-mt", {}, 0)
    desk.open_study.study.runs.update(run.identifier, status="finished")
    desk.open_study.refresh()
    background.finish()
    return run


@pytest.fixture
def panel(qtbot, desk):
    panel = suggestion_panel(desk)
    qtbot.addWidget(panel)
    return panel


def ask(panel, background):
    panel.ask.click()
    background.finish()


def test_without_a_run_it_says_so(panel):
    assert not panel.ask.isEnabled()
    assert "train on the Train page" in panel.ask.toolTip()
    assert panel.choices == []


def test_with_nothing_left_to_label_it_says_so(panel, run, desk, background):
    for index in (1, 2, 3):
        desk.scans.hold_out(f"scan_{index}")
    background.finish()
    assert not panel.ask.isEnabled()
    assert "add more scans" in panel.ask.toolTip()


def test_it_is_honest_about_how_it_chooses(panel, run):
    words = panel.ask.toolTip()
    assert "unsure about" in words
    assert "unlike the labelled ones" in words
    assert "better" not in words


def test_the_newest_run_is_asked_and_the_scans_come_with_their_reasons(
    panel, run, desk, background, asked
):
    ask(panel, background)
    assert asked == [(run.identifier, 3, None)]
    assert [choice.text() for choice in panel.choices] == ["scan_2 · slice 4", "scan_3 · slice 6"]
    rows = panel._rows.layout()
    assert rows.itemAt(1).widget().text() == "The program is unsure in scan_2."
    assert desk.open_study.job is None


def test_while_it_looks_it_can_be_stopped_and_not_asked_again(panel, run, desk, background, asked):
    panel.ask.click()
    assert desk.open_study.job.title == "Looking for scans to label"
    assert not panel.ask.isEnabled()
    desk.open_study.stop_job()
    background.finish()
    assert panel.ask.isEnabled()
    assert panel.choices == []
    assert asked == []


@pytest.mark.parametrize(
    ("row", "name", "axis", "index"), [(0, "scan_2", 0, 4), (1, "scan_3", 1, 6)]
)
def test_choosing_one_opens_it_at_its_slice(
    panel, run, desk, background, asked, row, name, axis, index
):
    ask(panel, background)
    panel.choices[row].click()
    background.finish()
    slices = desk.slices
    assert (desk.on_show.name, slices.axis, slices.current) == (name, axis, index)


def test_the_axis_that_is_viewed_is_asked_for(panel, run, desk, background, asked):
    desk.on_show.show("scan_1")
    background.finish()
    desk.on_show.layers.dims.order = (2, 0, 1)
    ask(panel, background)
    assert asked[0][2] == 2


def test_a_scan_that_is_begun_leaves_the_list(panel, run, desk, background, asked):
    ask(panel, background)
    desk.scans.hold_out("scan_2")
    background.finish()
    assert [choice.text() for choice in panel.choices] == ["scan_3 · slice 6"]
    desk.scans.hold_out("scan_3")
    background.finish()
    assert panel.choices == []
    assert not panel.note.isHidden()


def test_suggestions_can_be_put_away(panel, run, background, asked):
    ask(panel, background)
    assert not panel.hide_all.isHidden()
    panel.hide_all.click()
    assert panel.choices == []
    assert panel.hide_all.isHidden()


def test_a_problem_is_told_in_one_sentence(panel, run, desk, background, monkeypatch, messages):
    def broken(*_, **__):
        raise StudyError("The scan 'scan_1' cannot be read: it has moved.")
        yield

    monkeypatch.setattr(suggestions, "suggest_cases", broken)
    ask(panel, background)
    assert any("it has moved" in sentence for _, sentence in messages())
    assert panel.ask.isEnabled()
