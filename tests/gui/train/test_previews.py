from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.training.events import Preview, Progress
from napari_semiseg.engine.training.settings import TrainingSettings
from tests.gui.cases_on_show import stored_prediction
from tests.gui.parts_of_the_desk import preview_panel


@pytest.fixture
def running(desk, background, worker, monkeypatch):
    """A desk whose training has begun, with scan_1 on the screen."""
    monkeypatch.setattr("napari_semiseg.gui.viewer.layers.PREVIEW_SECONDS", 0.0)
    desk.on_show.show("scan_1")
    background.finish()
    desk.training.start(TrainingSettings(steps=9))
    background.finish()
    yield desk
    if worker.state != "idle":
        worker.end()


@pytest.fixture
def view(qtbot, running):
    made = preview_panel(running)
    qtbot.addWidget(made)
    return made


@pytest.fixture
def preview(running, worker, background):
    def send(step, case="scan_1", everything=False):
        geometry = running.open_study.records.case("scan_1").geometry
        per_class = np.zeros((2, *geometry.shape), np.float32)
        shared = {
            "prediction": np.full(geometry.shape, step % 2, np.uint8),
            "uncertainty": np.zeros(geometry.shape, np.float32),
        }
        if everything:
            similarity = np.zeros((3, *geometry.shape), np.float32)
            shared |= {"signed_distance": per_class, "similarity": similarity}
        maps = CaseMaps(case, geometry, shared, uncertainty_source="one pass")
        worker.event.emit(Preview(case, maps, step))
        background.finish()

    return send


def step_on_screen(desk):
    return desk.on_show.layers.map_layers()["prediction"].metadata["semiseg"]["step"]


def test_the_worker_is_asked_for_the_case_and_the_maps_on_the_screen(running, worker):
    assert worker.shown[-1] == "scan_1"
    assert worker.kinds == ("prediction", "uncertainty")
    running.training.previews.ask_for("similarity", True)
    assert worker.kinds == ("prediction", "uncertainty", "similarity")
    running.training.previews.ask_for("similarity", False)
    running.training.previews.ask_for("uncertainty", False)
    assert worker.kinds == ("prediction", "uncertainty")
    assert not running.training.previews.shows("uncertainty")


def test_maps_that_were_asked_for_show_for_one_class(running, preview):
    live = running.training.previews
    live.ask_for("signed_distance", True)
    live.ask_for("uncertainty", False)
    preview(1, everything=True)
    visible = {key for key, layer in running.on_show.layers.map_layers().items() if layer.visible}
    assert visible == {"prediction", "signed_distance:1"}
    running.on_show.layers.map_layers()["prediction"].visible = False
    preview(2, everything=True)
    assert not running.on_show.layers.map_layers()["prediction"].visible, (
        "what the eye hid stays hidden"
    )


def test_the_slider_goes_back_and_follows_again(running, preview, background, view):
    assert view.history.isHidden()
    for step in (10, 20, 30):
        preview(step)
    assert not view.history.isHidden()
    assert step_on_screen(running) == 30
    view.slider.setValue(0)
    background.finish()
    assert step_on_screen(running) == 10
    assert "Step 10, while" in view.when.text()
    preview(40)
    assert step_on_screen(running) == 10, "a new preview must not take the past one away"
    view.follow.click()
    assert step_on_screen(running) == 40
    assert not view.follow.isEnabled()
    view.slider.setValue(1)
    background.finish()
    assert step_on_screen(running) == 20
    view.slider.setValue(view.slider.maximum())
    assert step_on_screen(running) == 40


def test_of_several_places_the_last_one_counts(running, preview, background):
    for step in (10, 20, 30):
        preview(step)
    live = running.training.previews
    live.look_at(0)
    live.look_at(1)
    background.finish()
    assert step_on_screen(running) == 20
    live.look_at(0)
    live.look_at(None)
    background.finish()
    assert step_on_screen(running) == 30
    live.look_at(99)
    assert live.place is None


def test_what_is_looked_at_stays_when_the_film_is_thinned(running, preview, background):
    live = running.training.previews
    live.history._most_a_case = 4
    for step in (10, 20, 30, 40):
        preview(step)
    live.look_at(3)
    preview(50)
    assert live.past[live.place].step == 40


def test_another_case_has_a_film_of_its_own(running, preview, background, worker):
    preview(10)
    running.on_show.show("scan_2")
    background.finish()
    preview(20, case="scan_2")
    live = running.training.previews
    assert [each.step for each in live.past] == [20]
    preview(30)  # of the case before, which was on its way
    assert step_on_screen(running) == 20
    running.on_show.show("scan_1")
    background.finish()
    assert [each.step for each in live.past] == [10, 30]


def test_the_film_stays_after_the_run_and_goes_with_the_next(running, preview, worker, background):
    preview(10)
    preview(20)
    worker.end()
    view = preview_panel(running)
    assert not view.isHidden()
    assert view.kinds["prediction"].isHidden()
    running.training.previews.look_at(0)
    background.finish()
    assert step_on_screen(running) == 10
    running.training.start(TrainingSettings(steps=9))
    assert running.training.previews.past == []
    background.finish()


def test_a_run_that_goes_on_keeps_its_film(running, preview, worker, background):
    running.training.progress.run = "001-ua-mt"
    preview(10)
    worker.end()
    running.training.start(TrainingSettings(steps=9), resume="001-ua-mt")
    assert [each.step for each in running.training.previews.past] == [10]
    background.finish()


def test_it_says_what_to_do_without_a_case(running, view, worker):
    assert "a few seconds" in view.when.text()
    running.on_show.leave()
    assert "Show a scan" in view.when.text()
    worker.event.emit(Progress(1, 0.1, 1.0, None, {"loss": 1.0}))
    worker.end()
    assert view.isHidden()


def test_a_study_that_is_left_takes_its_film_along(running, preview, worker, background):
    preview(10)
    worker.end()
    running.open_study.close_study()
    background.finish()
    assert running.training.previews.history.size == 0


def test_a_stored_prediction_under_review_is_not_replaced_by_a_preview(
    running, preview, background
):
    stored_prediction(running, background, "scan_1")
    running.maps.review(True)
    running.maps.show_case("scan_1")
    background.finish()
    run = running.maps.run
    assert run is not None
    preview(10)
    assert running.maps.run == run
    assert step_on_screen(running) is None
    assert [each.step for each in running.training.previews.past] == [10]
    running.maps.review(False)
    preview(20)
    assert step_on_screen(running) == 20
    assert running.maps.run is None
    assert running.maps.predicted_by is None
    running.maps.review(True)
    background.finish()
    assert running.maps.run == run
    assert step_on_screen(running) is None
