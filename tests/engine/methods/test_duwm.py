"""The double-uncertainty weighted method, re-interpreted (specification §7.6)."""

import math

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.parts.uncertainty import has_dropout, normalised_entropy

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def test_it_says_that_it_is_a_reinterpretation():
    method = method_of("duwm")
    assert "re-interpretation" in method.title
    assert "re-interpretation" in method.summary


def test_both_uncertainties_are_shares(build, make_batch):
    method = build("duwm", {"passes": 3}, classes=4)
    of_answer, of_features = method.uncertainties(make_batch(method.plan).plain_images)
    for uncertainty in (of_answer, of_features):
        assert uncertainty.shape == (4, *method.plan.spatial)
        assert 0 <= uncertainty.min() <= uncertainty.max() <= 1
    assert of_features.amax(dim=(1, 2, 3)) == pytest.approx(1.0)
    assert of_features.amin(dim=(1, 2, 3)) == pytest.approx(0.0)


def test_the_losses_are_those_of_the_specification(build, make_batch):
    method = build("duwm", {"passes": 2, "noise": 0.0, "entropy_weight": 0.5})
    batch = make_batch(method.plan)
    generator = torch.Generator().manual_seed(0)
    shape = (4, *method.plan.spatial)
    fixed = torch.rand(shape, generator=generator), torch.rand(shape, generator=generator)
    method.uncertainties = lambda images: fixed
    for layer in method.student.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    for layer in method.averaged.network.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    terms, scalars = method.losses(batch, END)

    student, teacher = method.student(batch.images), method.averaged(batch.plain_images)
    p, q = torch.softmax(student.logits, 1), torch.softmax(teacher.logits, 1)
    answers = (torch.exp(-fixed[0]) * (p - q).square().mean(1)).mean()
    answers = answers + 0.5 * normalised_entropy(p).mean()
    features = (
        torch.exp(-fixed[1]) * (student.features - teacher.features).square().mean(1)
    ).mean()
    weight = scalars["weight"]
    assert weight == pytest.approx(0.1)
    torch.testing.assert_close(
        terms["answer consistency"], weight * (1 - fixed[0].mean()) * answers
    )
    torch.testing.assert_close(
        terms["feature consistency"], weight * (1 - fixed[1].mean()) * features
    )


def test_features_teach_all_but_the_head_and_answers_the_head_too(build, make_batch):
    method = build("duwm", {"passes": 2})
    terms, _ = method.losses(make_batch(method.plan), END)
    head = method.student.module.heads.segmentation.weight
    first = method.student.module.encoder[0][0].weight
    for name, taught in (("answer consistency", True), ("feature consistency", False)):
        found = torch.autograd.grad(
            terms[name], [first, head], retain_graph=True, allow_unused=True
        )
        assert found[0].abs().sum() > 0
        assert (found[1] is not None) == taught
    assert all(weight.grad is None for weight in method.averaged.network.parameters())


def test_the_entropy_term_makes_the_student_more_certain(build, make_batch):
    """The additive uncertainty has to be the student's: the teacher's would have no gradient."""
    found = []
    for weight in (0.0, 1.0):
        method = build("duwm", {"passes": 2, "entropy_weight": weight})
        batch = make_batch(method.plan)
        torch.manual_seed(0)
        loss = method.losses(batch, END)[0]["answer consistency"]
        weights = list(method.student.parameters())
        found.append(torch.autograd.grad(loss, weights, allow_unused=True))

    def entropy():
        logits = method.student.eval()(batch.images).logits
        return normalised_entropy(torch.softmax(logits, dim=1)).mean().item()

    before = entropy()
    with torch.no_grad():
        for weight, without, with_entropy in zip(weights, *found, strict=True):
            if with_entropy is not None:
                weight -= 10 * (with_entropy - without)
    assert entropy() < before


def test_a_network_without_dropout_gets_some(build):
    method = build("duwm")
    assert has_dropout(method.student)
    assert has_dropout(method.averaged.network)


def test_the_weight_rises_to_its_end(build):
    method = build("duwm")
    assert method.weight(START) == pytest.approx(0.1 * math.exp(-5))
    assert method.weight(END) == pytest.approx(0.1)


def test_the_maps_show_both_uncertainties_where_they_are_asked_for(build, make_batch):
    method = build("duwm")
    image = make_batch(method.plan).plain_images
    assert not {"segmentation_uncertainty", "feature_uncertainty"} & set(
        method.predict(image).native
    )
    maps = method.predict(image, native=True)
    assert set(maps.native) == {shown.key for shown in method.native_maps}
    for key in ("segmentation_uncertainty", "feature_uncertainty"):
        assert maps.native[key].shape == (4, 1, *method.plan.spatial)
        assert 0 <= maps.native[key].min() <= maps.native[key].max() <= 1
        assert maps.native[key].max() > 0
    plain = method.predict(image, uncertainty=False)
    torch.testing.assert_close(plain.probabilities, maps.probabilities)
