"""One encoder with three decoders (MC-Net+)."""

import pytest
import torch
from torch import nn

from napari_semiseg.engine.networks.catalogue import build_network, count_parameters
from napari_semiseg.engine.networks.specification import NetworkSpecification

NAMES = ["multi-decoder-unet", "multi-decoder-vnet"]


def build(name, **changes):
    torch.manual_seed(0)
    defaults = {
        "name": name,
        "filters": 4,
        "strides": ((2, 2, 2),) * 2,
        "normalisation": "batch" if name.endswith("vnet") else "instance",
    }
    return build_network(NetworkSpecification(**(defaults | changes)))


def test_encoder_and_first_decoder_are_the_papers_vnet():
    network = build("multi-decoder-vnet", filters=16, strides=((2, 2, 2),) * 4, dropout=0.5)
    assert count_parameters(network.trunk) == 9_448_866


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("normalisation", ["instance", "batch", "none"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_three_decoders_answer_in_2d_and_3d(name, normalisation, dimensions):
    network = build(
        name,
        dimensions=dimensions,
        channels=2,
        classes=3,
        normalisation=normalisation,
        dropout=0.2,
        strides=((1,) * (dimensions - 1) + (2,), (2,) * dimensions),
    )
    output = network(torch.randn(2, 2, *(16,) * dimensions))
    assert [z.shape for z in output.branches] == [(2, 3, *(16,) * dimensions)] * 3
    assert output.branches[0] is output.logits


@pytest.mark.parametrize("name", NAMES)
def test_the_first_answer_is_that_of_the_trunk_alone(name):
    network = build(name).eval()
    image = torch.randn(1, 1, 16, 16, 16)
    output = network(image)
    assert torch.equal(network(image, branches=1).logits, output.logits)
    assert len(network(image, branches=1).branches) == 1
    assert torch.equal(network.trunk(image).logits, output.logits)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not torch.allclose(output.branches[one], output.branches[other], atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_decoders_differ_in_their_upsampling_alone(name):
    network = build(name)
    assert any(isinstance(layer, nn.ConvTranspose3d) for layer in network.trunk.up.modules())
    for decoder, mode in zip(network.others, ("trilinear", "nearest"), strict=True):
        layers = list(decoder.up.modules())
        assert not any(isinstance(layer, nn.ConvTranspose3d) for layer in layers)
        assert {layer.mode for layer in layers if isinstance(layer, nn.Upsample)} == {mode}
        assert str(decoder.decoder) == str(network.trunk.decoder)


@pytest.mark.parametrize("name", NAMES)
def test_each_answer_teaches_the_encoder_and_its_own_decoder(name):
    network = build(name)
    output = network(torch.randn(1, 1, 16, 16, 16))
    decoders = [network.trunk.decoder, network.others[0].decoder, network.others[1].decoder]
    for index, logits in enumerate(output.branches):
        network.zero_grad()
        logits.square().mean().backward(retain_graph=True)
        reached = [decoder[0][0].weight.grad is not None for decoder in decoders]
        assert reached == [index == other for other in range(3)]
        assert network.trunk.encoder[0][0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", NAMES)
def test_no_decoder_starts_with_the_weights_of_another(name):
    network = build(name)
    decoders = [network.trunk.decoder, network.others[0].decoder, network.others[1].decoder]
    first, second, third = (decoder[0][0].weight for decoder in decoders)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)
    assert not torch.equal(second, third)
