from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.methods.contract import MethodSettings
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training.events import Progress, Released, Started, Validated
from napari_semiseg.engine.training.settings import TrainingSettings
from tests.gui.parts_of_the_desk import train_page


@pytest.fixture
def page(qtbot, desk):
    page = train_page(desk)
    qtbot.addWidget(page)
    return page


def trained(desk, background, settings=None, status="finished", **details):
    """Record a run of the study as it is, with a checkpoint."""
    settings = settings or TrainingSettings(steps=5)
    record = {"training": settings.model_dump(mode="json")}
    run = desk.open_study.study.runs.create(settings.method, record, 0)
    (run.folder / "checkpoint.pt").write_bytes(b"weights")
    desk.open_study.study.runs.update(run.identifier, status=status, **details)
    desk.open_study.refresh()
    background.finish()
    return run


def test_it_starts_with_the_default_method_and_a_quick_look(page):
    settings = page.settings()
    assert (settings.method, settings.preset, settings.minutes) == ("ua-mt", "modern", 3.0)
    assert settings.method_settings == {}
    assert page.method.summary.text()
    assert page.intents["quick-look"].isChecked()
    assert "not known before the first run" in page.forecast.text()


def test_intents_slider_and_field_agree(page):
    page.intents["lunch-break"].click()
    assert page.minutes.value() == 30
    assert "review" in page.expectation.text()
    place = page.slider.value()
    page.slider.setValue(0)
    assert page.minutes.value() == 0.5
    assert not any(made.isChecked() for made in page.intents.values())
    assert page.expectation.isHidden()
    page.minutes.setValue(30)
    assert page.slider.value() == place


def test_minutes_follow_the_pace_that_earlier_runs_measured(page, desk, background):
    from napari_semiseg.engine.planning.machine import describe_machine

    desk.open_study.machine = describe_machine("cpu")
    device = desk.open_study.machine.device_name
    trained(desk, background, steps=1000, seconds=480.0, device=device)
    assert page.minutes.value() == 4  # 500 steps of 0.48 s
    assert page.intents["quick-look"].text() == "Quick look\n4 min"
    assert "measured in run 001-ua-mt" in page.forecast.text()
    page.method.choose("supervised")
    assert page.minutes.value() == 1.5  # 2.5 times as fast
    assert "estimated from run 001-ua-mt" in page.forecast.text()
    page.device.setCurrentIndex(page.device.findData("cuda"))
    assert "not known" in page.forecast.text()


def test_another_method_brings_its_own_form(page):
    page.method.choose("dtc")
    assert "steepness" in page._form.widgets
    page._form.widgets["distance_weight"].value = 0.5
    assert page.settings().method_settings == {"distance_weight": 0.5}
    page.method.choose("supervised")
    assert page.settings().method_settings == {}


def test_advanced_says_that_it_was_changed_and_goes_back(page):
    assert page.advanced.title == "Advanced"
    assert not page.reset.isEnabled()
    page._form.widgets["passes"].value = 16
    page.seed.setValue(3)
    assert page.advanced.title == "Advanced (changed)"
    page.reset.click()
    assert page.settings() == TrainingSettings(minutes=3.0)
    assert page.advanced.title == "Advanced"


def test_start_says_why_it_cannot(page, desk, background):
    desk.on_show.show("scan_0")
    background.finish()
    desk.labelling.mark_in_progress()
    background.finish()
    assert desk.open_study.records.case("scan_0").state is CaseState.IN_PROGRESS
    assert not page.start.isEnabled()
    assert "No label is finished" in page.start.toolTip()
    assert page.why.text() == page.start.toolTip()


def test_start_trains_with_what_is_chosen(page, background, worker):
    page.minutes.setValue(1)
    page.start.click()
    background.finish()
    settings, *_ = worker.started[0]
    assert (settings.method, settings.minutes) == ("ua-mt", 1.0)
    assert page.choices.isHidden()
    worker.end()
    assert not page.choices.isHidden()


