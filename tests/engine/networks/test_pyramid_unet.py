"""The U-Net with an answer at every scale (specification §2.4)."""

import pytest
import torch

from napari_semiseg.engine.networks.catalogue import build_network, count_parameters
from napari_semiseg.engine.networks.specification import NetworkSpecification


def build(name="paper-pyramid-unet", **changes):
    torch.manual_seed(0)
    defaults = {"name": name, "filters": 4, "strides": ((2, 2, 2),) * 2, "dropout": 0.5}
    return build_network(NetworkSpecification(**(defaults | changes)))


def test_it_has_the_papers_parameter_count():
    network = build(filters=16, strides=((2, 2, 2),) * 4)
    assert count_parameters(network) == 5_884_504


def test_its_dropout_grows_with_the_scale_as_in_the_paper():
    network = build(strides=((2, 2, 2),) * 4)
    assert [layer.p for layer in network.level_dropout] == pytest.approx([0.1, 0.2, 0.3, 0.5])
    without = build(dropout=0.0)
    assert not any(isinstance(layer, torch.nn.Dropout3d) for layer in without.modules())


@pytest.mark.parametrize("name", ["pyramid-unet", "paper-pyramid-unet"])
@pytest.mark.parametrize("normalisation", ["instance", "batch", "none"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_answer_has_the_size_of_the_image(name, normalisation, dimensions):
    network = build(
        name,
        dimensions=dimensions,
        channels=2,
        classes=3,
        normalisation=normalisation,
        strides=((2,) * dimensions,) * 3,
    )
    output = network(torch.randn(2, 2, *(16,) * dimensions))
    assert len(output.branches) == 3
    assert all(z.shape == (2, 3, *(16,) * dimensions) for z in output.branches)
    assert output.branches[0] is output.logits
    assert output.features.shape[2:] == output.logits.shape[2:]


@pytest.mark.parametrize(("levels", "scales"), [(1, 1), (2, 2), (4, 4), (5, 4)])
def test_it_answers_at_four_scales_or_at_as_many_as_there_are_levels(levels, scales):
    network = build(strides=((2, 2),) * levels, dimensions=2).eval()
    output = network(torch.randn(1, 1, 64, 64))
    assert network.scales == len(output.branches) == scales


def test_coarse_answers_are_given_at_their_own_resolution():
    network = build(strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)))
    sizes = []
    for head in network.coarse_heads:
        head.register_forward_hook(lambda _, __, logits: sizes.append(tuple(logits.shape[2:])))
    output = network(torch.randn(1, 1, 8, 16, 16))
    assert sizes == [(8, 8, 8), (4, 4, 4)]
    assert all(logits.shape[2:] == (8, 16, 16) for logits in output.branches)


def test_asked_for_one_answer_it_gives_the_finest():
    network = build().eval()
    image = torch.randn(1, 1, 16, 16, 16)
    alone, every = network(image, branches=1), network(image)
    assert len(alone.branches) == 1
    assert torch.equal(alone.logits, every.logits)


def test_each_head_teaches_the_decoder_down_to_its_own_level():
    network = build("pyramid-unet", dropout=0.0, strides=((2, 2, 2),) * 3)
    output = network(torch.randn(1, 1, 16, 16, 16))
    for scale, logits in enumerate(output.branches):
        network.zero_grad()
        logits.square().mean().backward(retain_graph=True)
        reached = [block[0].weight.grad is not None for block in network.decoder]
        assert reached == [level >= scale for level in range(3)]
        assert network.encoder[0][0].weight.grad is not None
