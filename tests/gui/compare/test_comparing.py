from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.gui.compare import pairs
from tests.gui.comparable_runs import add_run, hold_out, label_of


@pytest.fixture
def comparing(desk, background):
    """Three measured runs, of which the newest and its twin are compared."""
    hold_out(desk.open_study.study)
    add_run(desk.open_study.study, "supervised", shrunk=2)
    add_run(desk.open_study.study, "ua-mt", shrunk=1, seed=1)
    add_run(desk.open_study.study, "ua-mt", shrunk=0)
    desk.open_study.refresh()
    desk.comparing.refresh()
    background.finish()
    return desk.comparing


@pytest.fixture
def viewer(desk):
    return desk.on_show.layers.viewer


def opened(comparing, background, name="scan_1"):
    comparing.open_case(name)
    background.finish()
    return comparing.pair


def names(viewer):
    return [layer.name for layer in viewer.layers]


def test_the_newest_run_with_a_twin_is_chosen_first(comparing):
    assert comparing.chosen == ("003-ua-mt", "001-supervised")
    assert [each.letter for each in comparing.comparison.columns] == ["A", "B"]


def test_runs_come_and_go_in_the_order_in_which_they_are_ticked(comparing, background):
    comparing.choose("002-ua-mt", True)
    comparing.choose("003-ua-mt", False)
    background.finish()
    assert comparing.chosen == ("001-supervised", "002-ua-mt")
    comparing.compare_with("002-ua-mt")
    comparing.choose("002-ua-mt", False)
    background.finish()
    assert comparing.yardstick is None
    assert comparing.why_not_look() == "Tick at least two runs that have been trained."


def test_only_the_last_of_several_choices_is_answered(comparing, background):
    comparing.choose("002-ua-mt", True)
    comparing.choose("001-supervised", False)
    assert sum(not errand.cancelled for errand in background.waiting) == 1
    background.finish()
    assert comparing.chosen == ("003-ua-mt", "002-ua-mt")


def test_the_scans_in_which_the_runs_differ_most_come_first(comparing):
    cases = comparing.cases()
    assert {name for name, _ in cases} == {"scan_1", "scan_2", "scan_3"}
    gaps = [abs(gap) for _, gap in cases]
    assert gaps == sorted(gaps, reverse=True)
    assert all(gap < 0 for _, gap in cases), "the second run is the worse"


def test_a_scan_opens_with_both_predictions_as_outlines(comparing, background, viewer):
    pair = opened(comparing, background)
    assert pair.runs == ("003-ua-mt", "001-supervised")
    assert names(viewer) == ["scan_1", "scan_1 label", "B · 001 Supervised only", "A · 003 UA-MT"]
    for layer in list(viewer.layers)[2:]:
        assert layer.contour == 1
        assert not layer.editable
    np.testing.assert_array_equal(viewer.layers[2].data, label_of(1, 2))
    assert viewer.layers.selection.active is viewer.layers[1]


def test_side_by_side_can_be_undone_and_gives_the_view_back(comparing, background, viewer):
    opened(comparing, background)
    grid, camera = viewer.canvas.grid, viewer.scene.camera
    before = (grid.enabled, grid.stride, grid.shape, camera.zoom, tuple(camera.center))
    viewer.dims.set_point(0, 6.0)
    comparing.put_side_by_side(True)
    assert (grid.enabled, grid.shape) == (True, (1, 2))
    left = [viewer.layers[i].name for i in grid.contents_at((0, 0), viewer.layers)]
    right = [viewer.layers[i].name for i in grid.contents_at((0, 1), viewer.layers)]
    assert left == ["scan_1 · view 1", "scan_1 label · view 1", "A · 003 UA-MT"]
    assert right == ["scan_1 · view 2", "scan_1 label · view 2", "B · 001 Supervised only"]
    camera.zoom = 3.0
    comparing.put_side_by_side(False)
    after = (grid.enabled, grid.stride, grid.shape, camera.zoom, tuple(camera.center))
    assert after == before
    assert viewer.dims.point[0] == 6.0, "the slice stays where one scrolled to"
    assert len(viewer.layers) == 4
    assert all(layer.visible for layer in viewer.layers)


