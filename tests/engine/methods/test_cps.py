"""Cross pseudo supervision, and what all methods with two networks share."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def gradients(loss, network):
    weights = list(network.parameters())
    return torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)


def reaches(loss, network):
    return sum(g.abs().sum().item() for g in gradients(loss, network) if g is not None) > 0


def test_the_networks_start_from_different_weights(build):
    method = build("cps")
    pairs = zip(method.student.parameters(), method.partner.parameters(), strict=True)
    assert any(not torch.equal(mine, theirs) for mine, theirs in pairs)


def test_each_network_learns_the_labels_that_the_other_gives(build):
    method = build("cps")
    logits, theirs = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    expected = F.cross_entropy(logits, theirs.argmax(1)) + F.cross_entropy(theirs, logits.argmax(1))
    torch.testing.assert_close(method.cross_supervision(logits, theirs), expected)


def test_a_label_has_no_gradient_for_the_network_that_gives_it(build):
    method = build("cps")
    logits = torch.randn(2, 3, 4, 5, requires_grad=True)
    theirs = torch.randn(2, 3, 4, 5, requires_grad=True)
    both = torch.autograd.grad(method.cross_supervision(logits, theirs), [logits, theirs])
    alone = torch.autograd.grad(F.cross_entropy(logits, theirs.argmax(1)), logits)[0]
    torch.testing.assert_close(both[0], alone)
    alone = torch.autograd.grad(F.cross_entropy(theirs, logits.argmax(1)), theirs)[0]
    torch.testing.assert_close(both[1], alone)


def test_each_supervised_term_reaches_its_own_network_and_pseudo_labels_reach_both(
    build, make_batch
):
    method = build("cps")
    terms, scalars = method.losses(make_batch(method.plan), END)
    assert set(terms) == {"supervised", "partner supervised", "pseudo-labels"}
    assert reaches(terms["supervised"], method.student)
    assert not reaches(terms["supervised"], method.partner)
    assert reaches(terms["partner supervised"], method.partner)
    assert not reaches(terms["partner supervised"], method.student)
    assert reaches(terms["pseudo-labels"], method.student)
    assert reaches(terms["pseudo-labels"], method.partner)
    assert 0 <= scalars["agreement"] <= 1


@pytest.mark.parametrize("crops", ["all", "unlabelled"])
def test_pseudo_labels_are_learnt_on_all_crops_or_on_unlabelled_ones(build, make_batch, crops):
    method = build("cps", {"crops": crops})  # instance normalisation: crops do not see each other
    batch, other = make_batch(method.plan, seed=0), make_batch(method.plan, seed=1)
    before = method.losses(batch, END)[0]["pseudo-labels"]
    images = batch.images.clone()
    images[: batch.labelled] = other.images[: batch.labelled]
    after = method.losses(replace(batch, images=images), END)[0]["pseudo-labels"]
    assert torch.allclose(before, after) == (crops == "unlabelled")


def test_ignored_voxels_are_still_labelled_by_the_other_network(build, make_batch):
    method = build("cps")
    batch = make_batch(method.plan)
    blank = replace(batch, labels=torch.full_like(batch.labels, 255))
    terms, _ = method.losses(batch, END)
    without, _ = method.losses(blank, END)
    torch.testing.assert_close(without["pseudo-labels"], terms["pseudo-labels"])
    assert all(torch.isfinite(term) for term in without.values())


def test_the_weight_rises_or_is_there_from_the_start(build):
    rising, constant = build("cps"), build("cps", {"ramp": "none", "pseudo_weight": 1.5})
    assert rising.weight(START) == pytest.approx(0.1 * math.exp(-5))
    assert rising.weight(END) == pytest.approx(0.1)
    assert constant.weight(START) == constant.weight(END) == 1.5


def test_one_step_changes_both_networks_and_both_averages(build, make_batch):
    method = build("cps")
    before = {
        name: [weight.detach().clone() for weight in network.parameters()]
        for name, network in method.networks().items()
    }
    assert set(before) == {"student", "averaged", "partner", "averaged partner"}
    assert "skipped" not in method.training_step(make_batch(method.plan, 1, 1), END)
    for name, network in method.networks().items():
        pairs = zip(before[name], network.parameters(), strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs), name
    assert method.averaged.updates == method.averaged_partners["partner"].updates == 1


def test_both_averages_go_on_with_the_decay_where_they_stood(build, make_batch):
    method, other = build("cps"), build("cps", seed=3)
    for _ in range(3):
        method.training_step(make_batch(method.plan), END)
    other.load_state_dict(method.state_dict())
    assert other.averaged.updates == other.averaged_partners["partner"].updates == 3


def test_a_gradient_that_is_not_finite_is_reported_and_changes_neither_network(build, make_batch):
    method = build("cps")
    before = [weight.detach().clone() for weight in method.partner.parameters()]
    batch = make_batch(method.plan)
    batch.images[0] = float("nan")
    assert method.training_step(batch, END)["skipped"] == 1
    for old, new in zip(before, method.partner.parameters(), strict=True):
        assert torch.equal(old, new)


def test_the_warm_start_teaches_both_networks_from_the_labels(build, make_batch):
    method = build("cps")
    terms = method.supervised_losses(make_batch(method.plan))
    assert set(terms) == {"supervised", "partner supervised"}
    assert reaches(terms["supervised"], method.student)
    assert reaches(terms["partner supervised"], method.partner)


def test_the_paper_preset_has_the_networks_themselves_and_the_papers_schedule(build):
    method = build("cps", preset="paper")
    assert method.answering is method.student
    assert method.answering_partner is method.partner
    assert set(method.networks()) == {"student", "partner"}
    assert method_of("cps").plan_overrides("paper") == {"recipe.schedule": "poly"}
    assert method_of("cps").plan_overrides("modern") == {}


@pytest.mark.parametrize("classes", [2, 4])
def test_the_maps_show_both_answers_and_where_they_differ(build, make_batch, classes):
    alone = build("cps", classes=classes)
    together = build("cps", {"answer": "mean"}, classes=classes)
    image = make_batch(alone.plan).plain_images
    one, both = alone.predict(image, native=True), together.predict(image, uncertainty=False)
    theirs = one.native["other_network"]
    assert set(one.native) == {shown.key for shown in alone.native_maps}
    torch.testing.assert_close(both.probabilities, (one.probabilities + theirs) / 2)
    half = 0.5 * (one.probabilities - theirs).abs().sum(dim=1)
    torch.testing.assert_close(one.disagreement, half)
    assert both.disagreement is both.uncertainty is None


def test_a_plain_prediction_does_not_ask_the_partner(build, make_batch):
    method = build("cps")
    calls = []
    method.answering_partner.register_forward_hook(lambda *_: calls.append(1))
    image = make_batch(method.plan).plain_images
    method.predict(image, uncertainty=False)
    assert not calls
    method.predict(image)
    assert len(calls) == 1
