import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.parts.pseudo_labels import (
    PseudoLabels,
    confident_labels,
    hard_labels,
    largest_components,
    pseudo_label_loss,
    sharpen,
)
from napari_semiseg.engine.parts.segmentation_loss import IGNORED


def test_the_most_probable_class_is_chosen_without_a_gradient():
    logits = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    labels = hard_labels(logits)
    assert torch.equal(labels, logits.argmax(dim=1))
    assert labels.dtype == torch.int64
    assert not labels.requires_grad


def test_drawn_classes_come_as_often_as_the_softmax_says():
    torch.manual_seed(0)
    shares = torch.tensor([0.7, 0.25, 0.05])
    logits = shares.log().reshape(1, 3, 1, 1).expand(1, 3, 200, 200)
    drawn = hard_labels(logits, "sample")
    found = torch.bincount(drawn.flatten(), minlength=3) / drawn.numel()
    assert found.tolist() == pytest.approx(shares.tolist(), abs=0.01)


def test_a_soft_label_would_teach_its_own_network_nothing():
    """Why labels must be hard: the gradient of a network's cross-entropy to itself is zero."""
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    soft = F.cross_entropy(logits, torch.softmax(logits, dim=1).detach())
    assert torch.autograd.grad(soft, logits)[0].abs().max() < 1e-7
    hard = F.cross_entropy(logits, hard_labels(logits))
    assert torch.autograd.grad(hard, logits)[0].abs().max() > 1e-3


def test_labels_below_the_threshold_are_ignored():
    probabilities = torch.tensor([[0.95, 0.05], [0.94, 0.06], [0.02, 0.98], [0.5, 0.5]])
    labels = confident_labels(probabilities.T.reshape(1, 2, 4), 0.95)
    assert labels.tolist() == [[0, IGNORED, 1, IGNORED]]
    assert confident_labels(probabilities.T.reshape(1, 2, 4), 0.0).tolist() == [[0, 0, 1, 0]]


def test_pseudo_labels_tell_what_was_kept_and_what_was_corrected():
    probabilities = torch.tensor([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]).T.reshape(1, 2, 3)
    given = PseudoLabels(probabilities, torch.tensor([[0, 0, IGNORED]]))
    assert given.confidence[0].tolist() == pytest.approx([0.8, 0.6, 0.7])
    assert given.kept.tolist() == [[True, True, False]]
    assert given.kept_share == pytest.approx(2 / 3)
    assert given.corrected.tolist() == [[False, True, False]]
    expected = torch.tensor([[0.8, 0.2], [1.0, 0.0], [0.3, 0.7]]).T.reshape(1, 2, 3)
    torch.testing.assert_close(given.class_shares, expected)


def half_believed():
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, 6, requires_grad=True)
    labels = torch.randint(3, (2, 4, 5, 6))
    return logits, labels.masked_fill(torch.rand(labels.shape) < 0.5, IGNORED)


def test_cross_entropy_is_divided_by_all_voxels_as_in_fixmatch():
    logits, labels = half_believed()
    each = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="none")
    loss = pseudo_label_loss(logits, labels, "cross-entropy")
    assert loss.item() == pytest.approx(each.mean().item(), rel=1e-5)


def test_the_two_kinds_together_are_half_of_each():
    logits, labels = half_believed()
    entropy, overlap, both = (
        pseudo_label_loss(logits, labels, kind).item()
        for kind in ("cross-entropy", "dice", "dice+cross-entropy")
    )
    assert both == pytest.approx((entropy + overlap) / 2)


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "dice+cross-entropy"])
def test_voxels_without_a_label_have_no_gradient(kind):
    logits, labels = half_believed()
    gradient = torch.autograd.grad(pseudo_label_loss(logits, labels, kind), logits)[0]
    silent = (labels == IGNORED).unsqueeze(1).expand_as(gradient)
    assert (gradient[silent] == 0).all()
    assert gradient[~silent].abs().sum() > 0
    nothing = torch.full_like(labels, IGNORED)
    loss = pseudo_label_loss(logits, nothing, kind)
    assert loss.item() == 0
    assert (torch.autograd.grad(loss, logits)[0] == 0).all()


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
