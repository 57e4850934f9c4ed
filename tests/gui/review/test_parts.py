"""Accepting and rejecting parts of a prediction at the desk."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState, DecisionKind
from napari_semiseg.engine.study.done_slices import NOT_ANNOTATED
from napari_semiseg.gui.review.parts_layer import CHOSEN_COLOUR, NAME, OFFERED_COLOUR
from tests.gui.cases_on_show import paint
from tests.gui.conftest import SHAPE
from tests.gui.parts_of_the_desk import review_page


def prediction():
    """Two boxes, a large one and a small one, and a rim; the large one has a doubtful half."""
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[2:6, 2:6, 2:6] = 1
    voxels[8:10, 9:11, 9:11] = 1
    voxels[2:4, 10:12, 2:4] = 2
    return voxels


def uncertainty():
    voxels = np.full(SHAPE, 0.05, np.float32)
    voxels[2:6, 2:6, 4:6] = 0.5
    return voxels


@pytest.fixture
def run(desk):
    """A run that predicted scan_1 and scan_2."""
    study = desk.open_study.study
    run = study.runs.create("ua-mt", {}, 0)
    study.runs.update(run.identifier, status="finished")
    for name in ("scan_1", "scan_2"):
        study.runs.maps.save(run, name, "prediction", prediction())
        study.runs.maps.save(run, name, "uncertainty", uncertainty(), source="x")
        study.mark(name, CaseState.PREDICTED)
    return run.identifier


@pytest.fixture
def page(qtbot, desk, background, run):
    """The page with scan_1 on the screen and its parts shown."""
    desk.open_study.refresh()
    background.finish()
    page = review_page(desk)
    qtbot.addWidget(page)
    desk.maps.show_case("scan_1")
    background.finish()
    page.parts.switch.click()
    page.parts._review.show(True)  # a page that is not shown gets no show event
    background.finish()
    return page


@pytest.fixture
def review(page, desk):
    return desk.reviewing.parts


def rows(page):
    table = page.parts.table
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def overlay(desk):
    return next((each for each in desk.on_show.layers.visible_layers() if each.name == NAME), None)


def press(page, background, key):
    page.keys()[key]()
    background.finish()


def test_parts_are_listed_with_size_certainty_and_neighbours(page):
    # voxels of 4.5 mm³
    assert rows(page) == [
        ["box 1", "0.14 mL", "95 %", "apart"],
        ["box 2", "0.04 mL", "95 %", "apart"],
        ["rim 1", "0.04 mL", "95 %", "apart"],
    ]
    assert "3 parts, 0.22 mL of the 0.36 mL left" in page.parts.words.text()


def test_nothing_is_looked_for_while_the_section_is_folded(page, review, background, desk):
    page.parts.switch.click()
    assert overlay(desk) is None
    desk.maps.show_case("scan_2")
    background.finish()
    assert review.left is None


def test_less_certainty_offers_more(page, review, background):
    page.parts.certainty.setValue(40)
    background.finish()
    assert rows(page)[0] == ["box 1", "0.29 mL", "72 %", "apart"]
    page.parts.certainty.setValue(99)
    background.finish()
    assert rows(page) == []
    assert not page.parts.accept_all.isEnabled()
    assert "ask for less" in page.parts.words.text()


def test_dragging_the_slider_looks_once_more_at_the_end(page, background):
    for value in (70, 60, 50, 40):
        page.parts.certainty.setValue(value)
    assert len(background.waiting) == 1
    background.finish()
    assert rows(page)[0][1] == "0.29 mL"


def test_what_would_be_accepted_is_outlined_and_the_chosen_part_stands_out(page, review, desk):
    layer = overlay(desk)
    assert layer.contour > 0
    assert not layer.editable
    assert ((layer.data > 0) == (prediction() > 0) & (uncertainty() < 0.2)).all()
    page.parts.table.selectRow(1)
    assert review.chosen.component == 2
    colours = layer.colormap.color_dict
    assert colours[2] == pytest.approx(np.append(_rgb(CHOSEN_COLOUR), 1), abs=0.01)
    assert colours[None] == pytest.approx(np.append(_rgb(OFFERED_COLOUR), 1), abs=0.01)
    assert desk.on_show.layers.dims.point[0] == pytest.approx(2.0 * 8), "the view goes there"
    assert desk.on_show.layers.label_layer is desk.on_show.layers._stack.active


def _rgb(colour):
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def test_the_next_part_has_a_key_that_starts_over(page, review):
    seen = []
    for _ in range(4):
        page.keys()["P"]()
        seen.append(review.chosen.number)
    assert seen == [2, 3, 1, 2]


def test_a_part_is_chosen_with_a_click_in_the_image(page, review, desk):
    review.choose_at((9, 9, 9))
    assert review.chosen.number == 2
    review.choose_at((0, 0, 0))
    assert review.chosen.number == 2, "a click beside all parts changes nothing"
    assert page.parts.table.currentRow() == 1


def clicks(viewer):
    return [each for each in viewer.mouse_drag_callbacks if "PartLayer" in repr(each)]


def click(viewer, position, drag=False, button=1):
    """Press and release at a point in mm, as napari tells its mouse callbacks."""
    event = SimpleNamespace(type="mouse_press", button=button, position=position)
    for callback in clicks(viewer):
        gesture = callback(viewer, event)
        next(gesture, None)
        event.type = "mouse_move" if drag else "mouse_release"
        next(gesture, None)


def test_only_a_click_chooses_and_not_a_drag_or_a_stroke(page, review, desk):
    viewer, inside = desk.on_show.layers.viewer, (16.0, 14.5, 14.0)
    click(viewer, inside, drag=True)
    click(viewer, inside, button=2)
    desk.on_show.layers.label_layer.mode = "paint"
    click(viewer, inside)
    assert review.chosen.number == 1
    desk.on_show.layers.label_layer.mode = "pan_zoom"
    click(viewer, inside)
    assert review.chosen.number == 2
    review.show(False)
    assert not clicks(viewer)


def test_accepting_a_part_leaves_the_rest_in_the_queue(page, desk, background):
    press(page, background, "Shift-A")
    case = desk.open_study.records.case("scan_1")
    assert case.accepted_in_part
    assert case.standing == "in part"
    label = desk.on_show.layers.label_voxels()
    assert (label > 0).sum() == 32
    training = desk.open_study.study.labels.load_for_training("scan_1")
    assert set(np.unique(training)) == {1, NOT_ANNOTATED}
    assert [row[0] for row in rows(page)] == ["box 1", "rim 1"], "ranks count what is left"
    assert "Accepted in part" in page.parts.words.text()
    waiting = [each.name for each in desk.reviewing.cases()]
    assert waiting == ["scan_2", "scan_1"]
    assert desk.reviewing.next_case("scan_2") == "scan_1"
    assert page.accept.isEnabled(), "the rest can still be accepted as a whole"
    [decision] = desk.open_study.study.decisions("scan_1")
    assert decision.what is DecisionKind.PART_ACCEPTED
    assert decision.detail == "box, part 1 at (3, 3, 2), at least 80 % sure: 32 voxels"


def test_parts_that_touch_the_label_are_told(page, background):
    press(page, background, "Shift-A")
    page.parts.certainty.setValue(40)
    background.finish()
    assert rows(page)[0] == ["box 1", "0.14 mL", "50 %", "touches"]


def test_all_parts_are_accepted_at_once_and_the_background_on_demand(page, desk, background):
    page.parts.background.click()
    background.finish()
    assert rows(page)[0][0] == "background 1"
    press(page, background, "Shift-E")
    training = desk.open_study.study.labels.load_for_training("scan_1")
    assert (training == 0).sum() == (prediction() == 0).sum()
    assert (training == NOT_ANNOTATED).sum() == 32
    assert len(desk.open_study.study.decisions("scan_1")) == 4


def test_a_rejected_part_is_not_offered_again(page, desk, background):
    press(page, background, "Shift-R")
    assert [row[0] for row in rows(page)] == ["box 1", "rim 1"]
    assert desk.open_study.records.case("scan_1").state is CaseState.PREDICTED
    assert not desk.on_show.layers.label_voxels().any()
    assert desk.open_study.study.decisions("scan_1")[-1].what is DecisionKind.PART_REJECTED


def test_the_last_decision_can_be_undone_until_the_label_changes(page, desk, background):
    assert not page.parts.undo.isEnabled()
    press(page, background, "Shift-A")
    press(page, background, "U")
    assert desk.open_study.records.case("scan_1").state is CaseState.PREDICTED
    assert not desk.on_show.layers.label_voxels().any()
    assert len(rows(page)) == 3
    assert not page.parts.undo.isEnabled()
    press(page, background, "Shift-A")
    paint(desk)
    desk.open_study.about_to_work.emit()
    background.finish()
    assert not page.parts.undo.isEnabled()
    assert "changed after" in page.parts.undo.toolTip()


def test_what_a_person_paints_is_kept_and_theirs(page, desk, background):
    desk.on_show.layers.label_layer.data[3, 3, 2:4] = 2
    press(page, background, "Shift-A")
    label = desk.on_show.layers.label_voxels()
    assert (label[3, 3, 2:4] == 2).all()
    assert (label == 1).sum() == 30
    case = desk.open_study.records.case("scan_1")
    assert (case.state, case.label_origin) == (CaseState.IN_PROGRESS, "human")
    counts = desk.open_study.study.labels.parts.provenance("scan_1").voxels_by_class(label)
    assert counts[2] == {"human": 2}


def test_a_second_press_waits_for_the_first(page, desk, background):
    page.keys()["Shift-A"]()
    page.keys()["Shift-A"]()
    background.finish()
    assert len(desk.open_study.study.decisions("scan_1")) == 1


def test_a_held_out_scan_says_why_nothing_can_be_accepted(page, desk, background):
    desk.scans.hold_out("scan_1")
    background.finish()
    assert not page.parts.accept.isEnabled()
    assert "held out" in page.parts.accept.toolTip()
    press(page, background, "Shift-E")
    assert not desk.open_study.records.case("scan_1").has_label


def test_a_refused_decision_leaves_all_as_it_is_and_is_told(page, desk, background, messages):
    desk.open_study.study.hold_out("scan_1")  # by another program: the desk does not know yet
    press(page, background, "Shift-A")
    assert any("held out" in sentence for _, sentence in messages())
    assert not desk.open_study.study.case("scan_1").has_label


def test_a_prediction_without_certainty_is_offered_in_whole_pieces(page, desk, background):
    study = desk.open_study.study
    other = study.runs.create("dtc", {}, 0)
    study.runs.update(other.identifier, status="finished")
    study.runs.maps.save(other, "scan_2", "prediction", prediction())
    desk.open_study.refresh()
    desk.maps.show_case("scan_2")
    background.finish()
    assert not page.parts.certainty.isEnabled()
    assert "does not tell" in page.parts.certainty.toolTip()
    assert rows(page)[0] == ["box 1", "0.29 mL", "", "apart"]


def test_the_section_fits_a_narrow_dock(page):
    assert page.minimumSizeHint().width() <= 344
    page.resize(344, 900)
    page.grab()
    for control in (page.parts.accept, page.parts.accept_all, page.parts.undo):
        assert control.width() >= control.sizeHint().width(), control.text()


def test_every_control_has_a_name_and_says_what_it_does(page):
    section = page.parts
    for control in (
        section.certainty, section.background, section.table, section.accept, section.reject,
        section.accept_all, section.undo, page.before,
    ):  # fmt: skip
        assert control.accessibleName()
        assert control.toolTip()
