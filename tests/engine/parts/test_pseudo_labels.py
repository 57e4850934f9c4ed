import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.parts.pseudo_labels import hard_labels


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