def test_disagreement_shows_where_they_differ_of_one_structure_or_all(
    comparing, background, viewer
):
    opened(comparing, background)
    comparing.show_disagreement(True)
    layer = viewer.layers[-1]
    assert layer.name == "disagreement A and B"
    assert layer.contrast_limits == [0, 1]
    assert layer.data.any()
    comparing.show_structure(2)
    background.finish()
    layer = viewer.layers[-1]
    assert layer.name == "disagreement A and B · rim"
    assert not layer.data.any()
    comparing.put_side_by_side(True)
    both = [name for name in names(viewer) if "disagreement" in name]
    assert sorted(name.rpartition(" · ")[2] for name in both) == ["view 1", "view 2"]


def test_other_runs_are_looked_at_and_the_same_twice_exchanges_them(comparing, background, viewer):
    comparing.choose("002-ua-mt", True)
    background.finish()
    opened(comparing, background)
    comparing.look_at("003-ua-mt", "002-ua-mt")
    background.finish()
    assert comparing.pair.runs == ("003-ua-mt", "002-ua-mt")
    comparing.look_at("002-ua-mt", "002-ua-mt")
    background.finish()
    assert comparing.pair.runs == ("002-ua-mt", "003-ua-mt")


def test_another_scan_takes_everything_off(comparing, background, viewer, desk):
    opened(comparing, background)
    comparing.put_side_by_side(True)
    desk.on_show.show("scan_0")
    background.finish()
    assert comparing.pair is None
    assert names(viewer) == ["scan_0", "scan_0 label"]
    assert not viewer.canvas.grid.enabled


def test_neighbours_are_those_of_the_list(comparing, background):
    order = [name for name, _ in comparing.cases()]
    opened(comparing, background, order[0])
    comparing.open_neighbour(1)
    background.finish()
    assert comparing.pair.case.name == order[1]
    comparing.open_neighbour(-2)
    background.finish()
    assert comparing.pair.case.name == order[1]


def test_a_scan_that_cannot_be_predicted_is_told(comparing, background, messages, monkeypatch):
    def broken(*arguments):
        raise StudyError("The checkpoint of run 003-ua-mt cannot be read.")

    monkeypatch.setattr(pairs, "read_pair", broken)
    opened(comparing, background)
    assert ("error", "The checkpoint of run 003-ua-mt cannot be read.") in messages()
    assert comparing.waiting == ""


def test_waiting_for_a_prediction_can_be_given_up(comparing, background, desk):
    comparing.open_case("scan_2")
    assert comparing.waiting == "Reading scan_2…"
    comparing.stop_reading()
    background.finish()
    assert comparing.pair is None
    assert desk.on_show.name == "scan_2"


def test_measuring_runs_as_a_job_and_reads_the_figures_again(
    comparing, background, desk, monkeypatch
):
    assert "measured already" in comparing.why_not_measure()
    late = add_run(desk.open_study.study, "ua-mt", seed=7)
    comparing.choose(late.identifier, True)
    background.finish()
    assert comparing.why_not_measure() is None
    measured = []

    def measure_runs(study, runs):
        yield pairs.JobStep(0.5, "half")
        measured.extend(runs)

    monkeypatch.setattr(pairs, "measure_runs", measure_runs)
    comparing.measure_missing()
    assert desk.open_study.job.title == "Measuring"
    assert "under way" in comparing.why_not_measure()
    background.finish()
    assert measured == [late.identifier]
    assert desk.open_study.job is None


def test_a_table_that_cannot_be_written_is_told(
    comparing, background, messages, tmp_path, monkeypatch
):
    monkeypatch.setattr(pairs, "_by_method", lambda columns, names: "")
    comparing.save(tmp_path / "table.md")
    comparing.save(tmp_path / "nowhere" / "table.md")
    background.finish()
    assert (tmp_path / "table.csv").exists()
    severities = dict(reversed(pair) for pair in messages())
    assert any("table.md and table.csv" in text for text in severities)
    assert any("choose another folder" in text for text in severities)


def test_closing_the_study_forgets_it_all(comparing, background, desk, viewer):
    opened(comparing, background)
    comparing.put_side_by_side(True)
    desk.open_study.close_study()
    background.finish()
    assert comparing.comparison is None
    assert comparing.chosen == ()
    assert len(viewer.layers) == 0
    assert not viewer.canvas.grid.enabled
