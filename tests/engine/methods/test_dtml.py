"""Dual-task mutual learning (specification §6.2, §9)."""

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import dice_loss
from napari_semiseg.engine.parts.signed_distance import mask_probability

pytestmark = pytest.mark.trains

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def build_dtml(build, settings=None, **plan):
    """A method whose distance network straddles its zero level, where alone gradients pass."""
    method = build("dtml", settings, **plan)
    head = method.partner.heads.distance
    torch.nn.init.normal_(head.weight, std=1e-4)
    torch.nn.init.zeros_(head.bias)
    return method


def gradients(loss, network):
    weights = list(network.parameters())
    return torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)


def flat(found):
    return torch.cat([gradient.flatten() for gradient in found if gradient is not None])


def consistency_gradients(build, make_batch, peers):
    method = build_dtml(build, {"peers": peers, "consistency_weight": 1.0})
    terms, _ = method.losses(make_batch(method.plan), END)
    loss = terms["consistency"]
    return flat(gradients(loss, method.student)), flat(gradients(loss, method.partner))


def test_detached_peers_give_each_network_the_gradient_once_and_undetached_ones_twice(
    build, make_batch
):
    method = build_dtml(build)
    images = make_batch(method.plan).images
    segmentation = torch.softmax(method.student(images).logits, dim=1)[:, 1:]
    masks = mask_probability(method.partner(images).signed_distance)
    loss = F.mse_loss(segmentation, masks)
    single = flat(gradients(loss, method.student)), flat(gradients(loss, method.partner))
    detached = consistency_gradients(build, make_batch, "detached")
    undetached = consistency_gradients(build, make_batch, "undetached")
    for once, mine, twice in zip(single, detached, undetached, strict=True):
        assert once.abs().sum() > 0
        assert torch.linalg.vector_norm(mine - once) < 1e-3 * torch.linalg.vector_norm(once)
        assert torch.linalg.vector_norm(twice - 2 * once) < 1e-3 * torch.linalg.vector_norm(once)


def test_each_task_teaches_its_own_network_alone(build, make_batch):
    method = build_dtml(build, {"regression": "both"})
    terms, _ = method.losses(make_batch(method.plan), END)
    assert set(terms) == {"supervised", "mask", "distance", "consistency"}
    assert all(gradient is None for gradient in gradients(terms["supervised"], method.partner))
    for name in ("mask", "distance"):
        assert all(gradient is None for gradient in gradients(terms[name], method.student))
        assert flat(gradients(terms[name], method.partner)).abs().sum() > 0


def test_one_step_changes_both_networks_and_both_averages(build, make_batch):
    method = build_dtml(build)
    before = {
        name: [weight.detach().clone() for weight in network.parameters()]
        for name, network in method.networks().items()
    }
    assert set(before) == {"student", "averaged", "partner", "averaged partner"}
    report = method.training_step(make_batch(method.plan), END)
    assert "skipped" not in report
    for name, network in method.networks().items():
        after = list(network.parameters())
        assert any(
            not torch.equal(old, new) for old, new in zip(before[name], after, strict=True)
        ), name
    assert method.averaged.updates == method.averaged_partners["partner"].updates == 1
    assert all(weight.grad is None for weight in method.partner.heads.segmentation.parameters())


@pytest.mark.parametrize(
    ("regression", "names"),
    [("mask", {"mask"}), ("distance", {"distance"}), ("both", {"mask", "distance"})],
)
def test_the_distance_network_learns_from_its_mask_its_distances_or_both(
    build, make_batch, regression, names
):
    method = build_dtml(build, {"regression": regression})
    terms = method.supervised_losses(make_batch(method.plan))
    assert set(terms) == {"supervised"} | names


def test_a_distance_that_is_negative_inside_gives_the_mask(build, make_batch):
    """The papers print the other sign; with it the mask loss of a perfect distance would be 1."""
    method = build_dtml(build)
    batch = make_batch(method.plan)
    inside = torch.stack([batch.labels == 1, batch.labels == 2], dim=1)
    distance = torch.where(inside, -0.5, 0.5)
    logits = torch.zeros(len(batch.labels), 3, *method.plan.spatial)
    terms = method.labelled_losses(batch, logits, distance, None)
    assert terms["mask"].item() == pytest.approx(0, abs=1e-4)
    assert method.labelled_losses(batch, logits, -distance, None)["mask"].item() > 0.9


