import torch

from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.spread import mean_total_variation


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
