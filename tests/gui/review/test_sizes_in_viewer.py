"""The sizes on the Review page in the real viewer, measured by a trained run on real threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt

from napari_semiseg.engine.inference.prediction import predict
from napari_semiseg.engine.study import Study
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.gui.desk import TITLE, SemisegWidget

PATIENCE = 60_000
DEPTH = 12


@pytest.fixture
def curriculum_study(study_path):
    """The four scans with a trained curriculum run that predicted scans 0 and 1."""
    small = {"network.dimensions": 2, "patch": (1, 8, 8), "network.filters": 2,
             "network.strides": [[2, 2]]}  # fmt: skip
    settings = TrainingSettings(method="curriculum", steps=4, device="cpu", plan_overrides=small)
    with Study.open(study_path) as study:
        for _ in train(study, settings):
            pass
        for _ in predict(study, cases=["scan_0", "scan_1"], device="cpu"):
            pass
    return study_path


@pytest.fixture
def docked(make_napari_viewer_proxy, qtbot, recent):
    viewer = make_napari_viewer_proxy(show=True)
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    qtbot.waitUntil(lambda: bool(widget.session.open_study.methods), timeout=PATIENCE)
    yield widget
    widget.session.close()


@pytest.fixture
def unfolded(docked, qtbot, curriculum_study):
    """The section in the real viewer, with the measured sizes of a labelled scan."""
    session = docked.session
    session.open_study.open(curriculum_study)
    qtbot.waitUntil(lambda: session.open_study.study is not None, timeout=PATIENCE)
    docked.show_page(3)
    section = docked.review_page.sizes
    session.maps.show_case("scan_0")
    qtbot.waitUntil(lambda: not section.isHidden(), timeout=PATIENCE)
    section.switch.click()
    qtbot.waitUntil(lambda: section.chart._profile is not None, timeout=PATIENCE)
    return section


def view_box(section):
    return section.chart.plot.getPlotItem().getViewBox()


def pixel_of(section, index, size):
    """Where a slice and a size are drawn, in pixels of the plot's viewport."""
    plot = section.chart.plot
    return plot.mapFromScene(view_box(section).mapViewToScene(QPointF(index, size)))


def click(qtbot, section, index):
    section.chart.plot.grab()  # pyqtgraph places things when it draws
    place = pixel_of(section, index, section.chart._profile.upper.max() / 2)
    qtbot.mouseClick(section.chart.plot.viewport(), Qt.MouseButton.LeftButton, pos=place)


def test_a_trained_run_gives_a_profile_with_the_true_sizes(unfolded):
    profile = unfolded.chart._profile
    assert (profile.case, profile.unit, profile.axis) == ("scan_0", "mm²", 0)
    np.testing.assert_array_equal(profile.slices, np.arange(DEPTH))
    np.testing.assert_allclose(profile.true[0][3:9], 5 * 6 * 1.5 * 1.5)
    assert "Dotted: your label" in unfolded.chart.summary.text()


def test_a_click_moves_the_slider_and_the_slider_moves_the_mark(unfolded, docked, qtbot):
    viewer = docked._viewer
    click(qtbot, unfolded, 9)
    assert viewer.dims.current_step[0] == 9
    assert unfolded.chart._here.value() == 9
    viewer.dims.set_current_step(0, 2)
    assert unfolded.chart._here.value() == 2
    assert unfolded.chart._here.isVisible()


def test_in_another_view_the_mark_is_gone_and_a_click_turns_it_back(unfolded, docked, qtbot):
    viewer = docked._viewer
    assert not unfolded.view_note.isVisibleTo(unfolded)
    viewer.dims.order = (2, 0, 1)
    assert not unfolded.chart._here.isVisible()
    assert unfolded.view_note.isVisibleTo(unfolded)
    click(qtbot, unfolded, 5)
    assert (viewer.dims.order, viewer.dims.current_step[0]) == ((0, 1, 2), 5)
    viewer.dims.ndisplay = 3
    assert not unfolded.chart._here.isVisible()
    click(qtbot, unfolded, 6)
    assert (viewer.dims.ndisplay, viewer.dims.current_step[0]) == (2, 6)
    assert not unfolded.view_note.isVisibleTo(unfolded)


def test_a_layer_of_the_user_with_time_does_not_confuse_the_axes(unfolded, docked, qtbot):
    viewer = docked._viewer
    viewer.add_image(np.zeros((3, DEPTH, 14, 16)))
    click(qtbot, unfolded, 8)
    assert viewer.dims.point[1] == pytest.approx(16.0)
    assert unfolded.chart._here.value() == 8


def test_the_arrow_keys_walk_from_mark_to_mark_and_not_through_the_viewer(unfolded, docked, qtbot):
    viewer = docked._viewer
    band = np.full((2, DEPTH), 100.0)
    predicted = band.copy()
    predicted[:, [4, 7]] = 50, 150
    marked = replace(unfolded.chart._profile, lower=band, upper=band, predicted=predicted)
    unfolded.chart.show_profile(marked, docked.session.open_study.records.classes)
    viewer.dims.set_current_step(0, 0)
    unfolded.chart.setFocus()
    for key, index in ((Qt.Key.Key_Right, 4), (Qt.Key.Key_Right, 7), (Qt.Key.Key_Left, 4)):
        qtbot.keyClick(unfolded.chart, key)
        assert viewer.dims.current_step[0] == index


def test_unfolding_brings_all_of_it_into_view(unfolded, docked, qtbot):
    area = docked.pages.currentWidget()

    def lowest():
        corner = unfolded.mapTo(area.viewport(), QPoint(0, unfolded.height()))
        return corner.y() <= area.viewport().height()

    qtbot.waitUntil(lowest, timeout=PATIENCE)


def test_it_takes_on_the_theme_and_nothing_is_cut_off(unfolded, docked):
    chart = unfolded.chart
    for theme, dark in (("light", False), ("dark", True)):
        docked._viewer.theme = theme
        assert (chart.plot.backgroundBrush().color().lightness() < 128) is dark
        axis = chart.plot.getPlotItem().getAxis("left")
        assert (axis.textPen().color().lightness() > 128) is dark
        docked.resize(360, 800)
        assert docked.review_page.minimumSizeHint().width() <= 344
        for control in (unfolded.switch, chart.structure, chart.plot, chart.summary):
            right = control.mapTo(docked.review_page, QPoint(control.width(), 0)).x()
            assert right <= docked.review_page.width()
