"""Runs and cases that another version recorded, on the desk: they spoil no page."""

import pytest

from napari_semiseg.engine.study.records import Records
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.gui.compare.pairs import measure_runs
from tests.gui.comparable_runs import add_run, hold_out, measure
from tests.gui.parts_of_the_desk import scans_page, train_page


def odd_run(study, method="ua-mt", **training):
    """Record a finished run with settings of another version."""
    settings = TrainingSettings(steps=100).model_dump(mode="json") | {"method": method}
    run = study.runs.create(method, {"training": settings | training}, 0)
    (run.folder / "checkpoint.pt").write_bytes(b"weights")
    return study.runs.update(run.identifier, status="finished")


@pytest.fixture
def comparing(desk, background):
    """A pair of good runs, and three odd ones: by method, by setting and by value."""
    study = desk.open_study.study
    hold_out(study)
    add_run(study, "supervised", shrunk=2)
    add_run(study, "ua-mt", shrunk=0)
    measure(study, odd_run(study, "of-the-future"), 1)
    odd_run(study, "of-the-future")
    odd_run(study, smoothing=0.1)
    odd_run(study, preset="of the future")
    desk.open_study.refresh()
    desk.comparing.refresh()
    background.finish()
    return desk.comparing


def test_odd_runs_are_listed_and_the_others_compared(comparing, background):
    figures = {each.identifier: each for each in comparing.comparison.runs}
    assert len(figures) == 6
    assert comparing.chosen == ("002-ua-mt", "001-supervised")
    assert figures["002-ua-mt"].twin == "001-supervised"
    assert figures["003-of-the-future"].why_not is None, "its figures are there"
    assert "not installed here" in figures["004-of-the-future"].why_not
    for run in list(figures)[:4]:
        comparing.choose(run, True)
    background.finish()
    assert set(comparing.chosen) == set(figures)
    assert not {"003-of-the-future", "004-of-the-future"} & set(comparing.comparison.to_measure)


def test_a_table_with_an_odd_run_is_written(comparing, background, tmp_path):
    comparing.choose("003-of-the-future", True)
    background.finish()
    comparing.save(tmp_path / "table.md")
    background.finish()
    assert "of-the-future" in (tmp_path / "table.md").read_text()


def test_a_run_that_cannot_be_measured_is_told_after_the_others_are(desk, comparing, monkeypatch):
    from napari_semiseg.engine.errors import StudyError
    from napari_semiseg.engine.evaluation import held_out

    measured = []

    def evaluate(study, run):
        if run == "004-of-the-future":
            raise StudyError("It is not installed.")
        measured.append(run)
        return iter(())

    monkeypatch.setattr(held_out, "evaluate", evaluate)
    with pytest.raises(StudyError, match="It is not installed"):
        list(measure_runs(desk.open_study.study, ["004-of-the-future", "002-ua-mt"]))
    assert measured == ["002-ua-mt"]


def test_learning_on_says_what_cannot_be_read_and_leaves_out_what_is_not_known(
    desk, comparing, messages
):
    runs = {run.identifier: run for run in desk.open_study.study.runs.all()}
    desk.training.learn_on(runs["006-ua-mt"], 1.0)
    assert any("The settings of run 006-ua-mt cannot be read" in text for _, text in messages())
    assert not desk.training.active
    desk.training.learn_on(runs["005-ua-mt"], 1.0)
    assert desk.training.active


def test_the_pages_show_a_case_in_a_state_of_another_version(qtbot, desk, background):
    records = Records(desk.open_study.study.path)
    with records.transaction() as connection:
        connection.execute("UPDATE cases SET state = 'double read' WHERE name = 'scan_2'")
    records.close()
    desk.open_study.refresh()
    background.finish()
    page = scans_page(desk)
    qtbot.addWidget(page)
    model = page.table.cases
    texts = [
        model.data(model.index(row, column), role)
        for row in range(model.rowCount())
        for column in range(model.columnCount())
        for role in (0, 1, 3)
    ]
    assert any("double read" in str(text) for text in texts)
    qtbot.addWidget(train_page(desk))
