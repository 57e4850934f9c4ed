"""What dtc, dtml, sassnet and ug-mcl share: how signed distances are made from labels."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_semiseg.engine.methods.bodies.distance_head import (
    SignedDistanceSettings,
    begin_target,
    maps_of_whole_cases,
)
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.mean_teacher import MeanTeacherSettings
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    signed_distance_target,
)
from tests.engine.methods.conftest import make_plan

END = Clock(6000, 1.0)
KEYS = ("dtc", "dtml", "sassnet", "ug-mcl")
REGRESSED = {key: {"regression": "distance"} if key == "dtml" else {} for key in KEYS}
OPTIONS = [
    {"normalisation": normalisation, "boundary": boundary, "unit": unit}
    for normalisation, boundary, unit in itertools.product(
        ("per_side_max", "clip", "none"), ("inner", "half_voxel"), ("voxel", "mm")
    )
]


@pytest.mark.parametrize("key", KEYS)
def test_every_method_has_the_same_options_with_the_papers_values(key):
    settings = method_of(key).Settings()
    assert isinstance(settings, SignedDistanceSettings)
    assert settings.domain == "crop"
    assert settings.distance_options == SignedDistanceOptions("per_side_max", "inner")
    assert settings.distance_options.in_voxels


@pytest.mark.parametrize("key", KEYS)
def test_settings_of_older_checkpoints_still_mean_the_same(key):
    old = {"steepness": 900.0, "normalisation": "clip", "reach": 7.0}
    settings = settings_of(method_of(key), old)
    assert settings.steepness == 900
    assert settings.distance_options == SignedDistanceOptions("clip", "inner", 7.0)
    assert settings.distance_options.millimetres == 7.0


@pytest.mark.trains
@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("options", OPTIONS, ids=lambda values: "-".join(values.values()))
def test_each_option_trains_towards_its_own_target(build, make_batch, key, options):
    method = build(key, options | REGRESSED[key], dimensions=2)
    batch = make_batch(method.plan)
    target = begin_target(batch, method.plan.classes, method.settings).result()
    expected = signed_distance_target(
        batch.labels, method.plan.classes, batch.spacing, SignedDistanceOptions(**options)
    )
    assert torch.equal(target, expected)
    assert method.training_step(batch, END)["distance"] > 0


@pytest.mark.parametrize("key", KEYS)
def test_distances_of_whole_cases_are_taken_as_they_were_delivered(build, make_batch, key):
    method = build(key, {"domain": "volume"} | REGRESSED[key])
    batch = make_batch(method.plan)
    delivered = torch.zeros(2, method.plan.classes - 1, *method.plan.spatial)
    values = []
    for level in (0.0, 0.5):
        torch.manual_seed(0)
        method.student.eval()
        terms = method.supervised_losses(replace(batch, signed_distance=delivered + level))
        values.append(terms["distance"].item())
    assert values[0] != pytest.approx(values[1])
    with pytest.raises(AssertionError, match="sampler was not asked"):
        method.supervised_losses(batch)


@pytest.mark.parametrize("key", KEYS)
def test_ignored_voxels_do_not_reach_the_distance_loss(build, make_batch, key):
    """What the network says there may be anything."""
    method = build(key, REGRESSED[key])
    batch = make_batch(method.plan)
    batch.labels[:, :6] = 255
    target = method.begin_target(batch)
    logits = torch.zeros(2, 3, *method.plan.spatial)
    distance = torch.zeros(2, 2, *method.plan.spatial)
    plain = method.labelled_losses(batch, logits, distance, target)["distance"]
    distance[:, :, :6] = 0.9
    changed = method.labelled_losses(batch, logits, distance, target)["distance"]
    assert plain > 0
    assert torch.equal(plain, changed)


def test_only_settings_that_ask_for_them_get_maps_of_whole_cases():
    plan = make_plan()
    assert maps_of_whole_cases(MeanTeacherSettings(), plan) is None
    assert maps_of_whole_cases(SignedDistanceSettings(), plan) is None
    assert maps_of_whole_cases(SignedDistanceSettings(domain="volume"), plan) is not None


def test_other_options_are_other_maps():
    keys = {
        maps_of_whole_cases(SignedDistanceSettings(domain="volume", **options), plan).key
        for options in [{}, {"reach": 5.0}, *OPTIONS[1:]]
        for plan in (make_plan(), make_plan(dimensions=2))
    }
    assert len(keys) == 2 * (2 + len(OPTIONS) - 1)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_maps_of_whole_cases_go_through_the_case_or_through_each_slice(dimensions):
    label = np.zeros((5, 8, 8), np.uint8)
    label[1:4, 2:6, 2:6] = 1
    label[2, 0] = 255
    settings = SignedDistanceSettings(domain="volume", normalisation="clip", reach=20.0)
    maps = maps_of_whole_cases(settings, make_plan(dimensions, classes=3))
    found = maps.make(label, (3.0, 1.0, 1.0))
    assert found.shape == (2, 5, 8, 8)
    assert (found[1] == 1).all()  # the class that is not there
    assert found[0, 2, 3, 3] == pytest.approx(-2 / 20)  # to the nearest voxel outside, in the slice
    above = 1.0 if dimensions == 2 else 3.0 / 20
    assert found[0, 0, 3, 3] == pytest.approx(above)
