"""Sizes, bands and their penalty (specification §6.5, §9)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_semiseg.engine.parts.size_bounds import (
    SMALLEST_SHARE,
    bound_penalty,
    labelled_sizes,
    mean_over_known,
    outputs_of,
    regression_error,
    relative_bound_penalty,
    size_bounds,
    sizes_of,
    soft_sizes,
    wholly_labelled,
)

shares = st.floats(0, 1, width=32)


def column(*values):
    return torch.tensor([values])


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_a_soft_size_is_the_mean_probability_of_the_class(shape):
    probabilities = torch.softmax(torch.randn(2, 4, *shape), dim=1)
    sizes = soft_sizes(probabilities)
    assert sizes.shape == (2, 3)
    for index in range(3):
        expected = probabilities[1, index + 1].sum() / math.prod(shape)
        torch.testing.assert_close(sizes[1, index], expected)


def test_voxels_that_do_not_count_add_nothing():
    probabilities = torch.full((1, 2, 4, 4), 0.5)
    counted = torch.zeros(1, 4, 4, dtype=torch.bool)
    counted[0, :2] = True
    assert soft_sizes(probabilities, counted).item() == pytest.approx(0.25)


def test_labelled_sizes_are_counts_and_ignored_voxels_belong_to_no_class():
    labels = torch.tensor([[[0, 1, 1, 2], [2, 2, 255, 255]]])
    torch.testing.assert_close(labelled_sizes(labels, 4), column(2 / 8, 3 / 8, 0.0))
    assert wholly_labelled(labels).tolist() == [False]
    assert wholly_labelled(labels.clamp_max(2)).tolist() == [True]


def test_the_soft_size_of_a_certain_answer_is_the_labelled_size():
    labels = torch.randint(0, 3, (2, 6, 7))
    one_hot = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()
    torch.testing.assert_close(soft_sizes(one_hot), labelled_sizes(labels, 3))


@given(size=shares, tolerance=st.floats(0, 1))
def test_the_band_is_symmetric_around_the_wanted_size(size, tolerance):
    lower, upper = size_bounds(column(size), tolerance)
    assert lower.item() == pytest.approx((1 - tolerance) * size, abs=1e-6)
    assert upper.item() == pytest.approx((1 + tolerance) * size, abs=1e-6)


def test_a_negative_size_wants_an_absent_structure():
    lower, upper = size_bounds(column(-0.2), 0.1)
    assert lower.item() == upper.item() == 0.0
    assert bound_penalty(column(0.3), lower, upper).item() == pytest.approx(0.09)


@given(size=shares, wanted=shares, tolerance=st.floats(0, 1))
def test_the_penalty_is_the_square_outside_and_nothing_inside(size, wanted, tolerance):
    sizes = column(size).requires_grad_()
    lower, upper = size_bounds(column(wanted), tolerance)
    penalty = bound_penalty(sizes, lower, upper)
    below, above = lower.item() - size, size - upper.item()
    assert penalty.item() == pytest.approx(max(0.0, below, above) ** 2, abs=1e-6)
    penalty.sum().backward()
    if below > 1e-4:
        assert sizes.grad.item() < 0  # a step down the gradient makes it larger
    elif above > 1e-4:
        assert sizes.grad.item() > 0
    elif below < 0 and above < 0:
        assert sizes.grad.item() == 0


def test_no_gradient_reaches_the_band():
    wanted = column(0.5).requires_grad_()
    sizes = column(0.1).requires_grad_()
    bound_penalty(sizes, *size_bounds(wanted, 0.1)).sum().backward()
    relative_bound_penalty(sizes, *size_bounds(wanted, 0.1)).sum().backward()
    assert wanted.grad is None


def test_the_relative_penalty_weighs_small_and_large_structures_alike():
    wanted = column(0.4, 0.04, 0.01)
    penalties = relative_bound_penalty(0.5 * wanted, *size_bounds(wanted, 0.1))
    torch.testing.assert_close(penalties, torch.full((1, 3), 0.16))


def test_a_false_voxel_of_an_absent_structure_does_not_weigh_without_end():
    penalty = relative_bound_penalty(column(SMALLEST_SHARE), *size_bounds(column(0.0), 0.1))
    assert penalty.item() == pytest.approx(1.0)


@given(size=shares, wanted=shares)
def test_the_relative_penalty_is_never_more_than_one_and_pulls_the_same_way(size, wanted):
    gradients = []
    for penalty in (bound_penalty, relative_bound_penalty):
        sizes = column(size).requires_grad_()
        value = penalty(sizes, *size_bounds(column(wanted), 0.1))
        value.sum().backward()
        gradients.append(sizes.grad.sign().item())
    assert 0 <= value.item() <= 1
    assert gradients[0] == gradients[1]


def test_crops_of_unknown_size_do_not_count():
    penalties = torch.tensor([[1.0, 2.0], [torch.inf, 4.0]]).requires_grad_()
    known = torch.tensor([True, False])
    assert mean_over_known(penalties, known).item() == 3.0
    none = mean_over_known(penalties, torch.tensor([False, False]))
    assert none.item() == 0.0
    none.backward()
    assert (penalties.grad == 0).all()


@pytest.mark.parametrize("scale", ["log", "softplus", "linear"])
def test_outputs_stand_for_sizes_and_sizes_for_outputs(scale):
    sizes = torch.tensor([[0.001, 0.03, 0.5, 1.0]])
    outputs = outputs_of(sizes, scale)
    torch.testing.assert_close(sizes_of(outputs, scale), sizes, rtol=1e-4, atol=1e-6)
    assert regression_error(outputs, sizes, scale).max() < 1e-8
    assert outputs_of(torch.zeros(1, 1), scale).isfinite().all()


@pytest.mark.parametrize(
    ("scale", "expected"), [("log", math.log1p(5.0) ** 2), ("softplus", None), ("linear", 25.0)]
)
def test_the_error_is_a_square_on_the_scale(scale, expected):
    error = regression_error(torch.zeros(1, 1), column(0.05), scale).item()
    assert error == pytest.approx((math.log(2) - 5.0) ** 2 if expected is None else expected)


@pytest.mark.parametrize(
    ("scale", "negative"), [("log", True), ("softplus", False), ("linear", True)]
)
def test_only_a_softplus_rules_negative_sizes_out(scale, negative):
    sizes = sizes_of(torch.tensor([[-3.0, 1000.0]]), scale)
    assert (sizes[0, 0] < 0) == negative
    assert sizes[0, 1] == 1.0
