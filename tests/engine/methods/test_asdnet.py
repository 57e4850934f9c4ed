"""The attention-based semi-supervised network, ASDNet (specification §7.13)."""

import pytest
import torch

from napari_semiseg.engine.methods.asdnet import attentive_loss, one_hot, self_training
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.adversarial import MADE, REAL
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

pytestmark = pytest.mark.trains

END = Clock(6000, 1.0)


def gradients(loss, weights):
    return torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)


def weights(network):
    return [weight.detach().clone() for weight in network.parameters()]


def same(before, network):
    return all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def recorded(method, monkeypatch, batch):
    """What the confidence network would have learned from."""
    seen = []
    monkeypatch.setattr(method.adversary, "learn", lambda *arguments: seen.append(arguments) or {})
    method.train_discriminator(batch)
    return seen[0]


def logits_of(real):
    """Logits of a confidence network for crops of one confidence each."""
    real = torch.tensor(real)
    crops = torch.stack([torch.log(1 - real), torch.log(real)], dim=1)
    return crops[:, :, None, None].expand(-1, -1, 4, 4)


def test_no_loss_of_the_segmenter_reaches_the_confidence_network(build, make_batch):
    method = build("asdnet")
    terms, _ = method.losses(make_batch(method.plan), END)
    assert set(terms) == {"supervised", "adversarial", "self-training"}
    torch.stack(list(terms.values())).sum().backward()
    assert all(weight.grad is None for weight in method.adversary.network.parameters())
    assert any(weight.grad is not None for weight in method.student.parameters())


def test_learning_confidence_does_not_change_the_segmenter(build, make_batch):
    method = build("asdnet", preset="paper")
    student, confidence = weights(method.student), weights(method.adversary.network)
    statistics = [buffer.clone() for buffer in method.student.buffers()]
    method.train_discriminator(make_batch(method.plan))
    assert same(student, method.student)
    assert all(weight.grad is None for weight in method.student.parameters())
    for old, new in zip(statistics, method.student.buffers(), strict=True):
        assert torch.equal(old, new)
    assert not same(confidence, method.adversary.network)


def test_deception_is_about_all_crops_and_self_training_about_unlabelled_ones(build, make_batch):
    method = build("asdnet", {"threshold": 0.0})
    batch = make_batch(method.plan, 1, 2)
    batch.images.requires_grad_()
    terms, _ = method.losses(batch, END)
    (gradient,) = gradients(terms["adversarial"], [batch.images])
    assert gradient[:1].abs().sum() > 0
    assert gradient[1:].abs().sum() > 0
    (gradient,) = gradients(terms["self-training"], [batch.images])
    assert (gradient[:1] == 0).all()
    assert gradient[1:].abs().sum() > 0
    (gradient,) = gradients(terms["supervised"], [batch.images])
    assert (gradient[1:] == 0).all()


def test_attention_is_a_parabola_of_the_real_channel_of_each_crop(build):
    method = build("asdnet")
    attention = method.attention(logits_of([0.5, 0.1, 0.9, 0.3]))
    torch.testing.assert_close(attention, torch.tensor([0.5, 2.5, 2.5, 1.0]))


def test_attention_is_one_half_in_the_authors_code_and_can_be_left_out(build):
    judged = logits_of([0.1, 0.9])
    assert build("asdnet", {"attention": "constant"}).attention(judged).tolist() == [0.5, 0.5]
    assert build("asdnet", {"attention": "none"}).attention(judged).tolist() == [1.0, 1.0]


def test_attention_weighs_crops_and_passes_no_gradient(build, make_batch):
    method = build("asdnet")
    batch = make_batch(method.plan)
    logits = method.student(batch.images[:2]).logits
    each = [segmentation_loss(logits[i : i + 1], batch.labels[i : i + 1]) for i in range(2)]
    weighed = attentive_loss(logits, batch.labels, torch.tensor([0.5, 2.0]))
    torch.testing.assert_close(weighed, (0.5 * each[0] + 2.0 * each[1]) / 2)
    assert not method.attention(torch.randn(2, 2, 4, 4, requires_grad=True)).requires_grad


def test_self_training_is_cross_entropy_to_the_own_labels_where_kept():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    kept = torch.rand(2, 4, 4) > 0.5
    largest = torch.log_softmax(logits, dim=1).amax(dim=1)
    loss = self_training(logits, kept)
    torch.testing.assert_close(loss, -largest[kept].mean())
    loss.backward()
    assert (logits.grad.movedim(1, -1)[~kept] == 0).all()
    assert self_training(logits, torch.zeros_like(kept)) == 0


