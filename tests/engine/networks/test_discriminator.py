import pytest
import torch

from napari_semiseg.engine.networks.catalogue import count_parameters
from napari_semiseg.engine.networks.discriminator import Discriminator, at_least_two, halving


@pytest.mark.parametrize(
    ("dimensions", "map_channels", "expected"),
    [(3, 2, 11_024_386), (3, 1, 11_020_290), (2, 4, 2_762_754)],
)
def test_the_discriminator_has_the_papers_parameter_count(dimensions, map_channels, expected):
    assert count_parameters(Discriminator(dimensions, map_channels, 1)) == expected


@pytest.mark.parametrize(
    "shape",
    [(16, 16), (3, 40), (1, 1), (16, 16, 16), (7, 9, 21), (4, 32, 32), (1, 20, 6), (1, 1, 1)],
)
@pytest.mark.parametrize(("map_channels", "image_channels"), [(1, 1), (4, 3)])
def test_crops_of_any_size_with_any_channels_are_judged(shape, map_channels, image_channels):
    network = Discriminator(len(shape), map_channels, image_channels, filters=4)
    maps = torch.randn(2, map_channels, *shape, requires_grad=True)
    scores = network(maps, torch.randn(2, image_channels, *shape))
    assert scores.shape == (2, 2)
    scores[:, 1].sum().backward()
    assert maps.grad.abs().sum() > 0


def test_the_papers_crop_is_pooled_as_a_whole():
    """The last maps of 112 × 112 × 80 are 7 × 7 × 5; the published code averages just these."""
    network = Discriminator(3, 1, 1, filters=2).eval()
    seen = []
    network.pool.register_forward_hook(lambda _, features, pooled: seen.append((*features, pooled)))
    with torch.inference_mode():
        network(torch.randn(1, 1, 112, 112, 80), torch.randn(1, 1, 112, 112, 80))
    ((features, pooled),) = seen
    assert features.shape == (1, 16, 7, 7, 5)
    torch.testing.assert_close(pooled.flatten(1), features.mean(dim=(2, 3, 4)))


def test_both_the_map_and_the_image_decide():
    network = Discriminator(2, 2, 1, filters=4).eval()
    maps, images = torch.randn(1, 2, 16, 16), torch.randn(1, 1, 16, 16)
    scores = network(maps, images)
    assert not torch.allclose(scores, network(maps + 1, images))
    assert not torch.allclose(scores, network(maps, images + 1))


def test_only_axes_of_one_voxel_are_padded():
    features = torch.randn(1, 3, 1, 2, 5)
    padded = at_least_two(features)
    assert padded.shape == (1, 3, 2, 2, 5)
    assert torch.equal(padded[:, :, :1], features)
    assert (padded[:, :, 1:] == 0).all()
    assert at_least_two(padded) is padded
    assert halving(3, 3, 4)(padded).shape == (1, 4, 1, 1, 2)


def test_the_discriminator_stays_in_float32_under_bfloat16():
    network = Discriminator(3, 2, 1, filters=4).eval()
    maps, images = torch.randn(1, 2, 16, 16, 16), torch.randn(1, 1, 16, 16, 16)
    expected = network(maps, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(maps, images)
    assert torch.equal(scores, expected)
