import numpy as np
import pytest
from scipy import stats

from napari_semiseg.engine.evaluation.verdict import compare_with_twin, mean_over_seeds


def scores(values):
    return {f"case {index}": value for index, value in enumerate(values)}


def test_a_method_that_is_better_on_every_case_helped():
    twin = np.linspace(0.7, 0.9, 20)
    difference = compare_with_twin(scores(twin + 0.03), scores(twin))
    assert difference.mean == pytest.approx(0.03)
    assert difference.cases == 20
    assert difference.low == pytest.approx(0.03)
    assert difference.sentence("UG-MCL").startswith("UG-MCL helped: +0.030 Dice, 95 % interval")
    worse = compare_with_twin(scores(twin - 0.03), scores(twin))
    assert "did harm" in worse.sentence("DTC")


def test_chance_makes_no_difference():
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.05, 30)
    noise -= noise.mean() - 0.001
    difference = compare_with_twin(scores(0.8 + noise), scores(np.full(30, 0.8)))
    assert difference.low < 0 < difference.high
    assert "made no difference that 30 cases could show" in difference.sentence("DTC")


def test_the_interval_is_that_of_an_independent_bootstrap():
    random = np.random.default_rng(2)
    method, twin = random.normal(0.82, 0.04, 25), random.normal(0.8, 0.04, 25)
    ours = compare_with_twin(scores(method), scores(twin))
    theirs = stats.bootstrap(
        ((method - twin),), np.mean, method="percentile", n_resamples=10_000, rng=0
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.002)
    assert ours.high == pytest.approx(theirs.high, abs=0.002)


def test_only_cases_of_both_count_and_few_give_no_interval():
    difference = compare_with_twin({"a": 0.9, "b": 0.8, "c": 0.1}, {"a": 0.8, "b": 0.8})
    assert (difference.cases, difference.low) == (2, None)
    assert difference.mean == pytest.approx(0.05)
    assert "too few to tell" in difference.sentence("DTC")
    assert compare_with_twin({"a": 1.0}, {"b": 1.0}) is None


def test_seeds_are_averaged_case_by_case_where_each_has_a_score():
    runs = [{"a": 0.8, "b": None, "c": 0.5}, {"a": 0.9, "b": 0.7, "c": 0.6}]
    assert mean_over_seeds(runs) == pytest.approx({"a": 0.85, "c": 0.55})
    assert mean_over_seeds([]) == {}


def test_another_yardstick_is_named():
    twin = np.linspace(0.7, 0.9, 20)
    better = compare_with_twin(scores(twin + 0.03), scores(twin))
    assert better.sentence("A", "B").startswith("A is better than B: +0.030 Dice")
    worse = compare_with_twin(scores(twin - 0.03), scores(twin))
    assert worse.sentence("A", "B").startswith("A is worse than B: -0.030 Dice")
    few = compare_with_twin(scores([0.5, 0.6]), scores([0.4, 0.5]))
    assert "against B on 2 cases, too few to tell which is better" in few.sentence("A", "B")
    same = compare_with_twin(scores(twin), scores(twin))
    assert "no difference to B that 20 cases could show" in same.sentence("A", "B")
