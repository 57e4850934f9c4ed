"""A budget is used up by steps or by minutes, and says how much is left."""

import pytest

from napari_semiseg.engine.training.budget import Budget
from napari_semiseg.engine.training.settings import DEFAULT_MINUTES, TrainingSettings

pytestmark = pytest.mark.trains


def test_a_budget_of_steps_ignores_the_clock():
    budget = Budget.of(TrainingSettings(steps=10))
    assert [budget.share(step, 1e9) for step in (0, 5, 10, 11)] == [0, 0.5, 1, 1]


def test_a_budget_of_minutes_ignores_the_steps():
    budget = Budget.of(TrainingSettings(minutes=2))
    assert [budget.share(10**9, seconds) for seconds in (0, 60, 120, 500)] == [0, 0.5, 1, 1]


def test_without_a_budget_there_are_three_minutes():
    assert Budget.of(TrainingSettings()).seconds == 60 * DEFAULT_MINUTES == 180


def test_the_rest_of_a_budget_of_minutes_is_known_at_once():
    budget = Budget(None, 60.0)
    assert budget.remaining(0, 0) == 60
    assert budget.remaining(100, 61) == 0


def test_the_rest_of_a_budget_of_steps_is_estimated_from_the_pace():
    budget = Budget(100, None)
    assert budget.remaining(2, 1.0) is None
    assert budget.remaining(25, 5.0) == pytest.approx(15)
    assert budget.remaining(100, 20.0) == 0
