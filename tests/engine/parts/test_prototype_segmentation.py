import math

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.parts.prototype_segmentation import (
    ClassPrototypes,
    backward_consistency,
    forward_consistency,
    prototype_scores,
    prototypes_of,
)

SCALE = 20.0


def blocks(classes=3):
    """Labels in stripes, and features of which each class has a direction of its own."""
    labels = torch.arange(classes).repeat_interleave(4).reshape(1, -1, 1).repeat(2, 1, 6)
    features = F.one_hot(labels, classes).movedim(-1, 1).float() * 3
    return features, labels


def test_features_that_separate_the_classes_give_the_labels_back():
    features, labels = blocks()
    prototypes = prototypes_of(features, labels, 3).mean_over_images()
    scores = prototype_scores(features, prototypes, SCALE, labels.shape[1:])
    assert torch.equal(scores.argmax(dim=1), labels)
    floor = math.log(1 + 2 * math.exp(-SCALE))  # two other classes at cosine 0
    assert backward_consistency(features, prototypes, labels, SCALE) == pytest.approx(
        floor, abs=1e-6
    )
    target = F.one_hot(labels, 3).movedim(-1, 1).float()
    assert forward_consistency(features, prototypes, target, SCALE) < 1e-12


def test_prototypes_are_averaged_over_the_images_that_show_the_class():
    features = torch.stack([torch.full((2, 4, 4), value) for value in (1.0, 3.0, 7.0)])
    labels = torch.zeros(3, 4, 4, dtype=torch.long)
    labels[0, :2] = 1
    labels[1, :1] = 1
    prototypes = prototypes_of(features, labels, 3)
    assert prototypes.present.tolist() == [[True, True, False]] * 2 + [[True, False, False]]
    mean = prototypes.mean_over_images()
    assert mean.present.tolist() == [[True, True, False]]
    expected = torch.tensor([[[11 / 3] * 2, [2.0] * 2, [0.0] * 2]])
    torch.testing.assert_close(mean.vectors, expected, atol=1e-4, rtol=0)


def test_paired_prototypes_go_round_where_there_are_fewer():
    vectors = torch.arange(2.0).reshape(2, 1, 1)
    paired = ClassPrototypes(vectors, torch.ones(2, 1, dtype=torch.bool)).paired_with(3)
    assert paired.vectors.flatten().tolist() == [0, 1, 0]


def test_voxels_count_by_their_confidence_without_a_gradient_to_it():
    features = torch.tensor([1.0, 5.0]).reshape(1, 1, 1, 2).requires_grad_()
    confidence = torch.tensor([[0.5, 0.25], [0.5, 0.75]]).reshape(1, 2, 1, 2).requires_grad_()
    labels = torch.tensor([[[1, 1]]])
    prototypes = prototypes_of(features, labels, 2, confidence)
    assert prototypes.vectors[0, 1].item() == pytest.approx((0.5 + 0.75 * 5) / 1.25, abs=1e-4)
    prototypes.vectors.sum().backward()
    assert confidence.grad is None
    assert features.grad.abs().sum() > 0


def test_ignored_voxels_belong_to_no_prototype_and_are_not_scored():
    features, labels = blocks()
    labels[:, :4] = 255
    prototypes = prototypes_of(features, labels, 3)
    assert prototypes.present.tolist() == [[False, True, True]] * 2
    features.requires_grad_()
    backward_consistency(features, prototypes.mean_over_images(), labels, SCALE).backward()
    assert (features.grad[:, :, :4] == 0).all()


@pytest.mark.parametrize("absent", [(2,), (1, 2), (0, 1, 2)])
def test_absent_classes_take_no_part_and_make_no_nan(absent):
    features, labels = blocks()
    seen = labels.clone()
    for index in absent:
        seen[labels == index] = 255
    prototypes = prototypes_of(features, seen, 3).mean_over_images()
    moved = (features + 0.3 * torch.randn(features.shape)).requires_grad_()
    target = torch.softmax(torch.randn(2, 3, *labels.shape[1:]), dim=1)
    forward = forward_consistency(moved, prototypes, target, SCALE)
    backward = backward_consistency(moved, prototypes, labels, SCALE)
    (forward + backward).backward()
    assert torch.isfinite(forward)
    assert torch.isfinite(backward)
    assert torch.isfinite(moved.grad).all()
    for index in absent:
        scored = backward_consistency(moved, prototypes, labels.where(labels == index, 255), SCALE)
        assert scored == 0
    if len(absent) > 1:  # a softmax over one class says nothing
        assert forward.item() == pytest.approx(0, abs=1e-12)


def test_an_absent_class_is_no_reason_to_contradict_an_answer_that_names_it():
    """Of an answer that is sure of an absent class the forward process knows nothing."""
    features, labels = blocks()
    seen = labels.where(labels != 2, 255)
    prototypes = prototypes_of(features, seen, 3).mean_over_images()
    target = F.one_hot(labels, 3).movedim(-1, 1).float()
    assert forward_consistency(features, prototypes, target, SCALE) < 1e-12


def test_the_losses_are_those_of_the_paper_where_all_classes_are_present():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 3, 3, 3, generator=generator)
    others = torch.randn(2, 5, 3, 3, 3, generator=generator)
    labels = torch.randint(2, (2, 9, 9, 9), generator=generator)
    target = torch.softmax(torch.randn(2, 2, 9, 9, 9, generator=generator), dim=1)
    spread, spread_others = (
        F.interpolate(maps, size=(9, 9, 9), mode="trilinear") for maps in (features, others)
    )
    means = []
    for index in range(2):
        each = [spread[image][:, labels[image] == index].mean(dim=1) for image in range(2)]
        means.append(torch.stack(each).mean(dim=0))
    cosines = [
        F.cosine_similarity(spread_others, mean.reshape(1, -1, 1, 1, 1), dim=1) for mean in means
    ]
    answer = torch.softmax(SCALE * torch.stack(cosines, dim=1), dim=1)
    prototypes = prototypes_of(features, labels, 2).mean_over_images()
    forward = forward_consistency(others, prototypes, target, SCALE)
    torch.testing.assert_close(forward, F.mse_loss(answer, target), atol=1e-5, rtol=1e-5)
    backward = backward_consistency(others, prototypes, labels, SCALE)
    expected = F.nll_loss(torch.log(answer), labels)
    torch.testing.assert_close(backward, expected, atol=1e-4, rtol=1e-5)


def test_the_separation_is_the_cosine_distance_of_the_classes_that_are_there():
    vectors = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]])
    present = torch.tensor([[True, True, False]])
    assert ClassPrototypes(vectors, present).separation() == pytest.approx(1.0)
    assert ClassPrototypes(vectors, present & False).separation() == 0.0
