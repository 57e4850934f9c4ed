"""The deep adversarial network (specification §7.9, §9)."""

import math

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.networks.catalogue import count_parameters
from napari_semiseg.engine.parts.adversarial import MADE, REAL, real_probability
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

START, END = Clock(0, 0.0), Clock(6000, 1.0)
WARMING = Clock(100, 0.1, warm_start_share=0.35)


def weights(network):
    return [weight.detach().clone() for weight in network.parameters()]


def same(before, network):
    return all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_the_segmenters_step_does_not_change_the_discriminator(build, make_batch, monkeypatch):
    method = build("dan")
    monkeypatch.setattr(method, "train_discriminator", lambda batch: {})
    student, discriminator = weights(method.student), weights(method.adversary.network)
    method.training_step(make_batch(method.plan), END)
    assert not same(student, method.student)
    assert same(discriminator, method.adversary.network)
    assert all(weight.grad is None for weight in method.adversary.network.parameters())


def test_the_discriminators_step_does_not_change_the_segmenter(build, make_batch):
    method = build("dan", preset="paper")
    batch = make_batch(method.plan)
    student, discriminator = weights(method.student), weights(method.adversary.network)
    statistics = [buffer.clone() for buffer in method.student.buffers()]
    method.train_discriminator(batch)
    assert same(student, method.student)
    assert all(weight.grad is None for weight in method.student.parameters())
    for old, new in zip(statistics, method.student.buffers(), strict=True):
        assert torch.equal(old, new)
    assert not same(discriminator, method.adversary.network)


def test_the_adversarial_term_has_gradients_of_unlabelled_crops_only(build, make_batch):
    method = build("dan")
    batch = make_batch(method.plan, 2, 3)
    batch.images.requires_grad_()
    terms, scalars = method.losses(batch, END)
    (gradient,) = torch.autograd.grad(terms["adversarial"], batch.images, retain_graph=True)
    assert (gradient[:2] == 0).all()
    assert gradient[2:].abs().sum() > 0
    (gradient,) = torch.autograd.grad(terms["supervised"], batch.images)
    assert (gradient[2:] == 0).all()
    assert terms["adversarial"].item() == pytest.approx(0.1 * scalars["adversarial loss"])


def test_the_losses_are_those_of_the_paper(build, make_batch):
    method = build("dan", {"adversarial_weight": 0.5})
    batch = make_batch(method.plan)
    logits = method.student(batch.images).logits
    answers = torch.softmax(logits[2:], dim=1)
    real = real_probability(method.adversary.judge(answers, batch.images[2:]))
    terms, _ = method.losses(batch, END)
    torch.testing.assert_close(terms["adversarial"], -0.5 * torch.log(real).mean())
    torch.testing.assert_close(terms["supervised"], segmentation_loss(logits[:2], batch.labels))


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 1), (2, 2), (1, 3), (3, 1)])
def test_labelled_crops_are_the_real_ones_however_many(
    build, make_batch, monkeypatch, labelled, unlabelled
):
    method = build("dan")
    seen = []
    monkeypatch.setattr(
        method.adversary, "learn", lambda maps, images, truth: seen.append((maps, truth)) or {}
    )
    method.training_step(make_batch(method.plan, labelled, unlabelled), END)
    ((maps, truth),) = seen
    assert truth.tolist() == [REAL] * labelled + [MADE] * unlabelled
    assert len(maps) == labelled + unlabelled
    assert not maps.requires_grad


def test_the_discriminator_sees_the_segmenter_after_its_step_and_without_dropout(
    build, make_batch, monkeypatch
):
    method = build("dan", preset="paper")
    seen = []
    monkeypatch.setattr(
        method.adversary, "learn", lambda maps, images, truth: seen.append(maps) or {}
    )
    batch = make_batch(method.plan)
    method.training_step(batch, END)
    method.student.eval()
    with torch.no_grad():
        expected = torch.softmax(method.student(batch.images).logits, dim=1)
    torch.testing.assert_close(seen[0], expected)


def test_the_weight_rises_to_the_papers(build, make_batch):
    method = build("dan")
    batch = make_batch(method.plan)
    assert method.losses(batch, START)[1]["weight"] == pytest.approx(0.1 * math.exp(-5))
    assert method.losses(batch, END)[1]["weight"] == pytest.approx(0.1)
    halved = build("dan", {"ramp_share": 0.5})
    assert halved.losses(batch, Clock(3000, 0.5))[1]["weight"] == pytest.approx(0.1)


def test_a_warm_start_leaves_the_discriminator_alone(build, make_batch):
    method = build("dan")
    before = weights(method.adversary.network)
    report = method.training_step(make_batch(method.plan, 2, 0), WARMING)
    assert same(before, method.adversary.network)
    assert "discriminator accuracy" not in report


def test_a_step_reports_how_the_game_stands(build, make_batch):
    method = build("dan", {"discriminator_rate": 3e-4})
    report = method.training_step(make_batch(method.plan), END)
    assert 0 <= report["discriminator accuracy"] <= 1
    assert {"adversarial loss", "discriminator loss", "weight"} <= set(report)
    assert method.adversary.optimiser.param_groups[0]["lr"] == 3e-4


def test_the_papers_segmenter_has_the_papers_discriminator(build):
    """In a width in proportion to narrower segmenters."""
    narrow = build("dan", classes=2)
    assert narrow.adversary.network.map_entry.out_channels == 16
    network = narrow.plan.network.model_copy(update={"filters": 16})
    narrow.plan = narrow.plan.model_copy(update={"network": network})
    assert count_parameters(narrow.build_discriminator()) == 11_024_386
    wide = network.model_copy(update={"filters": 32})
    narrow.plan = narrow.plan.model_copy(update={"network": wide})
    assert count_parameters(narrow.build_discriminator()) == 11_024_386


def test_a_checkpoint_continues_the_game(build, make_batch):
    method = build("dan")
    batch = make_batch(method.plan)
    for _ in range(2):
        method.training_step(batch, END)
    other = build("dan", seed=7)
    other.load_state_dict(method.state_dict())
    torch.manual_seed(0)
    first = method.training_step(batch, END)["discriminator loss"]
    torch.manual_seed(0)
    assert other.training_step(batch, END)["discriminator loss"] == pytest.approx(first, rel=1e-3)
    assert same(weights(method.adversary.network), method.adversary.network)


def test_its_discriminator_answers_for_crops_and_makes_no_map(build, make_batch):
    method = build("dan")
    maps = method.predict(make_batch(method.plan).plain_images, native=True)
    assert method.native_maps == ()
    assert maps.native == {}
    assert maps.disagreement is None
