import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.parts.prototype_bank import PrototypeBank, likeness_and_answer
from napari_semiseg.engine.parts.prototype_segmentation import ClassPrototypes


def step(values, present):
    """Prototypes of one image: every feature of class c is values[c]."""
    vectors = torch.tensor(values).reshape(1, -1, 1).repeat(1, 1, 4)
    return ClassPrototypes(vectors, torch.tensor([present]))


def test_a_new_bank_knows_nothing():
    assert PrototypeBank(3, 0.99).prototypes is None


def test_the_first_steps_count_alike_and_each_class_by_itself():
    bank = PrototypeBank(3, 0.99)
    bank.update(step([1.0, 5.0, 0.0], [True, True, False]))
    bank.update(step([3.0, 0.0, 0.0], [True, False, False]))
    bank.update(step([5.0, 7.0, 0.0], [True, True, False]))
    found = bank.prototypes
    torch.testing.assert_close(found.vectors[0, :, 0], torch.tensor([3.0, 6.0, 0.0]))
    assert found.present.tolist() == [[True, True, False]]


def test_later_the_past_weighs_as_much_as_the_decay_says():
    bank = PrototypeBank(1, 0.9)
    for _ in range(50):
        bank.update(step([1.0], [True]))
    bank.update(step([2.0], [True]))
    assert bank.prototypes.vectors[0, 0, 0].item() == pytest.approx(1.1)


def test_a_step_is_averaged_over_the_images_that_show_the_class():
    bank = PrototypeBank(1, 0.99)
    vectors = torch.tensor([2.0, 0.0, 4.0]).reshape(3, 1, 1)
    bank.update(ClassPrototypes(vectors, torch.tensor([[True], [False], [True]])))
    assert bank.prototypes.vectors.item() == pytest.approx(3.0)


def test_no_gradient_is_kept():
    bank = PrototypeBank(1, 0.99)
    bank.update(ClassPrototypes(torch.ones(1, 1, 2, requires_grad=True), torch.tensor([[True]])))
    assert not bank.vectors.requires_grad


@pytest.mark.parametrize("steps", [0, 2])
def test_a_bank_goes_out_and_comes_back(steps):
    bank = PrototypeBank(2, 0.99)
    for _ in range(steps):
        bank.update(step([1.0, 2.0], [True, False]))
    other = PrototypeBank(2, 0.99)
    other.load_state_dict(bank.state_dict())
    other.to(torch.device("cpu"))
    for one in (bank, other):
        one.update(step([4.0, 2.0], [True, True]))
    assert torch.equal(bank.vectors, other.vectors)
    assert torch.equal(bank.seen, other.seen)


def test_likeness_is_the_cosine_of_the_interpolated_features_and_the_answer_its_softmax():
    features = torch.randn(2, 8, 3, 4)
    vectors = torch.randn(1, 3, 8)
    prototypes = ClassPrototypes(vectors, torch.tensor([[True, False, True]]))
    likeness, answer = likeness_and_answer(features, prototypes, 20.0, torch.Size((12, 16)))
    large = F.interpolate(features, size=(12, 16), mode="bilinear", align_corners=False)
    naive = F.cosine_similarity(large.unsqueeze(1), vectors.reshape(1, 3, 8, 1, 1), dim=2)
    torch.testing.assert_close(likeness[:, ::2], naive[:, ::2], atol=1e-5, rtol=1e-4)
    assert (likeness[:, 1] == -1).all()
    assert (answer[:, 1] == 0).all()
    expected = torch.softmax(20 * naive[:, ::2], dim=1)
    torch.testing.assert_close(answer[:, ::2], expected, atol=1e-4, rtol=1e-3)
