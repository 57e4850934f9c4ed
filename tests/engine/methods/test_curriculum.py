"""Curriculum size constraints and their oracle (specification §6.5, §7.15, §9)."""

import copy
from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.bodies.size_constrained import WantedSizes
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.curriculum import Curriculum
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, cross_entropy, segmentation_loss
from napari_semiseg.engine.parts.size_bounds import labelled_sizes, outputs_of, soft_sizes

pytestmark = pytest.mark.trains

LEARNING_SIZES = Clock(step=10, share=0.1)
SEGMENTING = Clock(step=500, share=0.6)
SMALL = {"regressor": "small"}


def weights(network):
    return [weight.detach().clone() for weight in network.state_dict().values()]


def same(before, network):
    return all(
        torch.equal(old, new)
        for old, new in zip(before, network.state_dict().values(), strict=True)
    )


def wanted(sizes, known=True):
    sizes = torch.tensor(sizes)
    return WantedSizes(sizes, torch.full((len(sizes),), known))


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_the_first_stage_trains_the_regressor_alone(build, make_batch, preset):
    method = build("curriculum", SMALL, preset=preset)
    student, regressor = weights(method.student), weights(method.regressor)
    report = method.training_step(make_batch(method.plan, 2, 0), LEARNING_SIZES)
    assert same(student, method.student)
    assert not same(regressor, method.regressor)
    assert report["loss"] == report["regression"] > 0
    assert all(weight.grad is None for weight in method.student.parameters())


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize("steps", ["joint", "alternate"])
def test_the_second_stage_trains_the_segmenter_with_a_frozen_regressor(
    build, make_batch, preset, steps
):
    method = build("curriculum", SMALL | {"steps": steps}, preset=preset)
    method.training_step(make_batch(method.plan, 2, 0), LEARNING_SIZES)
    student, regressor = weights(method.student), weights(method.regressor)
    for _ in range(2):
        report = method.training_step(make_batch(method.plan), SEGMENTING)
    assert same(regressor, method.regressor)
    assert not same(student, method.student)
    assert all(weight.grad is None for weight in method.regressor.parameters())
    assert not method.regressor_optimiser.state
    assert {"supervised", "size", "too small", "too large"} <= set(report)
    assert report["loss"] == pytest.approx(report["supervised"] + report["size"], rel=1e-5)


@pytest.mark.parametrize(("dimensions", "classes"), [(2, 2), (3, 4)])
def test_the_regressor_learns_the_sizes_of_every_class(build, make_batch, dimensions, classes):
    method = build("curriculum", SMALL, dimensions=dimensions, classes=classes)
    for step in range(60):
        batch = make_batch(method.plan, 2, 0, seed=step)
        report = method.training_step(batch, Clock(step, 0.2 * step / 60))
    assert report["size error"] < 0.05
    unseen = make_batch(method.plan, 1, 0, seed=99)
    regressed = method.regress_sizes(unseen.plain_images)
    assert regressed.shape == (1, classes - 1)
    torch.testing.assert_close(
        regressed, labelled_sizes(unseen.labels, classes), rtol=0.35, atol=0.02
    )


