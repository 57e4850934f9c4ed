from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip

from napari_semiseg.engine.inference.size_profile import SizeProfile
from napari_semiseg.engine.study import parse_classes
from napari_semiseg.gui.review.size_chart import SizeChart

CLASSES = parse_classes("1=ventricle,2=muscle")
EXPECTED = np.array([[0.0, 100, 200, 200, 100, 0], [0.0, 50, 50, 50, 50, 0]])
PREDICTED = np.array([[0.0, 100, 150, 205, 140, 0], [0.0, 50, 50, 50, 50, 0]])


def make_profile(**changes):
    slices = np.arange(10, 16)
    fields = {
        "case": "scan",
        "class_values": (1, 2),
        "unit": "mm²",
        "axis": 0,
        "slices": slices,
        "ranges": np.stack([slices, slices], axis=1),
        "regressed": EXPECTED,
        "lower": 0.9 * EXPECTED,
        "upper": 1.1 * EXPECTED,
        "predicted": PREDICTED,
        "true": None,
        "negligible": 2.0,
    }
    return SizeProfile(**(fields | changes))


@pytest.fixture
def chart(qtbot):
    chart = SizeChart()
    qtbot.addWidget(chart)
    chart.resize(360, 260)
    chart.show_profile(make_profile(), CLASSES)
    chart.show()
    return chart


@pytest.fixture
def chosen(chart):
    slices = []
    chart.slice_chosen.connect(slices.append)
    return slices


def test_without_a_profile_it_says_so_and_draws_nothing(qtbot):
    chart = SizeChart()
    qtbot.addWidget(chart)
    assert chart.summary.text() == "No sizes yet."
    assert not chart.structure.isVisibleTo(chart)
    assert chart.violating_slices() == []
    assert chart.describe_slice(3) == ""


def test_it_draws_the_band_and_the_lines_over_the_slices(chart):
    np.testing.assert_allclose(chart._predicted.getData()[0], np.arange(10, 16))
    np.testing.assert_allclose(chart._predicted.getData()[1], PREDICTED[0])
    np.testing.assert_allclose(chart._lower.getData()[1], 0.9 * EXPECTED[0])
    np.testing.assert_allclose(chart._upper.getData()[1], 1.1 * EXPECTED[0])
    assert chart._true.getData()[0] is None


def test_sizes_that_leave_the_band_are_marked(chart):
    assert chart.violating_slices() == [12, 14]
    assert [point.symbol() for point in chart._violations.points()] == ["t", "t1"]
    assert "1 looks too small (▼) and 1 looks too large (▲)" in chart.summary.text()


def test_a_labelled_scan_shows_its_true_sizes(chart):
    chart.show_profile(make_profile(true=EXPECTED), CLASSES)
    np.testing.assert_allclose(chart._true.getData()[1], EXPECTED[0])
    assert "Dotted: your label" in chart.summary.text()
    assert "labelled 200 mm²" in chart.describe_slice(12)


def test_another_structure_can_be_chosen_and_stays_chosen(chart):
    assert [chart.structure.itemText(n) for n in range(2)] == ["ventricle", "muscle"]
    chart.structure.setCurrentIndex(1)
    assert chart.violating_slices() == []
    assert "No size of 6 slices stands out" in chart.summary.text()
    chart.show_profile(make_profile(), CLASSES)
    assert chart.structure.currentText() == "muscle"


def test_one_structure_needs_no_choice(chart):
    one = {"class_values": (1,), "regressed": EXPECTED[:1], "predicted": PREDICTED[:1]}
    band = {"lower": 0.9 * EXPECTED[:1], "upper": 1.1 * EXPECTED[:1]}
    chart.show_profile(make_profile(**one, **band), CLASSES)
    assert not chart.structure.isVisibleTo(chart)


def test_a_slice_is_described_in_words(chart):
    assert chart.describe_slice(12).splitlines() == [
        "Slice 12: too small",
        "predicted 150 mm²",
        "expected 180 to 220 mm²",
    ]
    assert chart.describe_slice(99).startswith("Slice 15: plausible")


def test_the_arrow_keys_walk_between_the_marked_slices(chart, chosen, qtbot):
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert chosen == [12, 14]
    qtbot.keyClick(chart, Qt.Key.Key_Left)
    assert chosen == [12, 14, 12]
    chart.show_slice(13)
    qtbot.keyClick(chart, Qt.Key.Key_Right)
    assert chosen[-1] == 14


