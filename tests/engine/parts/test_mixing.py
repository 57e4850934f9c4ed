import pytest
import torch

from napari_semiseg.engine.parts.mixing import PairMixture

CPU = torch.device("cpu")


def test_the_first_half_is_mixed_with_the_second():
    crops = torch.randn(4, 2, 3, 3)
    mixed = PairMixture(torch.tensor([0.25, 1.0]))(crops)
    assert mixed.shape == (2, 2, 3, 3)
    torch.testing.assert_close(mixed[0], 0.75 * crops[0] + 0.25 * crops[2])
    torch.testing.assert_close(mixed[1], crops[3])


@pytest.mark.parametrize(("crops", "mixes"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3)])
def test_there_is_one_mix_for_two_crops(crops, mixes):
    batch = torch.randn(crops, 1, 4, 4)
    mixture = PairMixture.draw(crops, 0.2, CPU)
    assert mixture.shares.shape == (mixes,)
    assert len(mixture(batch)) == mixes
    assert len(mixture.crops_of(batch)) == min(crops, 2 * mixes)
    torch.testing.assert_close(mixture(mixture.crops_of(batch)), mixture(batch))


def test_a_single_crop_stays_as_it_is():
    crop = torch.randn(1, 1, 4, 4)
    assert torch.equal(PairMixture.draw(1, 0.2, CPU)(crop), crop)


def test_a_mixture_of_probabilities_sums_to_one():
    answers = torch.softmax(torch.randn(4, 3, 5, 5), dim=1)
    mixed = PairMixture.draw(4, 1.0, CPU)(answers)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(2, 5, 5))


def test_a_small_concentration_leaves_mixtures_near_one_crop():
    torch.manual_seed(0)
    shares = PairMixture.draw(4000, 0.2, CPU).shares
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(0.25 / 1.4, abs=0.01)  # ¼ / (2 a + 1)
