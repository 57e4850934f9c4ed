"""Entropy minimisation (specification §7.7)."""

import math

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

START, END = Clock(0, 0.0), Clock(6000, 1.0)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_loss_is_the_mean_entropy_over_ln_c_of_all_crops(build, make_batch, classes):
    method = build("entropy-minimisation", {"entropy_weight": 0.5}, classes=classes)
    batch = make_batch(method.plan, 1, 3)
    logits = method.student(batch.images).logits
    logs = torch.log_softmax(logits, dim=1)
    expected = -(logs.exp() * logs).sum(dim=1).mean() / math.log(classes)
    terms, scalars = method.losses(batch, END)
    torch.testing.assert_close(terms["entropy"], 0.5 * expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(terms["supervised"], segmentation_loss(logits[:1], batch.labels))
    assert 0 <= scalars["entropy of unlabelled"] <= 1


def test_its_gradient_comes_from_labelled_and_unlabelled_crops(build, make_batch):
    method = build("entropy-minimisation")
    batch = make_batch(method.plan, 1, 2)
    batch.images.requires_grad_()
    terms, _ = method.losses(batch, END)
    (gradient,) = torch.autograd.grad(terms["entropy"], batch.images)
    assert (gradient.flatten(1).abs().sum(dim=1) > 0).all()


def test_a_step_without_supervision_lowers_the_entropy(build, make_batch):
    method = build(
        "entropy-minimisation", {"entropy_weight": 10.0}, preset="paper", learning_rate=0.01
    )
    batch = make_batch(method.plan)
    batch.labels[:] = 255
    reports = [method.training_step(batch, END)["entropy of unlabelled"] for _ in range(10)]
    assert reports[-1] < reports[0]


def test_the_weight_rises_to_the_papers(build, make_batch):
    method = build("entropy-minimisation", {"ramp_share": 0.5})
    batch = make_batch(method.plan)
    assert method.losses(batch, START)[1]["weight"] == pytest.approx(0.1 * math.exp(-5))
    assert method.losses(batch, Clock(3000, 0.5))[1]["weight"] == pytest.approx(0.1)
    assert method.losses(batch, END)[1]["weight"] == pytest.approx(0.1)
