"""Multi-view co-training (specification §7.12, §9)."""

import pytest
import torch
import torch.nn as nn

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss, soft_segmentation_loss

pytestmark = pytest.mark.trains

END = Clock(6000, 1.0)
QUICK = {"passes": 2}


def gradients(loss, network):
    weights = list(network.parameters())
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def reaches(loss, network):
    return sum(gradient.abs().sum() for gradient in gradients(loss, network)) > 0


def reshaped(build, patch, strides, **extras):
    """A method for another patch and other strides than the fixture's."""
    method = build("umct", QUICK, **extras)
    network = method.plan.network.model_copy(update={"strides": strides})
    plan = method.plan.model_copy(update={"patch": patch, "network": network})
    return type(method)(plan, method.settings, method.fabric)


def test_each_network_learns_from_labels_and_from_the_others(build, make_batch):
    method = build("umct", QUICK)
    terms, _ = method.losses(make_batch(method.plan), END)
    assert set(terms) == {"supervised", "co-training"}
    for network in method.learning:
        assert reaches(terms["supervised"], network)
        assert reaches(terms["co-training"], network)


def test_what_teaches_a_network_is_taken_as_given(build, make_batch):
    method = build("umct", QUICK)
    batch = make_batch(method.plan)
    logits = list(method._answers(method.learning, batch.images[2:]))
    fused = torch.softmax(logits[1].detach(), dim=1)
    loss = method.cotraining(logits[0], fused)
    assert reaches(loss, method.learning[0])
    assert not gradients(loss, method.learning[1])
    assert not gradients(loss, method.learning[2])


def test_the_fused_label_is_soft_or_hard(build):
    logits, fused = torch.randn(2, 3, 4, 4, 4), torch.softmax(torch.randn(2, 3, 4, 4, 4), dim=1)
    soft, hard = build("umct"), build("umct", {"fused_label": "argmax"})
    assert soft.cotraining(logits, fused) == soft_segmentation_loss(logits, fused)
    assert hard.cotraining(logits, fused) == segmentation_loss(logits, fused.argmax(dim=1))


def test_one_step_changes_every_network_and_every_average(build, make_batch):
    method = build("umct", QUICK)
    before = {
        name: [weight.detach().clone() for weight in network.parameters()]
        for name, network in method.networks().items()
    }
    assert set(before) == {
        "student",
        "averaged",
        "coronal",
        "sagittal",
        "averaged coronal",
        "averaged sagittal",
    }
    assert "skipped" not in method.training_step(make_batch(method.plan, 1, 1), END)
    for name, network in method.networks().items():
        after = list(network.parameters())
        assert any(
            not torch.equal(old, new) for old, new in zip(before[name], after, strict=True)
        ), name
    assert [average.updates for average in method.averaged_partners.values()] == [1, 1]


def test_the_first_stage_is_supervised_training_of_every_view(build, make_batch):
    method = build("umct", preset="paper")
    assert method.crops(Clock(0, 0.79)) == (4, 0)
    assert method.crops(Clock(0, 0.8)) == (2, 2)
    report = method.training_step(make_batch(method.plan), Clock(0, 0.5))
    assert "co-training" not in report
    report = method.training_step(make_batch(method.plan), Clock(0, 0.9))
    assert "co-training" in report


def test_a_warm_start_is_the_first_stage(build):
    method = build("umct")
    assert method.crops(Clock(0, 0.34, 0.35)) == (2, 0)
    assert method.crops(Clock(0, 0.36, 0.35)) == (1, 1)


@pytest.mark.parametrize(
    ("patch", "strides"),
    [((8, 16, 24), ((1, 2, 2), (2, 2, 2))), ((4, 16, 8), ((1, 2, 2), (1, 2, 1)))],
)
def test_strides_turn_with_the_patch(build, make_batch, patch, strides):
    """What the plan leaves unpooled, such as thick slices, stays so in every view."""
    method = reshaped(build, patch, strides)
    seen = []
    for network in method.learning:
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2:]))
    batch = make_batch(method.plan, 1, 1)
    assert "skipped" not in method.training_step(batch, END)
    z, y, x = patch
    assert {tuple(shape) for shape in seen} == {(z, y, x), (y, z, x), (x, z, y)}
    assert method.predict(batch.images).probabilities.shape == (2, 3, *patch)


