import math

import pytest
import torch
from torch import nn

from napari_semiseg.engine.parts.prototypes import (
    cosine_similarity_map,
    masked_average,
)
from napari_semiseg.engine.parts.uncertainty import (
    dropout_active,
    entropy,
    has_dropout,
    input_noise,
    mean_of_passes,
    normalised_entropy,
)


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_entropy_lies_between_zero_and_the_logarithm_of_the_classes(classes):
    probabilities = torch.softmax(torch.randn(2, classes, 6, 6) * 5, dim=1)
    nats = entropy(probabilities)
    assert nats.min() >= 0
    assert nats.max() <= math.log(classes)
    uniform = torch.full((1, classes, 2, 2), 1 / classes)
    torch.testing.assert_close(normalised_entropy(uniform), torch.ones(1, 2, 2), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("batch", "passes"), [(1, 8), (2, 8), (3, 5), (6, 2)])
def test_the_mean_over_passes_counts_every_pass_once(batch, passes):
    seen = []

    def one_pass(crops):
        seen.append(len(crops))
        return crops * 0 + len(seen)

    mean_of_passes(one_pass, torch.ones(batch, 1, 2, 2), passes, noise=0.1)
    assert sum(seen) == batch * passes


def test_the_mean_over_passes_averages():
    values = iter([0.0, 1.0])
    mean = mean_of_passes(lambda crops: crops * 0 + next(values), torch.ones(5, 1, 2), 2, noise=0)
    assert (mean == 0.5).all()


def test_dropout_is_active_inside_the_context_only_and_norms_stay_in_eval():
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.5)).eval()
    with dropout_active(network):
        assert network[1].training
        assert not network[0].training
    assert not network[1].training
    assert has_dropout(network)
    assert not has_dropout(nn.Sequential(nn.Dropout(0.0)))


def test_noise_is_clipped_to_two_deviations():
    noisy = input_noise(torch.zeros(1, 1, 50, 50), 0.1)
    assert 0.19 < noisy.abs().max() <= 0.2
    assert input_noise(noisy, 0.0) is noisy


def test_prototypes_are_the_mean_features_and_lookalikes_have_cosine_one():
    features = torch.zeros(1, 3, 4, 4)
    features[:, 0, :2] = 2.0
    features[:, 1, 2:] = 5.0
    masks = torch.zeros(1, 2, 4, 4)
    masks[:, 0, :2] = 1
    masks[:, 1, 2:] = 1
    prototypes = masked_average(features, masks)[0]
    torch.testing.assert_close(
        prototypes, torch.tensor([[2.0, 0, 0], [0, 5.0, 0]]), atol=1e-4, rtol=0
    )
    similarity = cosine_similarity_map(features, prototypes)
    torch.testing.assert_close(similarity[0, 0, 0], torch.ones(4))
    torch.testing.assert_close(similarity[0, 1, 0], torch.zeros(4))


def test_a_class_that_was_never_seen_is_like_nothing():
    similarity = cosine_similarity_map(
        torch.rand(1, 2, 3, 3), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    )
    assert (similarity[:, 1] == -1).all()
    assert torch.isfinite(similarity).all()
