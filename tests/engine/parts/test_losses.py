import pytest
import torch
from torch.autograd import gradcheck

from napari_semiseg.engine.parts.consistency import (
    certain_squared_difference,
    mean_squared_difference,
)
from napari_semiseg.engine.parts.segmentation_loss import (
    cross_entropy,
    dice_loss,
    loss_on_labels,
    segmentation_loss,
)


def perfect_logits(labels, classes):
    return (torch.nn.functional.one_hot(labels, classes).movedim(-1, 1).double() * 2 - 1) * 50


@pytest.mark.parametrize("shape", [(2, 6, 5), (2, 4, 5, 6)])
@pytest.mark.parametrize("classes", [2, 4])
def test_a_perfect_answer_costs_nothing_and_a_wrong_one_much(shape, classes):
    labels = torch.randint(classes, shape, generator=torch.Generator().manual_seed(0))
    assert segmentation_loss(perfect_logits(labels, classes), labels) < 1e-4
    assert segmentation_loss(-perfect_logits(labels, classes), labels) > 1


def test_dice_of_a_known_overlap():
    labels = torch.tensor([[[0, 1, 1, 0]]])
    foreground = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    probabilities = torch.stack([1 - foreground, foreground], dim=1)
    assert dice_loss(probabilities, labels) == pytest.approx(0.5, abs=1e-4)


def test_a_class_that_no_label_has_may_be_left_unscored():
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (2, 5, 6))
    probabilities = torch.softmax(torch.randn(2, 4, 5, 6), dim=1)
    expected = dice_loss(probabilities[:, :2], labels)
    found = dice_loss(probabilities, labels, only_present=True)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        dice_loss(probabilities, labels), (expected + 2) / 3, rtol=1e-4, atol=0
    )
    assert dice_loss(probabilities, torch.zeros_like(labels), only_present=True) == 0


def test_settings_choose_one_of_the_losses_on_labels_or_half_of_each():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    overlap = dice_loss(torch.softmax(logits, dim=1), labels)
    assert torch.equal(loss_on_labels(logits, labels, "dice"), overlap)
    entropy = loss_on_labels(logits, labels, "cross-entropy")
    assert torch.equal(entropy, cross_entropy(logits, labels))
    both = loss_on_labels(logits, labels, "dice+cross-entropy")
    torch.testing.assert_close(both, (overlap + entropy) / 2)
    with pytest.raises(KeyError):
        loss_on_labels(logits, labels, "focal")


def test_ignored_voxels_count_nowhere():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn((1, 3, 4, 4, 4), generator=generator, requires_grad=True)
    labels = torch.randint(3, (1, 4, 4, 4), generator=generator)
    labels[:, :2] = 255
    segmentation_loss(logits, labels).backward()
    assert (logits.grad[:, :, :2] == 0).all()
    assert (logits.grad[:, :, 2:] != 0).any()


def test_a_crop_of_ignored_voxels_alone_is_zero_not_nan():
    labels = torch.full((1, 4, 4), 255)
    assert cross_entropy(torch.randn(1, 2, 4, 4), labels) == 0
    assert torch.isfinite(segmentation_loss(torch.randn(1, 2, 4, 4), labels))


def test_dice_gradients_are_right():
    labels = torch.randint(3, (1, 3, 3), generator=torch.Generator().manual_seed(2))
    logits = torch.randn(1, 3, 3, 3, dtype=torch.double, requires_grad=True)
    # Dice is computed in float32 on purpose, so the numerical gradient is only that exact.
    assert gradcheck(
        lambda z: dice_loss(torch.softmax(z, 1), labels), logits, eps=1e-2, atol=1e-2, rtol=1e-2
    )


def test_consistency_reaches_the_student_only():
    student = torch.rand(1, 2, 4, 4, requires_grad=True)
    teacher = torch.rand(1, 2, 4, 4, requires_grad=True)
    certain = torch.rand(1, 4, 4) > 0.5
    for loss in (
        mean_squared_difference(student, teacher),
        certain_squared_difference(student, teacher, certain),
    ):
        student.grad = None
        loss.backward()
        assert student.grad.abs().sum() > 0
        assert teacher.grad is None


def test_the_certain_difference_is_the_plain_one_where_all_is_certain():
    student, teacher = torch.rand(2, 3, 5, 5), torch.rand(2, 3, 5, 5)
    everywhere = torch.ones(2, 5, 5, dtype=torch.bool)
    torch.testing.assert_close(
        certain_squared_difference(student, teacher, everywhere),
        mean_squared_difference(student, teacher),
    )
    assert certain_squared_difference(student, teacher, ~everywhere) == 0