def test_a_2d_network_sees_slices_turned_and_mirrored(build, make_batch):
    method = reshaped(build, (1, 16, 8), ((2, 2), (2, 1)), dimensions=2)
    seen = []
    for network in method.learning:
        network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = make_batch(method.plan).images
    list(method._answers(method.learning, images))
    assert torch.equal(seen[0], images)
    assert torch.equal(seen[1], torch.rot90(images, 1, (2, 3)))
    assert torch.equal(seen[2], images.flip(3))


def test_uncertainty_comes_from_dropout_and_is_finite_without_any(build, make_batch):
    for kind in ("variance", "entropy"):
        method = build("umct", QUICK | {"uncertainty": kind})
        batch = make_batch(method.plan)
        found = method.uncertainties(method.learning, batch.images[2:], 4)
        assert found.shape == (3, 2, *method.plan.spatial)
        assert found.min() >= 0
        assert found.max() <= 1
        assert found.max() > 0
    for network in method.learning:
        for layer in network.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
    report = method.training_step(batch, END)
    assert "skipped" not in report


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_the_mean_of_the_three_views_answers(build, make_batch, preset):
    method = build("umct", preset=preset)
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    assert set(maps.native) == {each.key for each in method.native_maps}
    views = [maps.native[name] for name in ("first_view", "second_view", "third_view")]
    torch.testing.assert_close(maps.probabilities, sum(views) / 3)
    networks = method.answering_networks
    averaged = [network for name, network in method.networks().items() if "averaged" in name]
    assert networks == (averaged if preset == "modern" else method.learning)
    coronal = networks[1](image.transpose(2, 3)).logits.transpose(2, 3)
    torch.testing.assert_close(views[1], torch.softmax(coronal, dim=1))
    for name in ("fused_uncertainty", "agreement"):
        assert maps.native[name].shape == (4, 1, *method.plan.spatial)
    assert maps.native["agreement"].unique().numel() <= 3
    assert 0 < maps.disagreement.max() <= 1
    assert method.uncertainty_source == "axial, coronal and sagittal view"


def test_flat_kernels_stay_within_the_slices(build, make_batch):
    method = build("umct", QUICK | {"kernels": "flat"}, average_decay=None)
    method.student.eval()
    kernels = {
        layer.kernel_size for layer in method.student.modules() if isinstance(layer, nn.Conv3d)
    }
    assert kernels == {(1, 3, 3), (1, 1, 1)}
    assert "skipped" not in method.training_step(make_batch(method.plan, 1, 1), END)
    flat = build("umct", {"kernels": "flat"}, dimensions=2)
    assert any(
        layer.kernel_size == (3, 3)
        for layer in flat.student.modules()
        if isinstance(layer, nn.Conv2d)
    )


def test_a_flat_network_starts_with_answers_as_large_as_a_cubic_one(build):
    torch.manual_seed(0)
    image = torch.randn(1, 1, 16, 16, 16)
    first = [
        build("umct", {"kernels": kernels}).student.encoder[0][0] for kernels in ("cubic", "flat")
    ]
    cubic, flat = (layer(image).std() for layer in first)
    assert flat.item() == pytest.approx(cubic.item(), rel=0.5)


def test_state_keeps_every_network(build, make_batch):
    method, other = build("umct", QUICK), build("umct", QUICK, seed=4)
    method.training_step(make_batch(method.plan), END)
    other.load_state_dict(method.state_dict())
    for mine, theirs in zip(method.networks().values(), other.networks().values(), strict=True):
        for one, two in zip(mine.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(one, two)
    assert [average.updates for average in other.averaged_partners.values()] == [1, 1]
