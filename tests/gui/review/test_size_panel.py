"""The sizes on the Review page: when they are there, and what is measured when."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.size_profile import SizeProfile
from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.review.sizes import STOPPED, has_true_sizes
from tests.gui.parts_of_the_desk import review_page

DEPTH = 12


def make_profile(case, share=1.0, true=None):
    """A profile over all slices whose prediction is too small in slice 4 and too large in slice 7."""
    slices = np.arange(DEPTH)
    expected = np.full((2, DEPTH), 100.0)
    predicted = share * expected
    predicted[:, 4], predicted[:, 7] = 50, 150
    return SizeProfile(
        case, (1, 2), "mm²", 0, slices, np.stack([slices, slices], axis=1), expected,
        0.9 * expected, 1.1 * expected, predicted, true, 1.0,
    )  # fmt: skip


class Measuring:
    """Stands in for `measure_sizes`; notes what was asked, and fails where a problem is set."""

    def __init__(self):
        self.asked, self.problem = [], None

    def __call__(self, study, run, name):
        self.asked.append((run, name))
        yield None
        yield 0.5
        if self.problem is not None:
            raise StudyError(self.problem)
        return make_profile(name)


@pytest.fixture
def measuring(monkeypatch):
    measuring = Measuring()
    monkeypatch.setattr("napari_semiseg.gui.review.sizes.measure_sizes", measuring)
    return measuring


def store_prediction(study, run, name):
    prediction = np.zeros(study.case(name).geometry.shape, np.uint8)
    prediction[2:6, 2:6, 2:6] = 1
    study.runs.maps.save(run, name, "prediction", prediction)
    if study.case(name).state is CaseState.UNLABELLED:
        study.mark(name, CaseState.PREDICTED)


@pytest.fixture
def page(qtbot, desk, background, measuring):
    """The page on the screen, with predictions of scans 0 to 2 by curriculum and 3 by ua-mt."""
    study = desk.open_study.study
    runs = {key: study.runs.create(key, {}, 0) for key in ("curriculum", "ua-mt")}
    for run in runs.values():
        study.runs.update(run.identifier, status="finished")
    for name in ("scan_0", "scan_1", "scan_2"):
        store_prediction(study, runs["curriculum"], name)
    store_prediction(study, runs["ua-mt"], "scan_3")
    desk.open_study.refresh()
    background.finish()
    page = review_page(desk)
    qtbot.addWidget(page)
    page.resize(344, 900)
    page.show()
    background.finish()
    return page


@pytest.fixture
def sizes(page):
    return page.sizes


def show(desk, background, name):
    desk.maps.show_case(name)
    background.finish()


def drawn(section):
    return section.chart._profile


# when it is there


def test_only_runs_that_expect_sizes_have_the_section(page, sizes, desk, background):
    assert sizes.isHidden(), "nothing is on the screen"
    show(desk, background, "scan_3")
    assert sizes.isHidden(), "this method expects no sizes"
    show(desk, background, "scan_1")
    assert not sizes.isHidden()
    assert not sizes.expanded
    show(desk, background, "scan_3")
    assert sizes.isHidden()


def test_it_waits_for_the_methods_and_loads_none_itself(page, sizes, desk, background):
    methods, desk.open_study.methods = desk.open_study.methods, {}
    show(desk, background, "scan_1")
    assert sizes.isHidden()
    desk.open_study.methods = methods
    desk.open_study.engine_loaded.emit()
    assert not sizes.isHidden()


def test_importing_the_page_does_not_load_torch():
    code = "import sys, napari_semiseg.gui.review.page; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_it_stays_while_the_next_scan_is_read_and_goes_with_another_way_to_a_scan(
    page, sizes, desk, background
):
    show(desk, background, "scan_1")
    desk.maps.show_case("scan_2")
    assert not sizes.isHidden(), "the page does not jump"
    background.finish()
    assert not sizes.isHidden()
    desk.on_show.show("scan_1")  # as the Label page does: without maps
    background.finish()
    assert sizes.isHidden()


def test_a_preview_of_training_does_not_pass_for_the_run_of_the_scan_before(
    page, sizes, desk, background
):
    show(desk, background, "scan_1")
    desk.on_show.show("scan_2")
    background.finish()
    assert desk.maps.run is None
    assert desk.maps.predicted_by is None


def test_it_goes_when_the_study_is_closed(page, sizes, desk, background):
    show(desk, background, "scan_1")
    sizes.expand()
    desk.open_study.close_study()
    background.finish()
    assert sizes.isHidden()
    assert drawn(sizes) is None


# measuring


def test_unfolding_measures_and_the_profile_arrives(sizes, desk, background, measuring):
    show(desk, background, "scan_1")
    assert measuring.asked == []
    sizes.switch.click()
    assert sizes.note.text() == "Measuring the sizes…"
    assert sizes.stop.isVisibleTo(sizes)
    background.finish()
    assert measuring.asked == [("001-curriculum", "scan_1")]
    assert drawn(sizes).case == "scan_1"
    assert not sizes.note.isVisibleTo(sizes)
    assert not sizes.stop.isVisibleTo(sizes)


def test_the_bar_follows_the_work(sizes, desk, background):
    show(desk, background, "scan_1")
    sizes.expand()
    assert (sizes.bar.minimum(), sizes.bar.maximum()) == (0, 0), "unknown"
    background.waiting[0].progress(0.25)
    assert sizes.bar.value() / sizes.bar.maximum() == 0.25


def test_going_back_measures_nothing_again(sizes, desk, background, measuring):
    show(desk, background, "scan_1")
    sizes.expand()
    background.finish()
    show(desk, background, "scan_2")
    assert drawn(sizes).case == "scan_2", "it measures while it is unfolded"
    show(desk, background, "scan_1")
    assert drawn(sizes).case == "scan_1"
    assert [name for _, name in measuring.asked] == ["scan_1", "scan_2"]


def test_switching_the_scan_while_measuring_shows_the_right_one(sizes, desk, background, measuring):
    show(desk, background, "scan_1")
    sizes.expand()
    late = background.waiting.pop()
    show(desk, background, "scan_2")
    assert drawn(sizes).case == "scan_2"
    assert late.cancelled
    late.done(make_profile("scan_1"))  # its last value was on its way already
    assert drawn(sizes).case == "scan_2"
    late.failed("It was cancelled.")
    assert sizes._sizes.problem is None


def test_folding_stops_measuring_and_unfolding_begins_anew(sizes, desk, background, measuring):
    show(desk, background, "scan_1")
    sizes.expand()
    sizes.expand(False)
    background.finish()
    assert measuring.asked == []
    sizes.expand()
    background.finish()
    assert drawn(sizes).case == "scan_1"


def test_it_can_be_stopped_and_started_again(sizes, desk, background):
    show(desk, background, "scan_1")
    sizes.expand()
    sizes.stop.click()
    background.finish()
    assert sizes.note.text() == STOPPED
    assert not sizes.chart.isVisibleTo(sizes)
    sizes.again.click()
    background.finish()
    assert drawn(sizes).case == "scan_1"
    assert sizes.chart.isVisibleTo(sizes)


def test_a_failure_shows_its_sentence_and_only_for_its_scan(
    sizes, desk, background, measuring, messages
):
    measuring.problem = "The scan cannot be read."
    show(desk, background, "scan_1")
    sizes.expand()
    background.finish()
    assert sizes.note.text() == "The scan cannot be read."
    assert not sizes.chart.isVisibleTo(sizes)
    assert messages() == []
    measuring.problem = None
    show(desk, background, "scan_2")
    assert drawn(sizes).case == "scan_2"
    show(desk, background, "scan_1")
    assert sizes.note.text() == "The scan cannot be read."
    assert len(measuring.asked) == 2, "it does not try again by itself"
    sizes.again.click()
    background.finish()
    assert drawn(sizes).case == "scan_1"


def test_a_run_without_a_checkpoint_says_so(qtbot, desk, background):
    run = desk.open_study.study.runs.create("curriculum", {}, 0)
    desk.open_study.study.runs.update(run.identifier, status="finished")
    store_prediction(desk.open_study.study, run, "scan_1")
    desk.open_study.refresh()
    background.finish()
    page = review_page(desk)
    qtbot.addWidget(page)
    show(desk, background, "scan_1")
    page.sizes.expand()
    background.finish()
    assert "no checkpoint" in page.sizes.note.text()


def test_a_run_that_went_on_is_measured_again(sizes, desk, background, measuring):
    show(desk, background, "scan_1")
    sizes.expand()
    background.finish()
    desk.open_study.study.runs.update("001-curriculum", status="running")
    desk.open_study.refresh()
    background.finish()
    assert len(measuring.asked) == 2


def test_only_a_finished_label_of_a_person_is_true(desk, background):
    assert has_true_sizes(desk.open_study.study.case("scan_0"))
    assert not has_true_sizes(desk.open_study.study.case("scan_1"))
    label = np.zeros(desk.open_study.study.case("scan_1").geometry.shape, np.uint8)
    label[2:4] = 1
    desk.open_study.study.labels.save("scan_1", label, state=CaseState.IN_PROGRESS)
    assert not has_true_sizes(desk.open_study.study.case("scan_1"))
    desk.open_study.study.labels.mark_slices("scan_0", 0, [3], done=True)
    assert not has_true_sizes(desk.open_study.study.case("scan_0")), (
        "the other slices were not looked at"
    )
    run = desk.open_study.study.runs.create("curriculum", {}, 0)
    store_prediction(desk.open_study.study, run, "scan_2")
    desk.open_study.study.accept("scan_2", run.identifier)
    assert not has_true_sizes(desk.open_study.study.case("scan_2")), "no second opinion"


def test_a_label_that_changed_is_compared_again(sizes, desk, background, measuring):
    show(desk, background, "scan_0")
    sizes.expand()
    background.finish()
    label = desk.open_study.study.labels.load("scan_0")
    label[3] = 0
    desk.open_study.study.labels.save("scan_0", label, state=CaseState.LABELLED)
    desk.open_study.refresh()
    background.finish()
    assert len(measuring.asked) == 2


def test_an_answer_after_the_session_was_closed_is_dropped(sizes, desk, background):
    show(desk, background, "scan_1")
    sizes.expand()
    late = background.waiting[-1]
    desk.close()
    late.done(make_profile("scan_1"))
    assert late.cancelled
    assert drawn(sizes) is None