def test_a_click_chooses_the_nearest_slice(chart, chosen, qtbot):
    view = chart.plot.getPlotItem().getViewBox()

    class Click:
        def button(self):
            return Qt.MouseButton.LeftButton

        def scenePos(self):  # noqa: N802
            return view.mapViewToScene(QPointF(12.8, 100.0))

    chart._on_click(Click())
    assert chosen == [13]
    assert chart._here.value() == 13
    assert chart._slice_at(QPointF(-50.0, -50.0)) is None


def test_slabs_say_which_slices_they_span(chart):
    ranges = np.stack([np.arange(10, 16) - 4, np.arange(10, 16) + 4], axis=1)
    chart.show_profile(make_profile(ranges=ranges, unit="mL"), CLASSES)
    assert chart.describe_slice(12).startswith("Slices 8 to 16: too small")
    assert "parts" in chart.summary.text()


def test_a_scan_of_one_slab_still_shows_a_line(chart):
    one = {"slices": np.array([5]), "ranges": np.array([[0, 10]]), "unit": "mL"}
    sizes = {name: np.array([[3.0], [1.0]]) for name in ("regressed", "lower", "upper")}
    chart.show_profile(make_profile(**one, **sizes, predicted=np.array([[9.0], [1.0]])), CLASSES)
    np.testing.assert_allclose(chart._predicted.getData()[0], [-0.5, 10.5])
    assert chart.violating_slices() == [5]
    assert "predicted 9.00 mL" in chart.describe_slice(5)


def rest_at(chart, index):
    """Let the pointer rest above a slice of the plot."""
    chart.plot.grab()  # pyqtgraph places things when it draws
    view, viewport = chart.plot.getPlotItem().getViewBox(), chart.plot.viewport()
    place = chart.plot.mapFromScene(view.mapViewToScene(QPointF(index, 10.0)))
    event = QHelpEvent(QEvent.Type.ToolTip, place, viewport.mapToGlobal(place))
    QApplication.sendEvent(viewport, event)


def test_tooltips_tell_the_slice_and_the_keys(chart):
    assert "Left and right keys" in chart.toolTip()
    rest_at(chart, 12)
    assert QToolTip.text().startswith("Slice 12: too small")
    assert QToolTip.text().endswith("Left and right keys go from mark to mark.")
    chart.structure.setCurrentIndex(1)
    rest_at(chart, 12)
    assert "keys" not in QToolTip.text(), "there is no mark"


def test_without_a_slice_on_show_there_is_no_mark_and_the_keys_begin_at_the_ends(
    chart, chosen, qtbot
):
    chart.show_slice(13)
    assert chart._here.isVisible()
    chart.show_slice(None)
    assert not chart._here.isVisible()
    qtbot.keyClick(chart, Qt.Key.Key_Left)
    assert chosen == [14]


def test_marks_get_smaller_where_there_are_many(chart):
    few = chart._violations.points()[0].size()
    slices = np.arange(100)
    sizes = np.full((2, 100), 50.0)
    band = {"regressed": sizes, "lower": 0.9 * sizes, "upper": 1.1 * sizes}
    ranges = np.stack([slices, slices], axis=1)
    many = make_profile(slices=slices, ranges=ranges, predicted=2 * sizes, **band)
    chart.show_profile(many, CLASSES)
    assert chart._violations.points()[0].size() < few


def test_a_long_name_does_not_make_it_wider(chart):
    chart.show_profile(make_profile(), parse_classes(f"1={'left ' * 20},2=muscle"))
    assert chart.minimumSizeHint().width() <= 330


def test_axes_without_sizes_are_not_drawn(chart):
    item = chart.plot.getPlotItem()
    assert item.getAxis("left").isVisible()
    chart.show_profile(None, ())
    assert not item.getAxis("left").isVisible()


def test_it_takes_on_the_colours_of_a_theme(chart):
    chart.set_colours("#ffffff", "#123456")
    assert chart.plot.getPlotItem().getAxis("left").textPen().color().name() == "#123456"
    assert chart.plot.backgroundBrush().color().name() == "#ffffff"