def test_self_training_waits_for_the_confidence_network(build, make_batch):
    method = build("asdnet", {"threshold": 0.0})
    batch = make_batch(method.plan)
    early, _ = method.losses(batch, Clock(400, 0.47, warm_start_share=0.35))
    late, _ = method.losses(batch, Clock(500, 0.49, warm_start_share=0.35))
    assert early["self-training"] == 0
    assert late["self-training"] > 0


@pytest.mark.parametrize(("threshold", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_only_voxels_above_the_threshold_are_kept(build, make_batch, threshold, share):
    method = build("asdnet", {"threshold": threshold})
    batch = make_batch(method.plan)
    terms, scalars = method.losses(batch, END)
    assert scalars["kept share"] == share
    assert (terms["self-training"] > 0) == bool(share)
    selected = method.predict(batch.plain_images, native=True).native["selected"]
    assert (selected == share).all()


def test_the_threshold_can_follow_the_dice_on_labelled_crops(build, make_batch):
    method = build("asdnet", {"threshold_rule": "one_minus_dice", "threshold": 0.1})
    assert method.threshold == 1
    batch = make_batch(method.plan)
    for _ in range(3):
        method.training_step(batch, END)
    assert 0 < method.threshold < 1
    restored = build("asdnet", {"threshold_rule": "one_minus_dice"}, seed=5)
    restored.load_state_dict(method.state_dict())
    assert restored.threshold == method.threshold
    assert build("asdnet", {"threshold": 0.3}).threshold == 0.3


def test_confidence_is_learnt_from_labels_and_from_answers_to_labelled_crops(
    build, make_batch, monkeypatch
):
    method = build("asdnet")
    batch = make_batch(method.plan, 2, 3)
    maps, images, truth = recorded(method, monkeypatch, batch)
    assert torch.equal(maps[:2].argmax(dim=1), batch.labels)
    assert set(maps[:2].unique().tolist()) == {0.0, 1.0}
    with torch.no_grad():
        answers = torch.softmax(method.student(batch.images[:2]).logits, dim=1)
    torch.testing.assert_close(maps[2:], answers)
    assert torch.equal(images, batch.images[:2].repeat(2, 1, 1, 1, 1))
    assert (truth[:2] == REAL).all()
    assert (truth[2:] == MADE).all()
    assert not maps.requires_grad


def test_ignored_voxels_are_neither_real_nor_made(build, make_batch, monkeypatch):
    method = build("asdnet")
    batch = make_batch(method.plan)
    batch.labels[:, :4] = 255
    maps, _, truth = recorded(method, monkeypatch, batch)
    assert (truth[:, :4] == 255).all()
    assert (truth[:, 4:] != 255).all()
    torch.testing.assert_close(maps[:2, :, :4], maps[2:, :, :4])
    assert torch.isfinite(method.losses(batch, END)[0]["supervised"])


def test_one_hot_maps_have_one_class_a_voxel():
    labels = torch.tensor([[[0, 2], [1, 255]]])
    made = torch.full((1, 3, 2, 2), 1 / 3)
    maps = one_hot(labels, made)
    torch.testing.assert_close(maps.sum(dim=1), torch.ones(1, 2, 2))
    assert maps[0, :, 0, 1].tolist() == [0, 0, 1]
    torch.testing.assert_close(maps[0, :, 1, 1], made[0, :, 1, 1])


@pytest.mark.parametrize("with_image", [False, True])
@pytest.mark.parametrize("attention", ["confidence", "constant", "none"])
@pytest.mark.parametrize("rule", ["fixed", "one_minus_dice"])
def test_every_variant_trains(build, make_batch, with_image, attention, rule):
    settings = {"with_image": with_image, "attention": attention, "threshold_rule": rule}
    method = build("asdnet", settings, preset="paper", channels=2)
    before = weights(method.adversary.network)
    report = method.training_step(make_batch(method.plan, 1, 1), END)
    assert "skipped" not in report
    assert 0 <= report["kept share"] <= 1
    assert 0 <= report["discriminator accuracy"] <= 1
    assert not same(before, method.adversary.network)


def test_the_maps_show_confidence_and_what_is_trusted(build, make_batch):
    method = build("asdnet")
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    assert set(maps.native) == {native.key for native in method.native_maps}
    confidence, selected = maps.native["confidence"], maps.native["selected"]
    assert confidence.shape == selected.shape == (4, 1, *method.plan.spatial)
    assert 0 <= confidence.min() <= confidence.max() <= 1
    assert torch.equal(selected, (confidence > 0.5).float())
    assert method.predict(image).native == {}