def test_a_setting_that_cannot_be_read_is_told_and_starts_nothing(page, desk, messages, worker):
    class Sizes(MethodSettings):
        sizes: tuple[int, ...] = (1, 2)

    class Sized(desk.open_study.methods["supervised"]):
        key, title, Settings = "sized", "Sized", Sizes

    desk.open_study.methods = desk.open_study.methods | {"sized": Sized}
    desk.open_study.engine_loaded.emit()
    page.method.choose("sized")
    page._form.widgets["sizes"].value = "many"
    assert page.advanced.title == "Advanced (changed)"
    page.start.click()
    assert "“Sizes” cannot be read" in messages()[-1][1]
    assert worker.started == []


def test_curve_plan_and_facts_show_what_training_tells(page, worker, desk):
    worker.state = "running"
    worker.event.emit(
        Started("001", "UA-MT", "CPU, 2 cores", "32", 1, 3, {"reasons": ["A small patch."]})
    )
    for step in range(1, 4):
        worker.event.emit(Progress(step, step / 3, 1.0, 100.0, {"loss": 1.0, "consistency": 0.1}))
    worker.event.emit(Validated(3, {1: 0.9, 2: 0.7}, 0.8))
    assert not page.curve.isHidden()
    assert "0.80" in page.curve.summary.text()
    assert "Dice&nbsp;box" in page.curve.legend.text()
    assert "A small patch." in page._plan_text.text()
    steps, _ = page.curve._traces["loss"].item.getData()
    assert list(steps) == [1, 2, 3]
    assert "Step 3 · 1:40 of training left" in page.facts.text()
    assert "CPU, 2 cores · " in page.facts.text()
    worker.state = "paused"
    worker.event.emit(Released(3))
    assert "paused" in page.facts.text()
    worker.end()
    assert "was stopped after 3 steps" in page.facts.text()


def test_a_stopped_run_can_go_on(page, desk, background, worker):
    assert page.resume.isHidden()
    settings = TrainingSettings(steps=5)
    run = trained(desk, background, settings, status="stopped")
    assert not page.resume.isHidden()
    page.resume.click()
    background.finish()
    assert worker.started[0][:2] == (settings, run.identifier)
    worker.end()


def test_a_new_run_learns_on_from_the_last_one(page, desk, background, worker):
    assert page.learn_on.isHidden()
    settings = TrainingSettings(steps=5, plan_overrides={"patch": [8, 8, 8]}, preset="paper")
    run = trained(desk, background, settings)
    assert page.learn_on.text() == "&Learn on from 001-ua-mt"
    assert "the same ones" in page.learn_on.toolTip()
    desk.on_show.show("scan_1")
    background.finish()
    desk.on_show.layers.label_layer.data_setitem((np.array([4]), np.array([5]), np.array([6])), 1)
    desk.labelling.mark_labelled()
    background.finish()
    assert page.learn_on.text().endswith("new labels")
    page.minutes.setValue(2)
    page.learn_on.click()
    background.finish()
    started, resume, *_ = worker.started[0]
    assert resume is None
    assert (started.start_from, started.minutes, started.steps) == (run.identifier, 2.0, None)
    assert (started.preset, started.plan_overrides) == ("paper", {"patch": [8, 8, 8]})
    worker.end()


def test_methods_that_are_not_loaded_yet_are_waited_for(qtbot, desk):
    methods, desk.open_study.methods = desk.open_study.methods, {}
    page = train_page(desk)
    qtbot.addWidget(page)
    assert "being loaded" in page.start.toolTip()
    assert not page.method.change.isEnabled()
    desk.open_study.methods = methods
    desk.open_study.engine_loaded.emit()
    assert page.start.isEnabled()
    assert page.method.change.isEnabled()


def test_nothing_is_wider_than_the_column(page, qtbot):
    page.resize(320, 700)
    page.show()
    page.method.expand()
    page.advanced.expand()
    for part in page.findChildren(type(page.choices)):
        if part.isVisible() and part.parentWidget() is page:
            assert part.geometry().right() <= page.width(), part
    assert page.minimumSizeHint().width() <= 340
