import pytest
import torch

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.networks.catalogue import build_network, count_parameters
from napari_semiseg.engine.networks.specification import NetworkSpecification

FOUR_LEVELS = ((2, 2, 2),) * 4


def specification(name, **changes):
    defaults = {
        "name": name,
        "filters": 16,
        "strides": FOUR_LEVELS,
        "normalisation": "batch" if name == "vnet" else "instance",
        "dropout": 0.5,
    }
    return NetworkSpecification(**(defaults | changes))


@pytest.mark.trains
@pytest.mark.parametrize(
    ("channels", "classes", "normalisation", "expected"),
    [
        (1, 2, "batch", 9_448_866),
        (1, 4, "batch", 9_448_900),
        (4, 4, "batch", 9_450_196),
        (1, 2, "none", 9_443_266),
    ],
)
def test_vnet_has_the_papers_parameter_count(channels, classes, normalisation, expected):
    network = build_network(
        specification("vnet", channels=channels, classes=classes, normalisation=normalisation)
    )
    assert count_parameters(network) == expected


def test_vnet_with_the_distance_head_has_the_parameter_count_of_dtc():
    # DTC has one sigmoid channel and one tanh channel: 17 + 17 head weights, as 2 softmax ones.
    network = build_network(specification("vnet", signed_distance_head=True))
    assert count_parameters(network) == 9_448_866 + 17


@pytest.mark.parametrize(
    ("channels", "classes", "expected"), [(1, 2, 5_884_050), (4, 4, 5_885_380)]
)
def test_paper_unet_has_the_papers_parameter_count(channels, classes, expected):
    network = build_network(specification("paper-unet", channels=channels, classes=classes))
    assert count_parameters(network) == expected


@pytest.mark.trains
def test_the_bottleneck_of_the_papers_crop_is_7_by_7_by_5():
    network = build_network(specification("vnet")).eval()
    with torch.inference_mode():
        output = network(torch.zeros(1, 1, 112, 112, 80))
    assert output.bottleneck.shape == (1, 256, 7, 7, 5)
    assert output.logits.shape == (1, 2, 112, 112, 80)


@pytest.mark.parametrize("name", ["unet", "paper-unet", "vnet", "monai:SegResNet", "monai:UNet"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_every_network_works_in_2d_and_3d_with_any_channels_and_classes(name, dimensions):
    network = build_network(
        NetworkSpecification(
            name=name,
            dimensions=dimensions,
            channels=3,
            classes=4,
            filters=8,
            strides=((2,) * dimensions,) * 3,
            dropout=0.2,
            signed_distance_head=True,
        )
    )
    output = network(torch.randn(2, 3, *(32,) * dimensions))
    assert output.logits.shape == (2, 4, *(32,) * dimensions)
    assert output.signed_distance.shape == (2, 3, *(32,) * dimensions)
    assert output.signed_distance.abs().max() <= 1
    assert output.features.shape[2:] == output.logits.shape[2:]


def test_anisotropic_strides_keep_the_thick_axis():
    plan = NetworkSpecification(strides=((1, 2, 2), (1, 2, 2), (2, 2, 2)))
    assert plan.divisor == (2, 8, 8)
    output = build_network(plan)(torch.randn(1, 1, 8, 32, 32))
    assert output.logits.shape == (1, 2, 8, 32, 32)
    assert output.bottleneck.shape[2:] == (4, 4, 4)


def test_the_distance_head_stays_in_float32_under_bfloat16():
    network = build_network(NetworkSpecification(signed_distance_head=True))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(torch.randn(1, 1, 32, 32, 32))
    assert output.logits.dtype == torch.bfloat16
    assert output.signed_distance.dtype == torch.float32


@pytest.mark.parametrize("name", ["nothing", "monai:Nothing"])
def test_an_unknown_network_is_refused_with_what_to_choose(name):
    with pytest.raises(SettingsError, match="choose"):
        build_network(NetworkSpecification(name=name))
