import pytest
import torch

from napari_semiseg.engine.parts.disagreement import (
    class_probabilities,
    mean_total_variation,
    total_variation,
)


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


def answers(count):
    generator = torch.Generator().manual_seed(0)
    return [torch.softmax(torch.randn(2, 3, 4, 5, generator=generator), 1) for _ in range(count)]


def test_two_answers_lie_their_total_variation_apart():
    first, second = answers(2)
    torch.testing.assert_close(
        mean_total_variation([first, second]), total_variation(first, second)
    )


def test_of_three_answers_the_pairs_are_averaged():
    a, b, c = answers(3)
    pairs = (total_variation(a, b) + total_variation(b, c) + total_variation(a, c)) / 3
    torch.testing.assert_close(mean_total_variation([a, b, c]), pairs)


def test_equal_answers_and_a_single_one_are_not_apart():
    one = answers(1)[0]
    assert (mean_total_variation([one, one, one]) == 0).all()
    assert mean_total_variation([one]).shape == (2, 4, 5)
    assert (mean_total_variation([one]) == 0).all()
