"""The mathematics of each method (specification §9)."""

import math

import pytest
import torch

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.bodies.optimisation import learning_rate, optimise
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.planning.presets import MODERN, PAPER

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def test_mean_teacher_consistency_vanishes_where_student_and_teacher_are_one(build, make_batch):
    method = build("mean-teacher", {"noise": 0.0})
    method.averaged.network.load_state_dict(method.student.state_dict())
    images = make_batch(method.plan).plain_images
    student = torch.softmax(method.student(images).logits.float(), dim=1)
    consistency, _ = method.consistency(student, images, END)
    assert consistency.item() == pytest.approx(0, abs=1e-10)


def test_the_consistency_weight_rises_from_almost_nothing_to_the_papers(build):
    method = build("mean-teacher")
    assert method.weight(START) == pytest.approx(0.1 * math.exp(-5))
    assert method.weight(END) == pytest.approx(0.1)


def test_the_teacher_equals_the_student_after_the_first_step(build, make_batch):
    method = build("ua-mt")
    method.training_step(make_batch(method.plan), END)
    for mine, theirs in zip(
        method.averaged.network.parameters(), method.student.parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize("key", ["mean-teacher", "ua-mt"])
def test_a_mean_teacher_shows_student_and_teacher_and_where_they_differ(
    build, make_batch, key, preset
):
    method = build(key, preset=preset)
    with torch.no_grad():
        for weight in method.averaged.network.parameters():
            weight.mul_(1.2)
    images = make_batch(method.plan).plain_images
    maps = method.predict(images, native=True)
    method.averaged.network.eval()
    student, teacher = (
        torch.softmax(network(images).logits, dim=1)
        for network in (method.student, method.averaged)
    )
    torch.testing.assert_close(maps.native["student_prediction"], student)
    torch.testing.assert_close(maps.native["teacher_prediction"], teacher)
    torch.testing.assert_close(maps.probabilities, student if preset == "paper" else teacher)
    torch.testing.assert_close(maps.disagreement, 0.5 * (student - teacher).abs().sum(dim=1))
    assert maps.disagreement.max() > 0


def test_ua_mt_shows_for_how_long_it_believed_its_teacher(build, make_batch):
    method = build("ua-mt", preset="paper")
    images = make_batch(method.plan).plain_images
    head = method.averaged.network.heads.segmentation
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    before = method.predict(images, uncertainty=False, native=True).native["certain_share"]
    assert before.max() < 0.01
    head.bias[0] = 20.0
    after = method.predict(images, uncertainty=False, native=True).native["certain_share"]
    assert (after == 1).all()


def test_ua_mt_counts_more_voxels_as_its_threshold_rises(build, make_batch):
    method = build("ua-mt", preset="paper")
    images = make_batch(method.plan).plain_images
    student = torch.softmax(method.student(images).logits.float(), dim=1)
    shares = []
    for clock in (START, Clock(3000, 0.5), END):
        torch.manual_seed(0)
        _, scalars = method.consistency(student, images, clock)
        shares.append(scalars["certain share"])
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1


def test_ua_mt_gives_a_network_without_dropout_some(build):
    assert "dropout" in build("ua-mt").uncertainty_source
    assert "dropout" not in build("supervised").uncertainty_source


def test_the_papers_student_answers_in_the_paper_preset(build):
    paper, modern = build("mean-teacher", preset="paper"), build("mean-teacher")
    assert paper.answering is paper.student
    assert modern.answering is modern.averaged.network


def test_dtc_consistency_reaches_both_heads_and_its_regression_only_the_distance_head(
    build, make_batch
):
    method = build("dtc")
    # A head that straddles its zero level, where alone a steep transform passes gradients.
    torch.nn.init.normal_(method.student.heads.distance.weight, std=1e-4)
    torch.nn.init.zeros_(method.student.heads.distance.bias)
    terms, _ = method.losses(make_batch(method.plan), END)
    heads = method.student.heads
    both = torch.autograd.grad(
        terms["consistency"],
        [heads.segmentation.weight, heads.distance.weight],
        retain_graph=True,
    )
    assert all(gradient.abs().sum() > 0 for gradient in both)
    segmentation = torch.autograd.grad(
        terms["distance"], heads.segmentation.weight, retain_graph=True, allow_unused=True
    )[0]
    assert segmentation is None
    distance = torch.autograd.grad(terms["supervised"], heads.distance.weight, allow_unused=True)[0]
    assert distance is None


def test_dtc_shows_its_distance_the_masks_of_it_and_where_they_differ(build, make_batch):
    method = build("dtc", classes=2)
    images = make_batch(method.plan).plain_images
    maps = method.predict(images, native=True)
    distance, masks = maps.native["own_distance"], maps.native["distance_masks"]
    assert torch.equal(distance, maps.signed_distance)
    torch.testing.assert_close(masks[:, 1:], torch.sigmoid(-1500 * distance))
    difference = (maps.probabilities - masks)[:, 1].abs()
    torch.testing.assert_close(maps.disagreement, difference)


def test_dtc_speaks_millimetres_where_its_maps_are_clipped_at_a_reach(build):
    assert build("dtc").signed_distance_reach is None
    assert build("dtc", {"normalisation": "clip", "reach": 7.0}).signed_distance_reach == 7.0


def test_a_step_with_a_gradient_that_is_not_finite_is_left_out(build, make_batch):
    method = build("supervised")
    before = [weight.detach().clone() for weight in method.student.parameters()]
    batch = make_batch(method.plan)
    batch.images[0] = float("nan")
    report = method.training_step(batch, END)
    assert report["skipped"] == 1
    for old, new in zip(before, method.student.parameters(), strict=True):
        assert torch.equal(old, new)


@pytest.mark.parametrize(
    ("recipe", "share", "step", "expected"),
    [
        (PAPER, 0.0, 0, 0.01),
        (PAPER, 2499 / 6000, 2499, 0.01),
        (PAPER, 2500 / 6000, 2500, 0.001),
        (PAPER, 1.0, 6000, 0.0001),
        (MODERN, 0.0, 0, 2e-3 / 50),
        (MODERN, 0.5, 500, 1e-3),
        (MODERN, 1.0, 1000, 2e-5),
        (PAPER.model_copy(update={"schedule": "poly"}), 0.5, 3000, 0.01 * 0.5**0.9),
    ],
)
def test_the_learning_rate_is_a_function_of_the_clock(recipe, share, step, expected):
    assert learning_rate(recipe, Clock(step, share)) == pytest.approx(expected)


def test_an_optimiser_step_has_the_learning_rate_of_the_clock(build):
    method = build("supervised", preset="paper")
    loss = sum(weight.square().sum() for weight in method.student.parameters())
    assert optimise(method.fabric, method.student, method.optimiser, loss, PAPER, Clock(0, 0.5))
    assert method.optimiser.param_groups[0]["lr"] == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("key", "values", "words"),
    [
        ("ua-mt", {"pases": 8}, "no setting “pases”"),
        ("ua-mt", {"passes": 0}, "greater than or equal to 2"),
        ("ua-mt", {"noise": "much"}, "cannot be 'much'"),
        ("supervised", {"noise": 1}, "it has: none"),
    ],
)
def test_a_setting_that_is_not_possible_is_refused_in_one_sentence(key, values, words):
    with pytest.raises(SettingsError, match=words):
        settings_of(method_of(key), values)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(SettingsError, match="did you mean “ua-mt”"):
        method_of("uamt")
