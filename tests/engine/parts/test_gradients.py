import math

import pytest
import torch

from napari_semiseg.engine.parts.gradients import dot_and_cosine


def test_all_weights_count_as_one_vector():
    first, second = torch.randn(2, 17)
    split = [first[:5], first[5:].reshape(3, 4)], [second[:5], second[5:].reshape(3, 4)]
    product, cosine = dot_and_cosine(*split)
    assert product == pytest.approx((first @ second).item(), rel=1e-4)
    assert cosine == pytest.approx(torch.cosine_similarity(first, second, dim=0).item(), rel=1e-4)


@pytest.mark.parametrize(("scale", "expected"), [(2.0, 1.0), (-3.0, -1.0), (0.0, 0.0)])
def test_the_cosine_knows_direction_but_not_length(scale, expected):
    gradient = [torch.tensor([3.0, 4.0]), torch.tensor([[12.0]])]
    product, cosine = dot_and_cosine(gradient, [scale * entry for entry in gradient])
    assert product == pytest.approx(scale * 13**2)
    assert cosine == pytest.approx(expected)


def test_a_gradient_that_is_not_finite_shows():
    assert math.isnan(dot_and_cosine([torch.tensor([math.nan])], [torch.ones(1)])[0])
