from __future__ import annotations

import math

import numpy as np
import pytest

from napari_semiseg.engine.study import parse_classes
from napari_semiseg.gui.train.curve import LearningCurve
from napari_semiseg.gui.train.training import TrainingProgress


@pytest.fixture
def curve(qtbot):
    made = LearningCurve()
    qtbot.addWidget(made)
    made.name_classes(parse_classes("1=head,2=tail & co"))
    return made


def progress(**scalars):
    steps = {name: list(enumerate(values, start=1)) for name, values in scalars.items()}
    longest = max((len(values) for values in scalars.values()), default=0)
    return TrainingProgress(step=longest, scalars=steps, unlabelled_terms=("consistency",))


def shown(curve):
    return {name for name, trace in curve._traces.items() if trace.item.isVisible()}


def test_main_losses_show_and_others_wait_in_the_menu(curve):
    curve.show_progress(progress(loss=[1.0], supervised=[1.0], consistency=[0.1], threshold=[0.5]))
    assert shown(curve) == {"loss", "supervised", "consistency"}
    texts = [action.text() for action in curve.menu.actions()]
    assert "threshold" in texts
    assert "agreement on unlabelled" in texts
    assert "threshold" not in curve.legend.text()


def test_a_line_is_chosen_for_this_run_and_the_next(curve):
    curve.show_progress(progress(loss=[1.0], threshold=[0.5]))
    curve._actions["threshold"].trigger()
    curve._actions["loss"].trigger()
    assert shown(curve) == {"threshold"}
    assert "threshold" in curve.legend.text()
    curve.show_progress(progress(loss=[2.0], threshold=[0.4]))
    assert shown(curve) == {"threshold"}
    curve.show_loss("never seen", True)


def test_losses_are_smoothed_and_gaps_left_out(curve):
    values = [1.0, math.nan, 0.0]
    curve.show_progress(progress(loss=values))
    steps, smoothed = curve._traces["loss"].item.getData()
    assert list(steps) == [1, 3]
    assert 0 < smoothed[1] < 1


def test_only_new_steps_are_added(curve):
    run = progress(loss=[1.0, 1.0])
    curve.show_progress(run)
    run.scalars["loss"].append((3, 1.0))
    curve.show_progress(run)
    assert list(curve._traces["loss"].item.getData()[0]) == [1, 2, 3]


def test_the_losses_axis_can_be_logarithmic(curve):
    curve.show_progress(progress(loss=[0.01, 0.01]))
    curve.logarithmic.trigger()
    assert np.allclose(curve._traces["loss"].item.getData()[1], -2)
    curve.logarithmic.trigger()
    assert np.allclose(curve._traces["loss"].item.getData()[1], 0.01)


def test_dice_of_each_class_has_its_name_and_colour(curve):
    run = progress(loss=[1.0])
    run.validation = [(1, 0.8)]
    run.class_dice = {1: [(1, 0.9)], 2: [(1, 0.7)]}
    curve.show_progress(run)
    assert set(curve._dice) == {0, 1, 2}
    assert "Dice&nbsp;tail&nbsp;&amp;&nbsp;co" in curve.legend.text()
    assert "0.80" in curve.summary.text()
    curve.dice_action.trigger()
    assert not any(item.isVisible() for item in curve._dice.values())
    assert "Dice" not in curve.legend.text()


def test_the_only_class_has_one_line(curve):
    run = progress(loss=[1.0])
    run.validation, run.class_dice = [(1, 0.8)], {1: [(1, 0.8)]}
    curve.show_progress(run)
    assert set(curve._dice) == {1}


def test_a_new_run_begins_anew(curve):
    first = progress(loss=[1.0, 1.0], size=[1.0])
    first.validation = [(1, 0.8)]
    curve.show_progress(first)
    curve.show_progress(progress(loss=[0.5]))
    assert set(curve._traces) == {"loss"}
    assert curve._dice == {}
    assert "No Dice yet" in curve.summary.text()
    assert [a.text() for a in curve.menu.actions()].count("loss") == 1


def test_it_takes_on_the_colours_of_a_theme(curve):
    curve.set_colours("#ffffff", "#101010")
    assert curve.plot.backgroundBrush().color().name() == "#ffffff"


def test_without_a_run_the_menu_says_why_it_is_off(curve):
    curve.show_progress(TrainingProgress())
    assert not curve.lines.isEnabled()
    assert "no curve yet" in curve.lines.toolTip()
    assert curve.summary.text() == ""
