"""Statistics over stochastic passes and what is made of them (specification §7.6)."""

import math

import pytest
import torch

from napari_semiseg.engine.networks.heads import NetworkOutput
from napari_semiseg.engine.parts.feature_uncertainty import (
    RepeatedPasses,
    repeat_passes,
    trusted_squared_difference,
)


class Recorder:
    """A network of random answers that remembers what it said."""

    def __init__(self, shape=(2, 3, 4, 5), offset=0.0):
        self.shape, self.offset = shape, offset
        self.outputs, self.images = [], []

    def __call__(self, images):
        logits = torch.randn(len(images), 2, *self.shape[2:])
        features = self.offset + torch.randn(self.shape)
        self.outputs.append(NetworkOutput(logits, features, features))
        self.images.append(images)
        return self.outputs[-1]


@pytest.mark.parametrize("passes", [2, 5])
def test_running_moments_are_those_of_all_passes_together(passes):
    torch.manual_seed(0)
    network = Recorder()
    found = repeat_passes(network, torch.zeros(2, 1, 4, 5), passes, noise=0.0)
    features = torch.stack([output.features for output in network.outputs])
    answers = torch.stack([torch.softmax(output.logits, dim=1) for output in network.outputs])
    assert len(network.outputs) == passes
    torch.testing.assert_close(found.probabilities, answers.mean(dim=0))
    torch.testing.assert_close(found.features, features.mean(dim=0))
    torch.testing.assert_close(found.variance, features.var(dim=0, correction=0))


def test_a_small_variance_of_large_features_is_not_lost():
    torch.manual_seed(0)
    network = Recorder(offset=1000.0)
    found = repeat_passes(network, torch.zeros(2, 1, 4, 5), 8, noise=0.0)
    features = torch.stack([output.features for output in network.outputs])
    expected = features.double().var(dim=0, correction=0)
    torch.testing.assert_close(found.variance.double(), expected, rtol=1e-3, atol=1e-3)


def test_every_pass_gets_noise_of_its_own():
    network = Recorder()
    image = torch.zeros(2, 1, 4, 5)
    repeat_passes(network, image, 3, noise=0.1)
    first, second, third = network.images
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    assert first.abs().max() <= 0.2


def passes_of(features, variance):
    return RepeatedPasses(torch.full((len(features), 2, 2, 2), 0.5), features, variance)


def test_the_variance_is_scaled_from_0_to_1_over_each_crop():
    variance = torch.tensor([[[[0.0, 1.0], [2.0, 4.0]]], [[[10.0, 20.0], [30.0, 20.0]]]])
    found = passes_of(torch.zeros(2, 1, 2, 2), variance).scaled_variance()
    expected = torch.tensor([[[0.0, 0.25], [0.5, 1.0]], [[0.0, 0.5], [1.0, 0.5]]])
    torch.testing.assert_close(found, expected)


def test_features_that_never_change_are_certain():
    found = passes_of(torch.ones(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    assert (found.scaled_variance() == 0).all()
    assert (found.random_share() == 0).all()
    silent = passes_of(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    assert (silent.random_share() == 0).all()


def test_the_random_share_is_variance_over_energy_and_knows_no_unit():
    features, variance = torch.rand(1, 3, 2, 2), torch.rand(1, 3, 2, 2)
    share = passes_of(features, variance).random_share()
    torch.testing.assert_close(share, variance.sum(1) / (variance + features.square()).sum(1))
    scaled = passes_of(7 * features, 49 * variance).random_share()
    torch.testing.assert_close(scaled, share)
    assert 0 <= share.min() <= share.max() <= 1


def test_uncertain_voxels_count_by_the_exponential_of_minus_their_uncertainty():
    student = torch.rand(1, 2, 3, 3, requires_grad=True)
    target = torch.rand(1, 2, 3, 3, requires_grad=True)
    plain = (student - target).square().mean()
    torch.testing.assert_close(
        trusted_squared_difference(student, target, torch.zeros(1, 3, 3)), plain
    )
    unsure = trusted_squared_difference(student, target, torch.ones(1, 3, 3))
    torch.testing.assert_close(unsure, plain * math.exp(-1))
    unsure.backward()
    assert student.grad.abs().sum() > 0
    assert target.grad is None
