import pytest
import torch

from napari_semiseg.engine.parts.disagreement import class_probabilities, total_variation


def test_two_classes_disagree_by_the_difference_of_the_foreground():
    first, second = torch.rand(2, 1, 4, 5), torch.rand(2, 1, 4, 5)
    disagreement = total_variation(
        torch.cat([1 - first, first], dim=1), torch.cat([1 - second, second], dim=1)
    )
    torch.testing.assert_close(disagreement, (first - second).abs()[:, 0])


def test_the_same_answer_disagrees_by_nothing_and_the_opposite_by_one():
    one, other = torch.zeros(1, 4, 2, 2, 2), torch.zeros(1, 4, 2, 2, 2)
    one[:, 1] = other[:, 3] = 1
    assert (total_variation(one, one) == 0).all()
    assert (total_variation(one, other) == 1).all()


def test_the_background_gets_what_one_mask_leaves():
    masks = torch.rand(2, 1, 3, 4, 5)
    torch.testing.assert_close(class_probabilities(masks), torch.cat([1 - masks, masks], dim=1))


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        ([0.25, 0.5], [0.25, 0.25, 0.5]),
        ([1.0, 1.0], [0.0, 0.5, 0.5]),
        ([1.0, 0.25], [0.0, 0.8, 0.2]),
        ([0.0, 0.0], [1.0, 0.0, 0.0]),
    ],
)
def test_overlapping_masks_share_a_voxel_in_proportion(masks, expected):
    probabilities = class_probabilities(torch.tensor(masks).reshape(1, 2, 1, 1))
    torch.testing.assert_close(probabilities.flatten(), torch.tensor(expected))
