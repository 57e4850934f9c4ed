"""Folded networks say what they said before."""

import pytest
import torch
from torch import nn

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.folding import fold_batch_normalisation
from napari_semiseg.engine.networks.specification import NetworkSpecification


def with_statistics(network):
    """Give every batch normalisation statistics and weights that are not those of the start."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            for values, low, high in (
                (layer.running_mean, -0.5, 0.5),
                (layer.running_var, 0.3, 3.0),
                (layer.weight.data, 0.5, 2.0),
                (layer.bias.data, -0.5, 0.5),
            ):
                values.uniform_(low, high, generator=generator)
    return network.eval()


def batch_normalisations(network):
    return sum(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in network.modules())


@pytest.mark.parametrize("name", ["vnet", "unet", "enet"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_folded_network_answers_the_same(name, dimensions):
    if name == "enet" and dimensions == 3:
        pytest.skip("the ENet is 2D only")
    torch.manual_seed(0)
    network = with_statistics(
        build_network(
            NetworkSpecification(
                name=name,
                dimensions=dimensions,
                filters=4,
                classes=3,
                normalisation="batch",
                strides=((2,) * dimensions,) * 2,
                signed_distance_head=name == "vnet",
            )
        )
    )
    image = torch.randn(2, 1, *(16,) * dimensions)
    before = batch_normalisations(network)
    with torch.no_grad():
        expected = network(image)
        folded = fold_batch_normalisation(network)
        found = network(image)
    assert folded > 0
    assert batch_normalisations(network) == before - folded
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.features, expected.features, rtol=1e-4, atol=1e-4)
    if name != "enet":
        assert batch_normalisations(network) == 0
    assert fold_batch_normalisation(network) == 0


def test_the_fast_memory_layout_stays():
    network = with_statistics(nn.Sequential(nn.Conv3d(4, 8, 3), nn.BatchNorm3d(8)))
    network = network.to(memory_format=torch.channels_last_3d)
    fold_batch_normalisation(network)
    assert network[0].weight.is_contiguous(memory_format=torch.channels_last_3d)


def test_normalisations_by_instance_stay():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.InstanceNorm2d(2, affine=True))
    assert fold_batch_normalisation(network) == 0


def test_a_convolution_that_is_used_twice_stays():
    shared = nn.Conv2d(2, 2, 1)
    network = with_statistics(nn.Sequential(shared, nn.BatchNorm2d(2), shared, nn.BatchNorm2d(2)))
    image = torch.randn(1, 2, 5, 5)
    with torch.no_grad():
        expected = network(image)
        fold_batch_normalisation(network)
        torch.testing.assert_close(network(image), expected)
