"""How far training is, and what of it is labelled crops alone."""

import pytest

from napari_semiseg.engine.methods.contract import Clock

OWN_START = ("bcp", "reciprocal", "self-training", "umct")


def test_a_phase_has_a_clock_of_its_own():
    assert Clock(50, 0.125).within(0.0, 0.5) == Clock(50, 0.25)
    assert Clock(200, 0.5).within(0.5, 1.0) == Clock(0, 0.0)
    assert Clock(300, 0.75, warm_start_share=0.1).within(0.5, 1.0) == Clock(100, 0.5)
    assert Clock(0, 0.0).within(0.0, 1.0) == Clock(0, 0.0)


def test_rounding_does_not_carry_a_clock_beyond_the_end_of_its_phase():
    assert Clock(100, 0.3 + 1e-12).within(0.1, 0.3).share == 1.0


@pytest.mark.parametrize("key", OWN_START)
def test_a_warm_start_stands_for_the_methods_own_start(build, key):
    method = build(key)
    assert 0 < method.pretraining_share < 1
    assert method.pretraining_end(Clock(0, 0.0)) == method.pretraining_share
    assert method.pretraining_end(Clock(0, 0.0, 0.35)) == 0.35
    before, after = Clock(1, 0.34, 0.35), Clock(1, 0.35, 0.35)
    assert (method.begun(before), method.begun(after)) == (False, True)
    assert (method.crops(before), method.crops(after)) == ((2, 0), (1, 1))


def test_others_begin_with_unlabelled_crops_where_there_is_no_warm_start(build):
    assert build("mean-teacher", preset="paper").begun(Clock(0, 0.0))


@pytest.mark.parametrize(("preset", "chosen"), [("paper", "old"), ("modern", "new")])
def test_a_setting_may_leave_the_choice_to_the_preset(build, preset, chosen):
    method = build("supervised", preset=preset)
    assert method.by_preset("preset", paper="old", modern="new") == chosen
    assert method.by_preset("third", paper="old", modern="new") == "third"
