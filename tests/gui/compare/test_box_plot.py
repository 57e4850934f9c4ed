from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPointF, Qt

from napari_semiseg.gui.compare.box_plot import BoxGroup, BoxPlot, whiskers

SCORES = {"one": 0.8, "two": 0.82, "three": 0.84, "four": 0.89, "outlier": 0.2}


@pytest.fixture
def plot(qtbot):
    made = BoxPlot()
    qtbot.addWidget(made)
    made.resize(320, 200)
    made.show()
    groups = [
        BoxGroup("A", "008 UG-MCL", "#ff3ea5", SCORES),
        BoxGroup("B", "003 Supervised", "#a6d40d", {"one": 0.7, "two": 0.71}),
    ]
    made.show_groups(groups, "Dice", 3)
    qtbot.waitExposed(made)
    return made


def dot(plot, case, group):
    return next(each for each in plot._dots if (each.case, each.group) == (case, group))


def scene_position(plot, place):
    view = plot.plot.getPlotItem().getViewBox()
    return view.mapViewToScene(QPointF(place.x, place.y))


class Click:
    def __init__(self, position, button=Qt.MouseButton.LeftButton):
        self._position, self._button = position, button

    def scenePos(self):  # noqa: N802
        return self._position

    def button(self):
        return self._button


def test_whiskers_leave_outliers_out():
    low, first, middle, third, high = whiskers(list(SCORES.values()))
    assert (low, high) == (0.8, 0.89)
    assert (first, middle, third) == pytest.approx((0.8, 0.82, 0.84))
    assert whiskers([0.5]) == (0.5,) * 5


def test_a_click_on_a_dot_chooses_its_scan(plot, qtbot):
    for case, group in (("outlier", 0), ("two", 1)):
        with qtbot.waitSignal(plot.case_chosen) as chosen:
            plot._on_click(Click(scene_position(plot, dot(plot, case, group))))
        assert chosen.args == [case]


def test_a_click_beside_the_dots_chooses_nothing(plot, qtbot):
    away = scene_position(plot, dot(plot, "outlier", 0)) + QPointF(60, 0)
    with qtbot.assertNotEmitted(plot.case_chosen):
        plot._on_click(Click(away))
        right = Click(scene_position(plot, dot(plot, "one", 0)), Qt.MouseButton.RightButton)
        plot._on_click(right)


def test_a_scan_has_its_place_in_every_box_and_is_ringed_in_each(plot):
    first, second = dot(plot, "one", 0), dot(plot, "one", 1)
    assert first.x == pytest.approx(second.x - 1)
    plot.show_case("one")
    _, y = plot._rings.getData()
    np.testing.assert_allclose(y, [0.8, 0.7])
    plot.show_case(None)
    assert len(plot._rings.getData()[0]) == 0


def test_a_dot_says_what_it_is(plot):
    assert plot.describe_dot("two", 1).splitlines()[:2] == ["two", "B · 003 Supervised: 0.710"]


def test_two_scans_make_dots_and_no_box(plot):
    assert len(plot._boxes.opts["x"]) == 1
    plot.show_groups([], "Dice", 3)
    assert not plot._boxes.isVisible()
    plot.set_colours("#ffffff", "#000000")
