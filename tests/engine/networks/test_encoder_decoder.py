"""The way down and up that the trunks share."""

import pytest
import torch

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.parts.uncertainty import dropout_active

NAMES = ("unet", "paper-unet", "vnet")
WITH_BRANCHES = ("pyramid-unet", "multi-decoder-vnet")


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
    encoded = network.encode(image)
    features = network.decode(network, encoded.skips, encoded.deepest)
    output = network(image)
    assert torch.equal(features, output.features)
    assert torch.equal(encoded.bottleneck, output.bottleneck)
    assert torch.equal(network.heads(features)[0], output.logits)


@pytest.mark.parametrize("name", [*NAMES, *WITH_BRANCHES])
def test_a_pass_from_the_encoded_image_is_the_whole_pass(name):
    network = build(name, dropout=0.5)
    image = torch.randn(2, 1, 8, 16, 16)
    encoded = network(image).encoded
    with dropout_active(network):
        torch.manual_seed(1)
        whole = network(image)
        torch.manual_seed(1)
        decoded = network(encoded)
        assert not torch.equal(network(encoded).logits, decoded.logits)
    assert torch.equal(decoded.logits, whole.logits)
    assert torch.equal(decoded.bottleneck, whole.bottleneck)
    assert len(decoded.branches) == len(whole.branches)
    assert all(map(torch.equal, decoded.branches, whole.branches))


@pytest.mark.parametrize("name", [*NAMES, *WITH_BRANCHES])
def test_training_does_not_keep_the_encoded_image(name):
    assert build(name).train()(torch.randn(2, 1, 8, 16, 16)).encoded is None


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
