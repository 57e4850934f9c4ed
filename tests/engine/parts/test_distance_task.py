import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.parts.distance_task import (
    answer_of_distance,
    distance_loss,
    mask_dice_loss,
    near_zero_share,
)


def test_without_ignored_voxels_the_distance_loss_is_the_mean_squared_error():
    distance, target = torch.randn(2, 2, 4, 5, 6), torch.randn(2, 2, 4, 5, 6)
    labels = torch.randint(0, 3, (2, 4, 5, 6))
    torch.testing.assert_close(
        distance_loss(distance, target, labels), F.mse_loss(distance, target)
    )


def test_ignored_voxels_give_no_distance_loss_and_no_gradient():
    distance = torch.randn(1, 2, 6, 6, requires_grad=True)
    target = torch.zeros(1, 2, 6, 6)
    labels = torch.zeros(1, 6, 6, dtype=torch.long)
    labels[:, 3:] = 255
    target[:, :, 3:] = float("nan")  # whatever stands there
    loss = distance_loss(distance, target, labels)
    torch.testing.assert_close(loss, distance[:, :, :3].square().mean())
    loss.backward()
    assert torch.isfinite(distance.grad).all()
    assert (distance.grad[:, :, 3:] == 0).all()
    assert (distance.grad[:, :, :3] != 0).all()


def test_a_crop_that_is_ignored_throughout_has_no_distance_loss():
    labels = torch.full((1, 4, 4), 255)
    assert distance_loss(torch.randn(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), labels) == 0


def test_the_masks_of_a_perfect_distance_have_no_dice_loss():
    labels = torch.randint(0, 3, (1, 6, 6))
    inside = torch.stack([labels == 1, labels == 2], dim=1)
    distance = torch.where(inside, -0.5, 0.5)
    assert mask_dice_loss(distance, labels, 1500.0).item() == pytest.approx(0, abs=1e-5)
    assert mask_dice_loss(-distance, labels, 1500.0) > 0.5


def test_the_answer_of_a_distance_is_the_class_whose_inside_a_voxel_is_in():
    labels = torch.randint(0, 3, (2, 5, 5))
    inside = torch.stack([labels == 1, labels == 2], dim=1)
    answer = answer_of_distance(torch.where(inside, -0.5, 0.5), 1500.0)
    torch.testing.assert_close(answer.sum(dim=1), torch.ones(2, 5, 5))
    assert torch.equal(answer.argmax(dim=1), labels)


def test_voxels_near_the_zero_level_are_counted():
    distance = torch.tensor([-0.5, -0.009, 0.0, 0.02]).reshape(1, 1, 2, 2)
    assert near_zero_share(distance) == 0.5