def test_the_mask_loss_is_the_mean_dice_over_the_foreground_classes(build, make_batch):
    method = build_dtml(build)
    batch = make_batch(method.plan)
    distance = 1e-3 * torch.randn(len(batch.labels), 2, *method.plan.spatial)
    masks = mask_probability(distance)
    each = [
        dice_loss(torch.stack([1 - masks[:, index], masks[:, index]], dim=1), truth)
        for index, truth in enumerate(((batch.labels == 1).long(), (batch.labels == 2).long()))
    ]
    logits = torch.zeros(len(batch.labels), 3, *method.plan.spatial)
    loss = method.labelled_losses(batch, logits, distance, None)["mask"]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_the_weight_rises_to_what_the_authors_code_amounts_to(build, make_batch):
    method = build_dtml(build)
    batch = make_batch(method.plan)
    assert method.losses(batch, START)[1]["weight"] == pytest.approx(2 * 0.0067, rel=0.01)
    assert method.losses(batch, END)[1]["weight"] == pytest.approx(2.0)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_maps_show_both_answers_and_where_they_differ(build, make_batch, classes):
    alone = build_dtml(build, classes=classes)
    together = build_dtml(build, {"answer": "mean"}, classes=classes)
    image = make_batch(alone.plan).plain_images
    one, both = alone.predict(image), together.predict(image)
    masks = mask_probability(one.signed_distance)
    assert one.signed_distance.shape == (4, classes - 1, *alone.plan.spatial)
    assert one.disagreement.shape == (4, *alone.plan.spatial)
    assert 0 <= one.disagreement.min() <= one.disagreement.max() <= 1
    torch.testing.assert_close(both.probabilities.sum(dim=1), torch.ones_like(one.disagreement))
    torch.testing.assert_close(both.disagreement, one.disagreement)
    half = 0.5 * (both.probabilities - one.probabilities).abs().sum(dim=1)
    torch.testing.assert_close(half, one.disagreement / 2)
    if classes == 2:
        difference = (one.probabilities[:, 1:] - masks).abs()[:, 0]
        torch.testing.assert_close(one.disagreement, difference)


def test_the_native_maps_are_both_predictions_and_the_distance_itself(build, make_batch):
    method = build_dtml(build, {"answer": "mean", "steepness": 300.0})
    maps = method.predict(make_batch(method.plan).plain_images, uncertainty=False, native=True)
    segmentation, masks = maps.native["segmentation_prediction"], maps.native["distance_masks"]
    torch.testing.assert_close((segmentation + masks) / 2, maps.probabilities)
    distance = maps.native["own_distance"]
    assert torch.equal(distance, maps.signed_distance)
    # Where the masks do not overlap they stand in the prediction as they are.
    expected = mask_probability(distance, 300.0)
    apart = expected.sum(dim=1, keepdim=True) <= 1
    torch.testing.assert_close(masks[:, 1:] * apart, expected * apart)


def test_a_mask_that_is_learnt_needs_no_distances(build, make_batch, monkeypatch):
    method = build_dtml(build)
    monkeypatch.setattr("napari_semiseg.engine.methods.bodies.two_tasks.begin_target", None)
    method.training_step(make_batch(method.plan), END)


def test_distances_have_a_unit_only_where_they_are_regressed_and_clipped(build):
    clipped = {"normalisation": "clip", "reach": 7.0}
    assert build("dtml").signed_distance_reach is None
    assert build("dtml", clipped).signed_distance_reach is None
    assert build("dtml", clipped | {"regression": "both"}).signed_distance_reach == 7.0
    assert build("dtml", {"regression": "distance"}).signed_distance_reach is None


def test_the_papers_networks_answer_without_averages(build):
    method = build("dtml", preset="paper")
    assert method.answering is method.student
    assert method.answering_partner is method.partner
    assert set(method.networks()) == {"student", "partner"}


def test_a_gradient_that_is_not_finite_is_reported_and_changes_neither_network(build, make_batch):
    method = build_dtml(build)
    before = [weight.detach().clone() for weight in method.partner.parameters()]
    batch = make_batch(method.plan)
    batch.images[0] = float("nan")
    assert method.training_step(batch, END)["skipped"] == 1
    for old, new in zip(before, method.partner.parameters(), strict=True):
        assert torch.equal(old, new)
