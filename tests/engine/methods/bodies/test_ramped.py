"""Weights that rise over semi-supervised training."""

import math

import pytest

from napari_semiseg.engine.methods.bodies.ramped import RampedConsistencySettings, RampedSettings
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.parts.ramps import gaussian_ramp, stepped_ramp

RAMPED = [
    key
    for key, method in available_methods().items()
    if issubclass(method.Settings, RampedConsistencySettings)
]


def test_a_ramp_begins_after_the_warm_start_and_may_end_before_training_does():
    settings = RampedSettings(ramp_share=0.5)
    shares = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
    positions = [settings.ramp_position(Clock(0, share, 0.2)) for share in shares]
    assert positions == pytest.approx([0, 0, 0.5, 1, 1, 1])


@pytest.mark.parametrize("ramp", [stepped_ramp, gaussian_ramp])
def test_the_weight_rises_along_the_ramp_that_is_asked_for(ramp):
    settings = RampedConsistencySettings(consistency_weight=3.0)
    start, middle, end = (settings.weight(Clock(0, share), ramp) for share in (0.0, 0.51, 1.0))
    assert start == pytest.approx(3 * math.exp(-5))
    assert middle == 3 * ramp(0.51)
    assert end == 3.0


@pytest.mark.parametrize("key", RAMPED)
def test_forms_show_a_weight_before_its_ramp(key):
    names = list(available_methods()[key].Settings.model_fields)
    assert names.index("consistency_weight") + 1 == names.index("ramp_share")
