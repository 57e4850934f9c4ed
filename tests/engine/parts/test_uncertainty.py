import math

import pytest
import torch
from torch import nn

from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.prototypes import (
    cosine_similarity_map,
    masked_average,
)
from napari_semiseg.engine.parts.ramps import certainty_threshold
from napari_semiseg.engine.parts.uncertainty import (
    RepeatedPasses,
    certain_share,
    dropout_active,
    entropy,
    has_dropout,
    input_noise,
    mean_of_passes,
    normalised_entropy,
    repeat_passes,
    teacher_entropy,
    trusted_squared_difference,
)


@pytest.mark.parametrize("classes", [2, 4])
def test_a_voxel_counts_in_the_share_of_training_that_the_map_says(classes):
    uncertainty = torch.linspace(0, math.log(classes), 201)
    share = certain_share(uncertainty, classes)
    for moment in (0.0, 0.1, 0.35, 0.5, 0.75, 0.9, 1.0):
        counted = uncertainty < certainty_threshold(moment, classes)
        clear = (share - (1 - moment)).abs() > 1e-3
        assert torch.equal(counted[clear], (share > 1 - moment)[clear])


def test_what_is_certain_counts_always_and_what_is_a_tie_never():
    share = certain_share(torch.tensor([0.0, 0.7 * math.log(3), math.log(3)]), 3)
    torch.testing.assert_close(share, torch.tensor([1.0, 1.0, 0.0]), atol=1e-3, rtol=0)
    assert (certain_share(torch.linspace(0, 1, 50) * math.log(3), 3).diff() <= 1e-6).all()


class Teacher(nn.Module):
    """Batch normalisation and dropout before the answer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5))

    def forward(self, images):
        answer = self.layers(images)
        return NetworkOutput(answer, answer, answer)


def test_asking_a_teacher_for_its_certainty_changes_nothing_in_it():
    teacher = Teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    images = 5 * torch.randn(1, 2, 6, 6)
    found = teacher_entropy(teacher, images, passes=8, noise=0.1)
    assert found.shape == (1, 6, 6)
    assert 0 <= found.min() <= found.max() <= math.log(2)
    assert found.std() > 0.01  # dropout was on
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(layer.training for layer in teacher.modules())


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
