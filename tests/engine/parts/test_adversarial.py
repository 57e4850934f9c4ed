import math

import pytest
import torch
from lightning_fabric import Fabric

from napari_semiseg.engine.networks.confidence import ConfidenceNetwork
from napari_semiseg.engine.networks.discriminator import Discriminator
from napari_semiseg.engine.parts.adversarial import (
    MADE,
    REAL,
    Adversary,
    accuracy,
    deception_loss,
    real_probability,
    real_then_made,
)

BETAS = (0.9, 0.99)


@pytest.fixture(params=[Discriminator, ConfidenceNetwork], ids=["crops", "voxels"])
def adversary(request):
    torch.manual_seed(0)
    network = request.param(2, 2, 1, filters=4)
    return Adversary(network, Fabric(accelerator="cpu", devices=1), 1e-3, BETAS)


@pytest.fixture
def maps():
    return torch.rand(3, 2, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def images():
    return torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(2))


def truth_like(logits, real):
    truth = real_then_made(real, len(logits) - real, logits.device)
    return truth.reshape(-1, *(1,) * (logits.dim() - 2)).expand_as(logits[:, 0])


def weights(adversary):
    return [weight.detach().clone() for weight in adversary.network.parameters()]


def test_the_truth_follows_the_numbers_of_crops():
    cpu = torch.device("cpu")
    assert real_then_made(2, 2, cpu).tolist() == [REAL, REAL, MADE, MADE]
    assert real_then_made(1, 3, cpu).tolist() == [REAL, MADE, MADE, MADE]
    assert real_then_made(0, 1, cpu).tolist() == [MADE]


@pytest.mark.parametrize("shape", [(), (4, 5), (3, 4, 5)])
def test_deception_is_the_mean_of_minus_log_real(shape):
    logits = torch.randn(2, 2, *shape)
    expected = -torch.log(torch.softmax(logits, dim=1)[:, 1]).mean()
    torch.testing.assert_close(deception_loss(logits), expected)
    torch.testing.assert_close(real_probability(logits), torch.softmax(logits, dim=1)[:, 1])


def test_an_undecided_discriminator_is_deceived_at_ln_2():
    assert deception_loss(torch.zeros(2, 2, 4, 4)).item() == pytest.approx(math.log(2))


def test_judging_gives_gradients_to_the_maps_and_none_to_the_discriminator(adversary, maps, images):
    maps.requires_grad_()
    before = weights(adversary)
    deception_loss(adversary.judge(maps, images)).backward()
    assert maps.grad.abs().sum() > 0
    after = list(adversary.network.parameters())
    assert all(weight.grad is None and weight.requires_grad for weight in after)
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_learning_gives_gradients_to_the_discriminator_and_none_to_the_maps(
    adversary, maps, images
):
    maps.requires_grad_()
    before = weights(adversary)
    truth = truth_like(adversary.judge(maps, images), real=1)
    adversary.learn(maps, images, truth)
    assert maps.grad is None
    after = list(adversary.network.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))


def test_judging_has_no_chance_in_it_and_learning_has(adversary, maps, images):
    first, second = adversary.judge(maps, images), adversary.judge(maps, images)
    assert torch.equal(first, second)
    assert not adversary.unwrapped.training
    adversary.learn(maps, images, truth_like(first, real=1))
    assert adversary.unwrapped.training


def test_a_discriminator_learns_to_tell_what_can_be_told(adversary, images):
    maps = torch.zeros(3, 2, 16, 16)
    maps[:1, 0], maps[1:, 1] = 1, 1
    truth = truth_like(adversary.judge(maps, images), real=1)
    reports = [adversary.learn(maps, images, truth) for _ in range(100)]
    assert reports[-1]["discriminator loss"] < 0.5 * reports[0]["discriminator loss"]
    assert accuracy(adversary.judge(maps, images), truth) > 0.95


def test_its_first_step_is_adams(adversary, maps, images):
    """Adam's first step has the size of the learning rate wherever there is a gradient."""
    before = weights(adversary)
    adversary.learn(maps, images, truth_like(adversary.judge(maps, images), real=1))
    for old, new in zip(before, adversary.network.parameters(), strict=True):
        assert (new - old).abs().max() <= 1.001e-3
    assert adversary.optimiser.param_groups[0]["betas"] == BETAS


def test_ignored_voxels_count_neither_in_the_loss_nor_in_the_accuracy():
    adversary = Adversary(
        ConfidenceNetwork(2, 2, filters=4), Fabric(accelerator="cpu", devices=1), 1e-3, BETAS
    )
    maps, images = torch.rand(2, 2, 8, 8), torch.randn(2, 1, 8, 8)
    logits = adversary.judge(maps, images)
    truth = torch.full((2, 8, 8), REAL)
    truth[1] = 255
    expected = deception_loss(logits[:1]).item()
    report = adversary.learn(maps, images, truth)
    assert report["discriminator loss"] == pytest.approx(expected, rel=1e-5)
    assert report["discriminator accuracy"] == pytest.approx(
        (real_probability(logits[0:1]) > 0.5).float().mean().item()
    )
    nothing = adversary.learn(maps, images, torch.full_like(truth, 255))
    assert nothing == {"discriminator loss": 0.0, "discriminator accuracy": 0.0}


def test_a_step_with_a_loss_that_is_not_finite_is_left_out(adversary, maps, images):
    truth = truth_like(adversary.judge(maps, images), real=1)
    before = weights(adversary)
    report = adversary.learn(torch.full_like(maps, math.nan), images, truth)
    assert report["skipped"] == 1
    after = adversary.network.parameters()
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
