import pytest
import torch

from napari_semiseg.engine.parts.sharpening import sharpen


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_two_classes_are_sharpened_as_in_the_paper(temperature):
    logits = torch.randn(2, 2, 4, 5, 6, generator=torch.Generator().manual_seed(0)).double()
    p = torch.softmax(logits, dim=1)
    power = 1 / temperature
    paper = p**power / (p**power + (1 - p) ** power)
    torch.testing.assert_close(sharpen(logits, temperature).double(), paper, atol=1e-5, rtol=1e-5)


def test_many_classes_are_the_normalised_powers_of_their_probabilities():
    logits = torch.randn(1, 5, 7, 7, generator=torch.Generator().manual_seed(1))
    powers = torch.softmax(logits, dim=1) ** 4
    torch.testing.assert_close(sharpen(logits, 0.25), powers / powers.sum(dim=1, keepdim=True))


def test_temperature_one_changes_nothing_and_a_low_one_leaves_the_most_probable_class():
    logits = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(sharpen(logits, 1.0), torch.softmax(logits, dim=1))
    one_hot = torch.nn.functional.one_hot(logits.argmax(dim=1), 3).movedim(-1, 1).float()
    torch.testing.assert_close(sharpen(logits, 1e-6), one_hot)


def test_answers_that_are_quite_sure_stay_finite():
    logits = torch.tensor([[300.0], [-300.0]]).reshape(1, 2, 1, 1).requires_grad_()
    sharpened = sharpen(logits, 0.1)
    sharpened[:, 0].sum().backward()
    assert torch.equal(sharpened.flatten(), torch.tensor([1.0, 0.0]))
    assert torch.isfinite(logits.grad).all()
