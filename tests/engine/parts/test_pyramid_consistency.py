"""Uncertainty-rectified pyramid consistency (specification §7.8, §9)."""

import math

import pytest
import torch

from napari_semiseg.engine.parts.pyramid_consistency import pyramid_of, rectified_consistency


def scales(count=4, shape=(2, 3, 4, 5), seed=0, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    return [spread * torch.randn(shape, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 3, 4, 5)])
@pytest.mark.parametrize("divergence", ["of_mean", "of_scale"])
def test_the_discrepancy_is_the_written_out_divergence(shape, divergence):
    logits = [scores.double() for scores in scales(shape=shape)]
    p = torch.stack([torch.softmax(scores, dim=1) for scores in logits])
    mean = p.mean(dim=0)
    terms = mean * torch.log(mean / p) if divergence == "of_mean" else p * torch.log(p / mean)
    pyramid = pyramid_of(logits, divergence)
    torch.testing.assert_close(pyramid.discrepancy.double(), terms.sum(2), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(pyramid.mean.double(), mean, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("divergence", ["of_mean", "of_scale"])
def test_the_discrepancy_is_never_negative_and_0_where_all_scales_are_equal(divergence):
    assert pyramid_of(scales(), divergence).discrepancy.min() >= 0
    same = scales(1) * 4
    pyramid = pyramid_of(same, divergence)
    assert pyramid.discrepancy.min() >= 0
    assert pyramid.discrepancy.max() == pytest.approx(0, abs=1e-6)
    assert rectified_consistency(pyramid).item() == pytest.approx(0, abs=1e-6)


def test_the_consistency_is_the_written_out_sum():
    logits = scales(3)
    p = [torch.softmax(scores, dim=1) for scores in logits]
    mean = sum(p) / 3
    expected = 0.0
    for scale in p:
        divergence = (mean * torch.log(mean / scale)).sum(dim=1, keepdim=True)
        trust = torch.exp(-divergence)
        expected += ((mean - scale) ** 2 * trust).mean() / (trust.mean() + 1e-8) + divergence.mean()
    torch.testing.assert_close(rectified_consistency(pyramid_of(logits)), expected / 3)


def test_a_scale_that_is_quite_sure_gives_no_nan():
    logits = [torch.full((1, 2, 3, 3), 0.0) for _ in range(2)]
    logits[0][:, 0] = 500.0
    logits[1][:, 1] = 500.0
    for scores in logits:
        scores.requires_grad_()
    pyramid = pyramid_of(logits)
    loss = rectified_consistency(pyramid)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(scores.grad).all() for scores in logits)
    torch.testing.assert_close(
        pyramid_of(logits, "of_scale").discrepancy, torch.full((2, 1, 3, 3), math.log(2))
    )


def test_gradients_reach_every_scale_through_the_mean_too():
    logits = [scores.requires_grad_() for scores in scales()]
    pyramid = pyramid_of(logits)
    # Of the first scale's terms alone: the others are reached through the mean.
    pyramid.discrepancy[0].mean().backward()
    assert all(scores.grad.abs().sum() > 0 for scores in logits)


def test_a_step_down_brings_the_scales_together():
    logits = [scores.requires_grad_() for scores in scales()]
    before = rectified_consistency(pyramid_of(logits))
    before.backward()
    moved = [scores.detach() - 10 * scores.grad for scores in logits]
    assert rectified_consistency(pyramid_of(moved)) < before
