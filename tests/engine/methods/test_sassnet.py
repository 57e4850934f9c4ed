"""Shape-aware segmentation, SASSNet (specification §7.4, §9)."""

import math

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.bodies.distance_head import begin_target
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.adversarial import MADE, REAL
from napari_semiseg.engine.parts.segmentation_loss import dice_loss, segmentation_loss
from napari_semiseg.engine.parts.signed_distance import (
    SignedDistanceOptions,
    mask_probability,
    signed_distance_target,
)

pytestmark = pytest.mark.trains

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def gradients(loss, weights):
    return torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)


def test_deception_reaches_the_distance_head_and_no_other_head(build, make_batch):
    method = build("sassnet")
    terms, _ = method.losses(make_batch(method.plan), END)
    heads = method.student.heads
    pair = [heads.segmentation.weight, heads.distance.weight]
    segmentation, distance = gradients(terms["adversarial"], pair)
    assert segmentation is None
    assert distance.abs().sum() > 0
    segmentation, distance = gradients(terms["supervised"], pair)
    assert segmentation.abs().sum() > 0
    assert distance is None
    segmentation, distance = gradients(terms["distance"], pair)
    assert segmentation is None
    assert distance.abs().sum() > 0
    discriminator = list(method.adversary.network.parameters())
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert all(weight.grad is None for weight in discriminator)


def test_deception_is_about_unlabelled_crops_only(build, make_batch):
    method = build("sassnet")
    batch = make_batch(method.plan, 1, 3)
    batch.images.requires_grad_()
    terms, _ = method.losses(batch, END)
    (gradient,) = gradients(terms["adversarial"], [batch.images])
    assert (gradient[:1] == 0).all()
    assert gradient[1:].abs().sum() > 0


@pytest.mark.parametrize("classes", [2, 4])
def test_the_supervised_losses_are_those_of_the_authors_code(build, make_batch, classes):
    method = build("sassnet", classes=classes)
    batch = make_batch(method.plan)
    output = method.student(batch.images[:2])
    target = signed_distance_target(batch.labels, classes, batch.spacing, SignedDistanceOptions())
    terms, _ = method.losses(batch, END)
    expected = dice_loss(torch.softmax(output.logits, dim=1), batch.labels)
    torch.testing.assert_close(terms["supervised"], expected, rtol=1e-4, atol=1e-5)
    regression = 0.3 * F.mse_loss(output.signed_distance, target)
    torch.testing.assert_close(terms["distance"], regression, rtol=1e-4, atol=1e-5)
    both = build("sassnet", {"supervised": "dice+cross-entropy"}, classes=classes)
    torch.testing.assert_close(
        both.supervised_losses(batch)["supervised"], segmentation_loss(output.logits, batch.labels)
    )


def test_ignored_voxels_have_no_distance_to_learn(build, make_batch):
    method = build("sassnet")
    batch = make_batch(method.plan)
    batch.labels[:, :4] = 255
    target = method.begin_target(batch)
    distance = torch.zeros(2, 2, *method.plan.spatial, requires_grad=True)
    logits = torch.zeros(2, 3, *method.plan.spatial)
    method.labelled_losses(batch, logits, distance, target)["distance"].backward()
    assert (distance.grad[:, :, :4] == 0).all()
    assert (distance.grad[:, :, 4:] != 0).any()


def test_the_discriminator_learns_from_the_distances_of_all_crops(build, make_batch, monkeypatch):
    method = build("sassnet", preset="paper")
    seen = []
    monkeypatch.setattr(method.adversary, "learn", lambda *arguments: seen.append(arguments) or {})
    batch = make_batch(method.plan, 1, 2)
    method.training_step(batch, END)
    ((maps, images, truth),) = seen
    method.student.eval()
    with torch.no_grad():
        torch.testing.assert_close(maps, method.student(batch.images).signed_distance)
    assert images is batch.images
    assert truth.tolist() == [REAL, MADE, MADE]
    assert not maps.requires_grad


def test_its_discriminator_has_one_map_channel_for_each_foreground_class(build):
    for classes in (2, 4):
        method = build("sassnet", classes=classes, channels=2)
        assert method.adversary.network.map_entry.in_channels == classes - 1
        assert method.adversary.network.image_entry.in_channels == 2


def test_the_weight_rises_to_the_authors(build, make_batch):
    method = build("sassnet")
    batch = make_batch(method.plan)
    assert method.losses(batch, START)[1]["weight"] == pytest.approx(0.01 * math.exp(-5))
    assert method.losses(batch, END)[1]["weight"] == pytest.approx(0.01)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_maps_show_the_shape_and_where_it_differs_from_the_answer(build, make_batch, classes):
    method = build("sassnet", classes=classes)
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    masks = mask_probability(maps.signed_distance)
    assert set(maps.native) == {native.key for native in method.native_maps}
    assert torch.equal(maps.native["own_distance"], maps.signed_distance)
    assert maps.native["distance_masks"].shape == maps.probabilities.shape
    assert maps.signed_distance.shape == (4, classes - 1, *method.plan.spatial)
    assert maps.disagreement.shape == (4, *method.plan.spatial)
    assert 0 <= maps.disagreement.min() <= maps.disagreement.max() <= 1
    if classes == 2:
        torch.testing.assert_close(maps.native["distance_masks"][:, 1:], masks)
        difference = maps.probabilities[:, 1:] - masks
        torch.testing.assert_close(maps.disagreement, difference.abs()[:, 0])
    quick = method.predict(image, uncertainty=False)
    assert quick.disagreement is None
    assert quick.native == {}


def test_distances_have_a_unit_only_where_they_are_clipped(build):
    assert build("sassnet").signed_distance_reach is None
    clipped = build("sassnet", {"normalisation": "clip", "reach": 7.0})
    assert clipped.signed_distance_reach == 7.0


def test_a_crop_without_foreground_is_far_from_every_border(build, make_batch):
    """The published code takes distance 0, the border itself, for crops without a structure."""
    method = build("sassnet")
    batch = make_batch(method.plan)
    batch.labels[:] = 0
    assert (begin_target(batch, 3, method.settings).result() == 1).all()
    assert all(torch.isfinite(term) for term in method.losses(batch, END)[0].values())


@pytest.mark.parametrize("normalisation", ["per_side_max", "clip", "none"])
@pytest.mark.parametrize("boundary", ["inner", "half_voxel"])
def test_every_kind_of_distance_trains(build, make_batch, normalisation, boundary):
    method = build("sassnet", {"normalisation": normalisation, "boundary": boundary})
    assert "skipped" not in method.training_step(make_batch(method.plan, 1, 1), END)
