import pytest
import torch

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.parts.feature_perturbation import channels_dropped

NAMES = ["unet", "paper-unet", "vnet", "monai:SegResNet"]


def network_of(name, dimensions=3):
    torch.manual_seed(0)
    specification = NetworkSpecification(
        name=name,
        dimensions=dimensions,
        classes=3,
        filters=8,
        strides=((2,) * dimensions,) * 2,
        normalisation="instance",
    )
    return build_network(specification).eval()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_only_the_chosen_crops_are_perturbed_and_only_inside(name, dimensions):
    network = network_of(name, dimensions)
    images = torch.randn(4, 1, *(16,) * dimensions)
    with torch.no_grad():
        plain = network(images).logits
        with channels_dropped(network, 0.5, slice(2, None)):
            perturbed = network(images).logits
        after = network(images).logits
    torch.testing.assert_close(perturbed[:2], plain[:2])
    for crop in (2, 3):
        assert not torch.allclose(perturbed[crop], plain[crop], atol=1e-4)
    assert torch.equal(after, plain)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_dropped_with_a_probability_of_nothing(name):
    network = network_of(name)
    images = torch.randn(2, 1, 16, 16, 16)
    with torch.no_grad(), channels_dropped(network, 0.0):
        inside = network(images).logits
    torch.testing.assert_close(inside, network(images).logits)


@pytest.mark.parametrize("name", ["unet", "vnet"])
def test_whole_channels_of_every_level_are_dropped_or_doubled(name):
    network = network_of(name)
    levels = []
    with torch.no_grad(), channels_dropped(network, 0.5):
        hook = network.encoder_features.register_forward_hook(
            lambda _, inputs, features: levels.append((inputs[0], features))
        )
        network(torch.randn(3, 1, 16, 16, 16))
        hook.remove()
    assert len(levels) == 3
    for before, after in levels:
        dropped = (after == 0).flatten(2).all(dim=2)
        doubled = torch.isclose(after, 2 * before).flatten(2).all(dim=2)
        assert (dropped | doubled).all()
        assert dropped.any()
        assert doubled.any()


def test_deeper_levels_are_made_of_whole_features():
    """What is dropped of one level must not reach the next."""
    network = network_of("unet")
    image = torch.randn(1, 1, 16, 16, 16)
    with torch.no_grad():
        plain = network(image).bottleneck
        with channels_dropped(network, 0.9):
            perturbed = network(image).bottleneck
    torch.testing.assert_close(perturbed, plain)


def test_gradients_flow_through_what_is_left():
    network = network_of("vnet").train()
    with channels_dropped(network, 0.5):
        network(torch.randn(2, 1, 16, 16, 16)).logits.square().mean().backward()
    assert network.encoder[0][0].weight.grad.abs().sum() > 0
