import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss, soft_segmentation_loss
from napari_semiseg.engine.parts.view_fusion import (
    agreeing_share,
    fuse_the_others,
    fused_uncertainty,
    uncertainty_of_moments,
)


def answers(networks=3, classes=3):
    torch.manual_seed(0)
    return torch.softmax(torch.randn(networks, 2, classes, 4, 5), dim=2)


def test_the_fused_label_leaves_a_networks_own_answer_out():
    probabilities, uncertainties = answers(), torch.rand(3, 2, 4, 5)
    fused = fuse_the_others(probabilities, uncertainties)
    changed, other = probabilities.clone(), uncertainties.clone()
    changed[1], other[1] = answers()[2], 0.0
    again = fuse_the_others(changed, other)
    assert torch.equal(again[1], fused[1])
    assert not torch.allclose(again[0], fused[0])
    assert not torch.allclose(again[2], fused[2])


def test_fused_labels_are_the_weighted_mean_of_the_others():
    probabilities, uncertainties = answers(), 0.1 + torch.rand(3, 2, 4, 5)
    fused = fuse_the_others(probabilities, uncertainties)
    one, two = (1 / (uncertainties[i] + 1e-3).unsqueeze(1) for i in (0, 2))
    expected = (one * probabilities[0] + two * probabilities[2]) / (one + two)
    torch.testing.assert_close(fused[1], expected)
    torch.testing.assert_close(fused.sum(dim=2), torch.ones(3, 2, 4, 5))


def test_sure_networks_count_alike_and_divide_nothing_by_zero():
    probabilities = answers()
    fused = fuse_the_others(probabilities, torch.zeros(3, 2, 4, 5))
    torch.testing.assert_close(fused[0], probabilities[1:].mean(dim=0))
    assert fused.isfinite().all()


def test_a_sure_network_outweighs_an_unsure_one():
    probabilities = answers()
    uncertainties = torch.stack([torch.ones(2, 4, 5), torch.zeros(2, 4, 5), torch.ones(2, 4, 5)])
    fused = fuse_the_others(probabilities, uncertainties)
    torch.testing.assert_close(fused[0], probabilities[1], atol=2e-3, rtol=0)


def test_no_gradient_passes_a_fused_label():
    probabilities = answers().requires_grad_()
    uncertainties = torch.rand(3, 2, 4, 5, requires_grad=True)
    assert not fuse_the_others(probabilities, uncertainties).requires_grad


def test_the_variance_of_two_opposite_passes_is_the_largest():
    passes = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).reshape(2, 1, 2, 1)
    moments = torch.cat([passes.mean(0), passes.square().mean(0)], dim=1)
    assert uncertainty_of_moments(moments, "variance").item() == pytest.approx(1.0)
    assert uncertainty_of_moments(moments, "entropy").item() == pytest.approx(1.0, abs=1e-5)
    same = torch.cat([passes[0], passes[0].square()], dim=1)
    assert uncertainty_of_moments(same, "variance").item() == 0
    assert uncertainty_of_moments(same, "entropy").item() == pytest.approx(0.0, abs=1e-5)


def test_the_fused_uncertainty_is_the_harmonic_mean():
    uncertainties = torch.tensor([0.2, 0.2, 0.2]).reshape(3, 1, 1)
    assert fused_uncertainty(uncertainties).item() == pytest.approx(0.2)
    assert fused_uncertainty(torch.tensor([0.0, 1.0, 1.0]).reshape(3, 1, 1)).item() < 0.01


def test_agreement_counts_the_networks_of_the_majority():
    chosen = torch.tensor([[0, 0, 0], [0, 1, 1], [0, 0, 2]])  # networks × voxels
    probabilities = F.one_hot(chosen, 3).permute(0, 2, 1).unsqueeze(1).float()
    shares = agreeing_share(probabilities)[0]
    torch.testing.assert_close(shares, torch.tensor([1.0, 2 / 3, 1 / 3]))


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 6)])
def test_the_soft_loss_is_the_segmentation_loss_for_hard_labels(shape):
    torch.manual_seed(0)
    labels = torch.randint(3, (2, *shape))
    logits = torch.randn(2, 3, *shape)
    target = F.one_hot(labels, 3).movedim(-1, 1).float()
    torch.testing.assert_close(
        soft_segmentation_loss(logits, target), segmentation_loss(logits, labels)
    )


def test_the_soft_loss_is_at_rest_where_the_answer_is_the_target():
    logits = torch.randn(2, 3, 5, 6, requires_grad=True)
    target = torch.softmax(logits, dim=1)
    soft_segmentation_loss(logits, target).backward()
    assert logits.grad.abs().max() < 1e-6
