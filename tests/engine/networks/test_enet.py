"""ENet (specification §2.7)."""

import pytest
import torch

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.networks.catalogue import build_network, count_parameters
from napari_semiseg.engine.networks.specification import NetworkSpecification

# Weights that the authors' code declares and never uses: two 3×3 heads (128 and 16 channels to C)
# and the activations of the two upsampling blocks.
UNUSED = {classes: (128 + 16) * 9 * classes + 2 * classes + 2 for classes in (2, 4)}


def build(**changes):
    defaults = {"dimensions": 2, "filters": 16, "normalisation": "batch", "dropout": 0.1}
    return build_network(NetworkSpecification(name="enet", **(defaults | changes)))


@pytest.mark.parametrize(("classes", "published"), [(4, 463_475), (2, 460_845)])
def test_it_has_the_papers_parameter_count(classes, published):
    assert count_parameters(build(classes=classes)) == published - UNUSED[classes]


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (5, 9)])
@pytest.mark.parametrize(("channels", "classes", "filters"), [(1, 2, 16), (3, 5, 8), (5, 3, 4)])
def test_slices_of_any_size_with_any_channels_and_classes(size, channels, classes, filters):
    network = build(channels=channels, classes=classes, filters=filters, signed_distance_head=True)
    output = network(torch.randn(2, channels, *size))
    assert output.logits.shape == (2, classes, *size)
    assert output.features.shape == (2, filters, *size)
    assert output.signed_distance.shape == (2, classes - 1, *size)
    assert output.bottleneck.shape[:2] == (2, 4 * filters)


def test_padding_does_not_change_what_needs_none():
    network = build().eval()
    image = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        whole, cut = network(image).logits, network(image[..., :30, :29]).logits
    assert cut.shape == (1, 2, 30, 29)
    assert whole.isfinite().all()


@pytest.mark.parametrize("normalisation", ["batch", "instance", "none"])
def test_every_weight_learns(normalisation):
    network = build(normalisation=normalisation)
    network(torch.randn(2, 1, 64, 64)).logits.square().mean().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


def test_without_dropout_there_is_none_and_with_it_dilated_blocks_have_a_tenth():
    assert not [
        layer for layer in build(dropout=0.0).modules() if isinstance(layer, torch.nn.Dropout)
    ]
    shares = {layer.p for layer in build().modules() if isinstance(layer, torch.nn.Dropout)}
    assert sorted(shares) == pytest.approx([0.01, 0.1])


def test_it_runs_in_bfloat16():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = build()(torch.randn(2, 1, 32, 32)).logits
    assert logits.dtype == torch.bfloat16
    assert logits.isfinite().all()


def test_volumes_are_refused_with_what_to_do():
    with pytest.raises(SettingsError, match=r"network\.dimensions"):
        build(dimensions=3, strides=((2, 2, 2),))


def test_more_channels_than_it_can_take_are_refused():
    with pytest.raises(SettingsError, match=r"network\.filters"):
        build(channels=16, filters=4)
