import torch

from napari_semiseg.engine.parts.connected_components import largest_components


def test_the_largest_piece_of_each_class_stays_and_islands_become_background():
    labels = torch.zeros(1, 6, 12, 12, dtype=torch.long)
    labels[0, 1:4, 1:4, 1:4] = 1
    labels[0, 5, 11, 11] = 1
    labels[0, 1:3, 6:8, 6:8] = 2
    labels[0, 5, 0:2, 0] = 2
    cleaned = largest_components(labels, classes=3)
    expected = labels.clone()
    expected[0, 5] = 0
    assert torch.equal(cleaned, expected)
    assert labels[0, 5, 11, 11] == 1


def test_each_crop_has_a_largest_piece_of_its_own():
    labels = torch.zeros(2, 8, 8, dtype=torch.long)
    labels[0, 0:3, 0:3] = labels[0, 7, 7] = 1
    labels[1, 0, 0] = labels[1, 5:8, 5:8] = 1
    cleaned = largest_components(labels, classes=2)
    assert cleaned[0].sum() == cleaned[1].sum() == 9
    assert cleaned[0, 0, 0] == cleaned[1, 7, 7] == 1


def test_voxels_that_touch_at_a_corner_are_connected():
    labels = torch.eye(5, dtype=torch.long)[None]
    assert torch.equal(largest_components(labels, classes=2), labels)


def test_a_class_that_is_not_there_and_ignored_voxels_stay():
    labels = torch.full((1, 4, 4, 4), 255)
    labels[0, 0] = 0
    labels[0, 1, 1, 1] = labels[0, 3, 3, 3] = 2
    cleaned = largest_components(labels, classes=4)
    assert (cleaned == 255).sum() == (labels == 255).sum()
    assert cleaned[0, 1, 1, 1] == 2
    assert cleaned[0, 3, 3, 3] == 0
    assert cleaned.dtype == torch.int64
