"""The size regressor (specification §2.8)."""

import pytest
import torch

from napari_semiseg.engine.networks.catalogue import count_parameters
from napari_semiseg.engine.networks.size_regressor import (
    REGRESSOR_SIZES,
    RegressorSize,
    SizeRegressor,
)


@pytest.mark.trains
@pytest.mark.parametrize(("outputs", "expected"), [(4, 42_130_628), (1, 42_124_481)])
def test_resnext_101_has_the_papers_parameter_count(outputs, expected):
    with torch.device("meta"):
        network = SizeRegressor(2, 1, outputs, REGRESSOR_SIZES["resnext-101"])
    assert count_parameters(network) == expected


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("extent", [8, 19, 32])
@pytest.mark.parametrize(("channels", "outputs"), [(1, 1), (4, 3)])
def test_crops_of_every_size_give_one_number_a_structure(dimensions, extent, channels, outputs):
    network = SizeRegressor(dimensions, channels, outputs, REGRESSOR_SIZES["small"])
    answer = network(torch.randn(2, channels, *(extent,) * dimensions))
    assert answer.shape == (2, outputs)


def test_any_depths_and_widths_can_be_built():
    size = RegressorSize((2, 1), (8, 24), cardinality=2, group_width=16, dropout=0.0)
    network = SizeRegressor(2, 1, 2, size)
    assert network(torch.randn(3, 1, 24, 40)).shape == (3, 2)
    assert not [layer for layer in network.modules() if isinstance(layer, torch.nn.Dropout)]
    assert [size.width(planes) for planes in size.planes] == [4, 12]


def test_every_residual_branch_of_the_papers_regressor_has_dropout():
    with torch.device("meta"):
        network = SizeRegressor(2, 1, 1, REGRESSOR_SIZES["resnext-101"])
    drops = [layer.p for layer in network.modules() if isinstance(layer, torch.nn.Dropout)]
    assert drops == [0.5] * (3 + 4 + 23 + 3)


def test_the_small_one_learns_from_one_crop_at_a_time():
    """Group normalisation does not take a size for nothing when it is alone in its batch."""
    network = SizeRegressor(3, 1, 1, REGRESSOR_SIZES["small"])
    network(torch.randn(1, 1, 16, 16, 16)).sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


def test_it_counts_in_float32_under_bfloat16():
    network = SizeRegressor(3, 1, 2, REGRESSOR_SIZES["small"]).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        exact = network(image)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            fast = network(image)
    assert fast.dtype == torch.float32
    assert torch.equal(exact, fast)
