from __future__ import annotations

import pytest

from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training.events import Progress, Started, Validated
from napari_semiseg.gui.pages.train import TrainPage


@pytest.fixture
def page(qtbot, desk):
    page = TrainPage(desk)
    qtbot.addWidget(page)
    return page


def test_it_starts_with_the_default_method_and_three_minutes(page):
    settings = page.settings()
    assert (settings.method, settings.preset, settings.minutes) == ("ua-mt", "modern", 3.0)
    assert settings.method_settings == {}
    assert page.summary.text()


def test_budget_buttons_slider_and_field_agree(page):
    page.budgets[3].click()
    assert page.minutes.value() == 60
    place = page.slider.value()
    page.slider.setValue(0)
    assert page.minutes.value() == 0.5
    page.minutes.setValue(60)
    assert page.slider.value() == place


def test_another_method_brings_its_own_form(page):
    page.method.setCurrentIndex(page.method.findData("dtc"))
    assert "steepness" in page._form.widgets
    page._form.widgets["distance_weight"].value = 0.5
    assert page.settings().method_settings == {"distance_weight": 0.5}
    page.method.setCurrentIndex(page.method.findData("supervised"))
    assert page.settings().method_settings == {}


def test_start_says_why_it_cannot(page, desk, background):
    desk.labelling.show_case("scan_0")
    background.finish()
    desk.labelling.mark_in_progress()
    background.finish()
    assert desk.records.case("scan_0").state is CaseState.IN_PROGRESS
    assert not page.start.isEnabled()
    assert "No label is finished" in page.start.toolTip()
    assert page.why.text() == page.start.toolTip()


def test_start_trains_with_what_is_chosen(page, background, worker):
    page.budgets[0].click()
    page.start.click()
    background.finish()
    settings, *_ = worker.started[0]
    assert (settings.method, settings.minutes) == ("ua-mt", 1.0)
    assert page.choices.isHidden()
    worker.end()
    assert not page.choices.isHidden()


def test_curve_and_plan_show_what_training_tells(page, worker):
    worker.state = "running"
    worker.event.emit(Started("001", "UA-MT", "CPU", "32", 1, 3, {"reasons": ["A small patch."]}))
    for step in range(1, 4):
        worker.event.emit(Progress(step, step / 3, 1.0, 1.0, {"loss": 1.0, "consistency": 0.1}))
    worker.event.emit(Validated(3, {1: 0.8}, 0.8))
    assert not page.curve.isHidden()
    assert "0.80" in page.curve.summary.text()
    assert "A small patch." in page._plan_text.text()
    steps, _ = page.curve._traces["loss"].item.getData()
    assert list(steps) == [1, 2, 3]
    worker.end()


def test_a_stopped_run_can_go_on(page, desk, background, worker):
    from napari_semiseg.engine.training.settings import TrainingSettings

    assert page.resume.isHidden()
    settings = TrainingSettings(steps=5)
    run = desk.study.create_run("ua-mt", {"training": settings.model_dump(mode="json")}, 0)
    (run.folder / "checkpoint.pt").write_bytes(b"weights")
    desk.study.update_run(run.identifier, status="stopped")
    desk.refresh()
    background.finish()
    assert not page.resume.isHidden()
    page.resume.click()
    background.finish()
    assert worker.started[0][:2] == (settings, run.identifier)
    worker.end()


def test_methods_that_are_not_loaded_yet_are_waited_for(qtbot, desk):
    methods, desk.methods = desk.methods, {}
    page = TrainPage(desk)
    qtbot.addWidget(page)
    assert "being loaded" in page.start.toolTip()
    desk.methods = methods
    desk.engine_loaded.emit()
    assert page.start.isEnabled()
