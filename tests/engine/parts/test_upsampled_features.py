import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from napari_semiseg.engine.parts.prototypes import masked_average
from napari_semiseg.engine.parts.upsampled_features import (
    cosine_of_upsampled,
    gather,
    interpolation_matrix,
    masked_average_of_upsampled,
    squared_norm_of_upsampled,
    upsample,
)

SIZES = [
    ((3, 4, 2), (12, 8, 8)),
    ((4, 3, 3), (4, 12, 9)),  # thick slices are not pooled
    ((1, 2, 3), (8, 8, 9)),
    ((3, 3, 3), (3, 3, 3)),
    ((3, 4), (12, 8)),
    ((2, 2), (7, 5)),
]


def naive(maps, size):
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return F.interpolate(maps, size=size, mode=mode, align_corners=False)


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_cosines_and_their_gradients_are_those_of_interpolated_features(small, large):
    features, prototypes = random(2, 7, *small), random(2, 3, 7, seed=1)
    spread = naive(features, large).unsqueeze(1)
    vectors = prototypes.reshape(2, 3, 7, *(1,) * len(large))
    expected = F.cosine_similarity(spread, vectors, dim=2, eps=1e-8)
    cosines = cosine_of_upsampled(features, prototypes, large)
    torch.testing.assert_close(cosines, expected, atol=1e-5, rtol=0)
    weights = random(*expected.shape, seed=2).detach()
    wanted = torch.autograd.grad((expected * weights).sum(), (features, prototypes))
    found = torch.autograd.grad((cosines * weights).sum(), (features, prototypes))
    for mine, theirs in zip(found, wanted, strict=True):
        assert (mine - theirs).abs().max() < 1e-5 * theirs.abs().max()


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_masked_averages_and_their_gradients_are_those_of_interpolated_features(small, large):
    features = random(2, 7, *small)
    masks = (random(2, 3, *large, seed=1) > 0).float()
    masks[1, 2] = 0
    expected = masked_average(naive(features, large), masks)
    average = masked_average_of_upsampled(features, masks)
    torch.testing.assert_close(average, expected, atol=1e-5, rtol=0)
    assert (average[1, 2] == 0).all()
    weights = random(*expected.shape, seed=2).detach()
    (wanted,) = torch.autograd.grad((expected * weights).sum(), features)
    (found,) = torch.autograd.grad((average * weights).sum(), features)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("small", "large"), SIZES)
def test_interpolation_and_its_adjoint_are_torchs(small, large):
    maps, masks = random(2, 3, *small), random(2, 3, *large, seed=1)
    spread = naive(maps, large)
    torch.testing.assert_close(upsample(maps, large), spread, atol=1e-5, rtol=0)
    (adjoint,) = torch.autograd.grad(spread, maps, masks)
    torch.testing.assert_close(gather(masks, small), adjoint, atol=1e-5, rtol=1e-5)
    norm = squared_norm_of_upsampled(maps, large)
    expected = spread.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(norm, expected, atol=1e-5, rtol=1e-5)


def test_a_row_of_the_interpolation_matrix_has_two_neighbours_that_sum_to_one():
    matrix = interpolation_matrix(5, 20, torch.device("cpu"))
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(20))
    for row in matrix:
        places = row.nonzero().flatten().tolist()
        assert len(places) <= 2
        assert places[-1] - places[0] <= 1


def test_features_of_zeros_give_a_cosine_of_zero_and_finite_gradients():
    features = torch.zeros(1, 4, 2, 2, requires_grad=True)
    cosines = cosine_of_upsampled(features, torch.ones(1, 2, 4), (6, 6))
    cosines.sum().backward()
    assert (cosines == 0).all()
    assert torch.isfinite(features.grad).all()


class LargestTensor(TorchDispatchMode):
    """Notes the size of the largest tensor that any operation makes, backward passes included."""

    elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_no_tensor_is_larger_than_one_full_map_a_class():
    """256 channels of 96³ voxels would need 0.9 GiB; nothing of that size ever exists."""
    features, classes, size = random(1, 128, 3, 3, 3), 3, (24, 24, 24)
    masks = torch.ones(1, classes, *size)
    with LargestTensor() as largest:
        prototypes = masked_average_of_upsampled(features, masks)
        cosine_of_upsampled(features, prototypes, size).square().sum().backward()
    assert largest.elements <= classes * math.prod(size)
    with LargestTensor() as largest:
        naive(features, size)
    assert largest.elements == 128 * math.prod(size)
