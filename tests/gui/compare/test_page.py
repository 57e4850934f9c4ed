from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_semiseg.engine.study import Study
from napari_semiseg.gui.compare import page as module
from napari_semiseg.gui.desk import TITLE, SemisegWidget
from tests.gui.comparable_runs import add_run, hold_out
from tests.gui.parts_of_the_desk import compare_page

PATIENCE = 60_000


@pytest.fixture
def page(qtbot, desk, background):
    hold_out(desk.open_study.study)
    add_run(desk.open_study.study, "supervised", shrunk=2)
    add_run(desk.open_study.study, "ua-mt", shrunk=0)
    add_run(desk.open_study.study, "ua-mt", seed=3, status="running")
    desk.open_study.refresh()
    background.finish()
    made = compare_page(desk)
    qtbot.addWidget(made)
    desk.comparing.refresh()
    background.finish()
    return made


def row_of(page, text):
    return next(r for r in range(page.runs.rowCount()) if text in page.runs.item(r, 0).text())


def cells(table):
    return [
        [table.item(row, column).text() for column in range(table.columnCount())]
        for row in range(table.rowCount())
    ]


def test_without_held_out_scans_it_says_how_to_hold_some_out(qtbot, desk, background):
    page = compare_page(desk)
    qtbot.addWidget(page)
    desk.comparing.refresh()
    background.finish()
    assert "press “Held-out”" in page.missing.text()
    assert page.results.isHidden()
    for control in (page.measure_runs, page.save, page.case, page.beside, page.disagreement):
        assert not control.isEnabled()
        assert control.toolTip()


def test_figures_and_verdicts_of_the_first_choice_are_there(page):
    assert page.missing.isHidden()
    assert "A · 002 UA-MT helped: +0." in page.verdicts.text()
    table = cells(page.table)
    titles = [page.table.verticalHeaderItem(row).text() for row in range(7)]
    assert titles == [
        "Dice, mean",
        "Dice, box",
        "Dice, rim",
        "HD95, mm",
        "ASD, mm",
        "Volume error, %",
        "Volume error, mL",
    ]
    assert table[0][0] == "1.000"
    assert float(table[0][1]) < 1
    assert page.table.item(0, 0).font().bold()
    assert not page.table.item(0, 1).font().bold()


def test_one_structure_alone_changes_distances_and_volumes(page, background):
    before = cells(page.table)
    page.structure.setCurrentIndex(page.structure.findData(2))
    page.structure.activated.emit(page.structure.currentIndex())
    background.finish()
    after = cells(page.table)
    assert after[:3] == before[:3]
    assert after[5][1] == "0.0"
    assert before[5][1] != "0.0"


def test_a_run_in_training_cannot_be_ticked_and_says_why(page):
    row = row_of(page, "003")
    item = page.runs.item(row, 0)
    assert not item.flags() & Qt.ItemFlag.ItemIsEnabled
    assert "still training" in item.toolTip()
    assert page.runs.item(row, 1).text() == "training"


def test_ticking_and_unticking_changes_the_comparison(page, background, desk):
    page.runs.item(row_of(page, "001"), 0).setCheckState(Qt.CheckState.Unchecked)
    background.finish()
    assert page.table.columnCount() == 1
    assert "Tick at least two" in page.case.toolTip()
    page.runs.activated.emit(page.runs.model().index(row_of(page, "001"), 0))
    background.finish()
    assert desk.comparing.chosen == ("002-ua-mt", "001-supervised")


def test_a_dot_opens_its_scan_and_the_buttons_act_on_it(page, background, desk):
    assert "Choose a scan first" in page.beside.toolTip()
    page.plot.case_chosen.emit("scan_2")
    background.finish()
    assert page.case.currentData() == "scan_2"
    assert "They differ in" in page.waiting.text()
    page.keys()["S"]()
    assert desk.on_show.layers.viewer.canvas.grid.enabled
    assert page.beside.isChecked()
    page.keys()["S"]()
    page.keys()["D"]()
    assert not desk.on_show.layers.viewer.canvas.grid.enabled
    assert page.disagreement.isChecked()
    page.keys()["N"]()
    background.finish()
    assert desk.comparing.pair.case.name != "scan_2"


def test_the_box_plot_shows_the_measure_that_is_chosen(page):
    page.measure.setCurrentIndex(page.measure.findData("hd95"))
    page.measure.activated.emit(page.measure.currentIndex())
    assert page.plot.plot.getPlotItem().getAxis("left").labelText == "HD95, mm"
    assert {dot.case for dot in page.plot._dots} == {"scan_1", "scan_2", "scan_3"}


def test_the_yardstick_is_chosen_among_the_runs(page, background):
    place = page.yardstick.findData("002-ua-mt")
    page.yardstick.setCurrentIndex(place)
    page.yardstick.activated.emit(place)
    background.finish()
    assert "001 Supervised only is worse than 002 UA-MT" in page.verdicts.text()


def test_the_table_is_saved_where_the_user_says(page, background, desk, tmp_path, monkeypatch):
    chosen = str(tmp_path / "table.md")
    monkeypatch.setattr(
        module.QFileDialog, "getSaveFileName", lambda *arguments, **more: (chosen, "")
    )
    monkeypatch.setattr("napari_semiseg.gui.compare.pairs._by_method", lambda columns, names: "")
    page.save.click()
    background.finish()
    assert "research use only" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_no_more_runs_than_letters_can_be_ticked(page, background, desk):
    for seed in range(10, 16):
        add_run(desk.open_study.study, "ua-mt", shrunk=1, seed=seed)
    desk.comparing.refresh()
    background.finish()
    for seed in range(4, 9):
        desk.comparing.choose(f"{seed:03d}-ua-mt", True)
        background.finish()
    assert len(desk.comparing.chosen) == 6
    item = page.runs.item(row_of(page, "008"), 0)
    assert "No more than 6" in item.toolTip()
    assert page.table.columnCount() == 6


def test_in_the_real_viewer_leaving_the_page_gives_the_view_back(
    make_napari_viewer_proxy, qtbot, recent, study_path
):
    with Study.open(study_path) as study:
        hold_out(study)
        add_run(study, "supervised", shrunk=2)
        add_run(study, "ua-mt", shrunk=0)
    viewer = make_napari_viewer_proxy()
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    session = widget.session
    session.open_study.open(study_path)
    qtbot.waitUntil(lambda: session.open_study.study is not None, timeout=PATIENCE)
    widget.show_page(4)
    session.comparing.refresh()
    qtbot.waitUntil(lambda: session.comparing.comparison is not None, timeout=PATIENCE)
    widget.compare_page.plot.case_chosen.emit("scan_2")
    qtbot.waitUntil(lambda: session.comparing.pair is not None, timeout=PATIENCE)
    widget.compare_page.disagreement.click()
    widget.compare_page.beside.click()
    qtbot.waitUntil(
        lambda: viewer.canvas.grid.actual_shape(viewer.layers) == (1, 2), timeout=PATIENCE
    )
    viewer.theme = "light"
    own = ["scan_2", "scan_2 label"]
    widget.show_page(1)
    assert not viewer.canvas.grid.enabled
    assert all(layer.visible == (layer.name in own) for layer in viewer.layers)
    qtbot.waitUntil(lambda: [layer.name for layer in viewer.layers] == own, timeout=PATIENCE)
    session.close()
