import pytest
import torch

from napari_semiseg.engine.networks.confidence import ConfidenceNetwork


@pytest.mark.parametrize("shape", [(16, 16), (1, 9), (16, 16, 16), (7, 9, 21), (1, 12, 12)])
@pytest.mark.parametrize(("classes", "image_channels"), [(2, 0), (4, 3)])
def test_every_voxel_of_crops_of_any_size_is_judged(shape, classes, image_channels):
    network = ConfidenceNetwork(len(shape), classes, image_channels, filters=4)
    maps = torch.rand(2, classes, *shape, requires_grad=True)
    scores = network(maps, torch.randn(2, max(1, image_channels), *shape))
    assert scores.shape == (2, 2, *shape)
    scores[:, 1].sum().backward()
    assert (maps.grad != 0).any()


def test_its_features_are_those_of_the_published_network():
    network = ConfidenceNetwork(3, 2)
    assert [layer.out_channels for layer in (network.entry, *network.down)] == [32, 64, 128, 256]


def test_the_image_counts_only_where_it_was_asked_for():
    maps, images = torch.rand(1, 2, 8, 8), torch.randn(1, 1, 8, 8)
    blind, seeing = ConfidenceNetwork(2, 2, filters=4), ConfidenceNetwork(2, 2, 1, filters=4)
    assert torch.equal(blind(maps, images), blind(maps, images + 1))
    assert not torch.allclose(seeing(maps, images), seeing(maps, images + 1))


def test_every_weight_takes_part():
    """The published code leaves its deepest features unused."""
    network = ConfidenceNetwork(2, 3, filters=4)
    network(torch.rand(2, 3, 16, 16), torch.empty(2, 0, 16, 16)).square().sum().backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.parameters())


def test_the_confidence_network_stays_in_float32_under_bfloat16():
    network = ConfidenceNetwork(3, 2, 1, filters=4)
    maps, images = torch.rand(1, 2, 8, 8, 8), torch.randn(1, 1, 8, 8, 8)
    expected = network(maps, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(maps, images)
    assert torch.equal(scores, expected)