def test_a_size_that_is_not_known_is_not_learnt(build, make_batch):
    """Crops with an ignored voxel teach the regressor nothing."""
    gradients = []
    for labels in ([0, 1], [0]):
        method = build("curriculum", SMALL)
        batch = make_batch(method.plan, 2, 0)
        if 1 in labels:
            batch.labels[1, 0, 0, 0] = IGNORED
        else:
            batch = replace(batch, images=batch.images[:1], labels=batch.labels[:1])
        method._start_at(torch.tensor([[0.1, 0.1]]), torch.tensor([True]))
        for layer in method.regressor.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.p = 0.0
        method.training_step(batch, LEARNING_SIZES)
        gradients.append([weight.grad.clone() for weight in method.regressor.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_the_stages_share_the_budget_and_each_has_its_own_clock(build):
    method = build("curriculum", {"regression_share": 0.25})
    assert method.crops(Clock(0, 0.0, 0.35)) == (2, 0)
    assert method.stage(Clock(50, 0.125, 0.35)) == Clock(50, 0.5)
    method.first_step = 400
    assert method.stage(Clock(700, 0.625, 0.35)) == Clock(300, 0.5, 0.35)
    assert method.crops(Clock(700, 0.26, 0.35)) == (2, 0)  # the segmenter's own warm start
    assert method.crops(Clock(700, 0.625, 0.35)) == (1, 1)


def test_the_paper_learns_sizes_from_ten_crops_and_halves_the_rate_twice(build):
    method = build("curriculum", SMALL, preset="paper")
    assert method.crops(LEARNING_SIZES) == (10, 0)
    assert isinstance(method.regressor_optimiser.optimizer, torch.optim.SGD)
    rates = [method.regressor_schedule(Clock(0, share))[0].learning_rate for share in (0, 0.5, 0.8)]
    assert rates == pytest.approx([2e-3, 1e-3, 5e-4])
    chosen = build("curriculum", SMALL | {"regressor_crops": 3}, preset="paper")
    assert chosen.crops(LEARNING_SIZES) == (3, 0)


def test_the_preset_or_a_setting_chooses_the_regressors_size(build):
    def count(**arguments):
        return sum(
            weight.numel() for weight in build("curriculum", **arguments).regressor.parameters()
        )

    two = {"dimensions": 2, "classes": 2}
    assert count(preset="paper", **two) == 42_124_481
    assert count(**two) < 200_000
    assert count(settings={"regressor": "resnext-50"}, **two) > 20_000_000


def test_the_penalty_is_the_papers_whatever_the_resolution(build):
    """λ (a − V)² / (W·H) in pixels, of V = 64 pixels where 128 are wanted."""
    method = build("curriculum", {"penalty": "voxels"}, dimensions=2, classes=2)
    logits = torch.log(torch.tensor([0.75, 0.25])).reshape(1, 2, 1, 1).expand(1, 2, 16, 16)
    penalty, scalars = method.size_penalty(logits, wanted([[0.5]]))
    assert penalty.item() == pytest.approx(0.01 * (0.9 * 128 - 64) ** 2 / 256, rel=1e-5)
    assert scalars == {"too small": 1.0, "too large": 0.0}


def test_the_relative_weight_is_the_papers_for_its_ventricle(build):
    size = 0.0123
    logits = torch.log(torch.tensor([1 - size / 2, size / 2])).reshape(1, 2, 1, 1)
    logits = logits.expand(1, 2, 256, 256)
    both = [
        build("curriculum", {"penalty": kind}, dimensions=2, classes=2)
        .size_penalty(logits, wanted([[size]]))[0]
        .item()
        for kind in ("voxels", "relative")
    ]
    assert both[0] == pytest.approx(both[1], rel=0.02)


def test_inside_the_band_there_is_no_penalty_and_no_gradient(build):
    method = build("curriculum", dimensions=2, classes=3)
    logits = torch.randn(2, 3, 16, 16, requires_grad=True)
    sizes = soft_sizes(torch.softmax(logits, dim=1)).detach()
    penalty, scalars = method.size_penalty(logits, wanted((1.05 * sizes).tolist()))
    penalty.backward()
    assert penalty.item() == 0.0
    assert (logits.grad == 0).all()
    assert scalars == {"too small": 0.0, "too large": 0.0}


@pytest.mark.parametrize("penalty", ["voxels", "relative"])
@pytest.mark.parametrize("start", [-3.0, 3.0])
def test_sizes_that_are_too_small_or_too_large_are_pulled_into_the_band(build, penalty, start):
    settings = {"penalty": penalty, "relative_weight": 1.0}
    method = build("curriculum", settings, dimensions=3, classes=3)
    logits = torch.zeros(1, 3, 8, 8, 8)
    logits[:, 1:] = start
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.1)
    target = wanted([[0.3, 0.1]])
    for _ in range(150):
        optimiser.zero_grad()
        loss, _ = method.size_penalty(logits, target)
        loss.backward()
        optimiser.step()
    sizes = soft_sizes(torch.softmax(logits.detach(), dim=1))
    assert ((sizes - target.sizes).abs() <= 0.115 * target.sizes).all()


def test_a_negative_regression_wants_an_absent_structure(build, make_batch):
    method = build("curriculum", {"regression_scale": "linear"})
    with torch.no_grad():
        method.regressor.head.weight.zero_()
        method.regressor.head.bias.fill_(-5.0)
    batch = make_batch(method.plan)
    assert (method.wanted_sizes(batch).sizes < 0).all()
    logits = torch.zeros(2, 3, *method.plan.spatial, requires_grad=True)
    penalty, scalars = method.size_penalty(logits, method.wanted_sizes(batch))
    penalty.backward()
    assert scalars["too large"] == 1.0
    assert (logits.grad[:, 0] < 0).all()  # towards the background


def test_the_penalty_reaches_the_segmenter_only_and_through_unlabelled_crops_only(
    build, make_batch
):
    method = build("curriculum")
    batch = make_batch(method.plan)
    batch.images.requires_grad_()
    terms, _ = method.losses(batch, SEGMENTING)
    terms["size"].backward()
    assert (batch.images.grad[:2] == 0).all()
    assert batch.images.grad[2:].abs().sum() > 0
    assert any(weight.grad is not None for weight in method.student.parameters())
    assert all(weight.grad is None for weight in method.regressor.parameters())


def test_a_low_temperature_measures_what_is_chosen(build):
    sizes = []
    for temperature in (1.0, 0.01):
        method = build("curriculum", {"temperature": temperature}, dimensions=2, classes=2)
        logits = torch.zeros(1, 2, 16, 16)
        logits[:, 1, :4] = 1.0
        logits[:, 0, 4:] = 1.0
        _, scalars = method.size_penalty(logits, wanted([[0.25]]))
        sizes.append(scalars["too large"])
    assert sizes == [1.0, 0.0]


@pytest.mark.parametrize(
    ("preset", "chosen", "loss"),
    [
        ("modern", "preset", segmentation_loss),
        ("paper", "preset", cross_entropy),
        ("modern", "cross-entropy", cross_entropy),
        ("paper", "dice+cross-entropy", segmentation_loss),
    ],
)
def test_labelled_crops_teach_by_the_loss_of_the_preset_or_the_setting(
    build, make_batch, preset, chosen, loss
):
    method = build("oracle-size", {"supervised": chosen}, preset=preset)
    method.student.eval()
    batch = make_batch(method.plan)
    expected = loss(method.student(batch.images[:2]).logits, batch.labels)
    torch.testing.assert_close(method.supervised_losses(batch)["supervised"], expected)


def test_the_oracle_holds_sizes_to_the_hidden_labels(build, make_batch):
    method = build("oracle-size")
    batch = make_batch(method.plan)
    target = method.wanted_sizes(batch)
    torch.testing.assert_close(target.sizes, labelled_sizes(batch.hidden_labels, 3))
    assert method.needs_hidden_labels
    assert "upper bound" in method.summary


def test_an_oracle_without_a_label_says_nothing(build, make_batch):
    """A crop of a case without any label gives neither penalty nor gradient."""
    method = build("oracle-size")
    batch = make_batch(method.plan)
    batch.hidden_labels[0] = IGNORED
    logits = torch.randn(2, 3, *method.plan.spatial, requires_grad=True)
    penalty, _ = method.size_penalty(logits, method.wanted_sizes(batch))
    penalty.backward()
    assert (logits.grad[0] == 0).all()
    assert logits.grad[1].abs().sum() > 0
    batch.hidden_labels.fill_(IGNORED)
    assert method.training_step(batch, SEGMENTING)["size"] == 0.0


def test_an_oracle_measures_prediction_and_label_over_the_same_voxels(build, make_batch):
    method = build("oracle-size")
    batch = make_batch(method.plan)
    half = method.plan.spatial[0] // 2
    one_hot = torch.nn.functional.one_hot(batch.hidden_labels, 3).movedim(-1, 1).float()
    batch.hidden_labels[:, half:] = IGNORED
    penalty, _ = method.size_penalty(100 * one_hot, method.wanted_sizes(batch))
    assert penalty.item() == pytest.approx(0.0, abs=1e-6)


def test_a_regressor_starts_at_the_mean_of_the_sizes_that_are_known(build):
    method = build("curriculum", SMALL)
    sizes = torch.tensor([[0.2, 0.1], [0.0, 0.0], [0.4, 0.1]])
    method._start_at(sizes, torch.tensor([True, False, True]))
    expected = outputs_of(torch.tensor([0.3, 0.1]), method.settings.regression_scale)
    torch.testing.assert_close(method.regressor.head.bias.detach(), expected)


def test_a_regressor_that_has_learnt_before_does_not_start_anew(build, make_batch, monkeypatch):
    """Such as one that a run starts from, of which no optimiser comes along."""
    method, another = build("curriculum", SMALL), build("curriculum", SMALL, seed=1)
    method.training_step(make_batch(method.plan, 2, 0), LEARNING_SIZES)
    another.regressor.load_state_dict(method.regressor.state_dict())
    started = []
    monkeypatch.setattr(another, "_start_at", lambda *_: started.append(1))
    another.training_step(make_batch(another.plan, 2, 0), LEARNING_SIZES)
    assert not started


def test_a_larger_budget_does_not_bring_the_first_stage_back(build, make_batch):
    method = build("curriculum", SMALL)
    method.training_step(make_batch(method.plan, 2, 0), LEARNING_SIZES)
    assert method.learns_sizes(Clock(5, 0.1))
    method.training_step(make_batch(method.plan), Clock(4, 0.5))
    assert not method.learns_sizes(Clock(5, 0.1))
    assert "regression" not in method.training_step(make_batch(method.plan, 2, 0), Clock(5, 0.1))


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_run_that_is_resumed_within_either_stage_goes_on_as_it_would_have(
    build, make_batch, share
):
    def steps(method, first, last):
        reports = []
        for step in range(first, last):
            clock = Clock(step, share + 0.002 * step, 0.2)
            torch.manual_seed(step)
            reports.append(method.training_step(make_batch(method.plan, 2, 2, seed=step), clock))
        return reports

    method = build("curriculum", average_decay=0.9)
    if share > 0.2:
        for step in range(3):
            method.training_step(make_batch(method.plan, 2, 0, seed=step), Clock(step, 0.1))
    steps(method, 3, 5)
    other = build("curriculum", average_decay=0.9, seed=7)
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    assert other.first_step == method.first_step == (None if share < 0.2 else 3)
    for one, two in zip(steps(method, 5, 8), steps(other, 5, 8), strict=True):
        assert one == pytest.approx(two, rel=1e-4, abs=1e-7)


def test_the_paper_preset_asks_for_enet_on_slices():
    overrides = Curriculum.plan_overrides("paper")
    assert overrides["network.name"] == "enet"
    assert overrides["network.dimensions"] == 2
    assert Curriculum.plan_overrides("modern") == {}


def test_the_paper_preset_has_the_papers_adam(build):
    paper = build("oracle-size", preset="paper", optimiser="adamw", weight_decay=0.0)
    assert {group["betas"] for group in paper.optimiser.param_groups} == {(0.9, 0.99)}
    modern = build("oracle-size")
    assert {group["betas"] for group in modern.optimiser.param_groups} == {(0.9, 0.999)}
