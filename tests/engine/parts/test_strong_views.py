import pytest
import torch

from napari_semiseg.engine.parts.strong_views import erase, strong_view

SHAPES = [(3, 1, 12, 14), (2, 2, 8, 10, 12)]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_strong_view_has_the_same_shape_and_leaves_its_input_alone(shape):
    torch.manual_seed(0)
    images = torch.randn(shape)
    before = images.clone()
    view = strong_view(images)
    assert view.shape == images.shape
    assert torch.equal(images, before)
    assert not torch.allclose(view, images)


@pytest.mark.parametrize("shape", SHAPES)
def test_no_strength_changes_nothing(shape):
    images = torch.randn(shape)
    torch.testing.assert_close(strong_view(images, 0.0), images)


def test_more_strength_changes_more():
    images = torch.randn(64, 1, 16, 16)
    changes = []
    for strength in (0.3, 1.0, 3.0):
        torch.manual_seed(1)
        changes.append((strong_view(images, strength) - images).square().mean().item())
    assert changes == sorted(changes)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_structures_stay_where_they_are(dimensions):
    """Labels of a weak view fit its strong view voxel by voxel."""
    torch.manual_seed(2)
    image = torch.zeros(200, 1, *(16,) * dimensions)
    place = (slice(None), 0, *(slice(3, 9),) * dimensions)
    image[place] = 4.0
    view = strong_view(image).mean(dim=0)[0]
    inside = torch.zeros_like(view, dtype=torch.bool)
    inside[place[2:]] = True
    assert view[inside].min() > view[~inside].max()


def test_crops_change_independently_and_by_the_seed():
    images = torch.ones(4, 1, 8, 8, 8) * torch.linspace(-1, 1, 8)
    views = []
    for _ in range(2):
        torch.manual_seed(3)
        views.append(strong_view(images))
    assert torch.equal(*views)
    means = views[0].flatten(1).mean(dim=1)
    assert len(set(means.tolist())) == 4


def test_changes_stay_within_what_a_scan_could_be():
    torch.manual_seed(4)
    view = strong_view(torch.randn(100, 1, 16, 16))
    assert view.flatten(1).mean(dim=1).abs().max() < 0.8
    assert view.flatten(1).std(dim=1).max() < 1.7


def test_an_erased_box_shows_the_mean_of_its_crop_and_channel():
    images = torch.randn(2, 3, 6, 7)
    boxes = torch.zeros(2, 6, 7, dtype=torch.bool)
    boxes[0, 1:3, 2:5] = True
    erased = erase(images, boxes)
    for channel in range(3):
        hidden = erased[0, channel][boxes[0]]
        torch.testing.assert_close(hidden, images[0, channel].mean().expand_as(hidden))
        assert torch.equal(erased[0, channel][~boxes[0]], images[0, channel][~boxes[0]])
    assert torch.equal(erased[1], images[1])
