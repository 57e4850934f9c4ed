"""The way down and up that the trunks share."""

import pytest
import torch

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification

NAMES = ("unet", "paper-unet", "vnet")


def build(name, dropout=0.0):
    torch.manual_seed(0)
    return build_network(
        NetworkSpecification(name=name, filters=4, strides=((2, 2, 2), (1, 2, 2)), dropout=dropout)
    ).eval()


@pytest.mark.parametrize("name", NAMES)
def test_every_level_but_the_deepest_is_a_skip(name):
    encoded = build(name).encode(torch.randn(2, 1, 8, 16, 16))
    assert [skip.shape for skip in encoded.skips] == [(2, 4, 8, 16, 16), (2, 8, 4, 8, 8)]
    assert encoded.deepest.shape == (2, 16, 4, 4, 4)
    assert torch.equal(encoded.deepest, encoded.bottleneck)


@pytest.mark.parametrize("name", NAMES)
def test_down_and_up_again_is_the_forward_pass(name):
    network = build(name)
    image = torch.randn(1, 1, 8, 16, 16)
    skips, deepest, bottleneck = network.encode(image)
    features = network.decode(network, skips, deepest)
    output = network(image)
    assert torch.equal(features, output.features)
    assert torch.equal(bottleneck, output.bottleneck)
    assert torch.equal(network.heads(features)[0], output.logits)


@pytest.mark.parametrize("name", NAMES)
def test_what_perturbs_the_encoders_features_leaves_the_encoder_alone(name):
    network = build(name)
    image = torch.randn(1, 1, 8, 16, 16)
    plain = network.encode(image)
    network.encoder_features.register_forward_hook(lambda _, inputs, output: 0 * output)
    perturbed = network.encode(image)
    assert not any(skip.any() for skip in (*perturbed.skips, perturbed.deepest))
    assert torch.equal(perturbed.bottleneck, plain.bottleneck)


def test_the_unet_concatenates_and_the_vnet_adds():
    skip, upsampled = torch.randn(2, 1, 3, 4, 4, 4)
    assert torch.equal(build("unet").join(skip, upsampled), torch.cat([skip, upsampled], dim=1))
    assert torch.equal(build("vnet").join(skip, upsampled), skip + upsampled)
