"""The Π-model (specification §7.14)."""

from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def gradient(loss, method):
    weights = [weight for weight in method.student.parameters() if weight.requires_grad]
    found = torch.autograd.grad(loss, weights, retain_graph=True, allow_unused=True)
    return torch.cat([each.flatten() for each in found if each is not None])


def drop_nothing(method):
    for layer in method.student.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0


def consistency(method, batch):
    terms, _ = method.losses(batch, END)
    return terms["consistency"]


def test_without_noise_and_dropout_both_passes_are_one(build, make_batch):
    method = build("pi-model", {"noise": 0.0})
    drop_nothing(method)
    batch = make_batch(method.plan)
    batch = replace(batch, images=batch.plain_images)
    assert consistency(method, batch).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("settings", [{"noise": 0.1}, {"noise": 0.0}])
def test_noise_or_dropout_alone_makes_the_passes_differ(build, make_batch, settings):
    method = build("pi-model", settings)
    if settings["noise"]:
        drop_nothing(method)
    batch = make_batch(method.plan)
    batch = replace(batch, images=batch.plain_images)
    assert consistency(method, batch).item() > 0


def test_by_default_both_passes_learn(build, make_batch):
    """The difference of two passes: its gradient is the sum of what each of them would get."""
    both, first = (build("pi-model", {"noise": 0.0, "gradient": who}) for who in ("both", "first"))
    batch = make_batch(both.plan)
    for method in (both, first):
        drop_nothing(method)
    swapped = replace(batch, images=batch.plain_images, plain_images=batch.images)
    one = gradient(consistency(first, batch), first)
    other = gradient(consistency(first, swapped), first)
    together = gradient(consistency(both, batch), both)
    assert one.abs().sum() > 0
    torch.testing.assert_close(together, one + other, rtol=1e-3, atol=1e-7)


def test_labels_do_not_enter_the_consistency(build, make_batch):
    method = build("pi-model", {"noise": 0.0})
    drop_nothing(method)
    batch = make_batch(method.plan)
    ignored = replace(batch, labels=torch.full_like(batch.labels, 255))
    terms, _ = method.losses(ignored, END)
    assert terms["supervised"].item() == pytest.approx(0, abs=1e-6)
    assert terms["consistency"].item() == pytest.approx(consistency(method, batch).item())


def test_the_weight_rises_over_the_ramp(build, make_batch):
    method = build("pi-model", {"consistency_weight": 2.0, "ramp_share": 0.5})
    batch = make_batch(method.plan)
    weights = [
        method.losses(batch, Clock(0, share))[1]["weight"] for share in (0.0, 0.25, 0.5, 1.0)
    ]
    assert weights[0] == pytest.approx(2 * 0.0067, rel=0.01)
    assert weights[1] == pytest.approx(2 * 0.2865, rel=0.01)
    assert weights[2:] == [2.0, 2.0]


@pytest.mark.parametrize(("labelled", "unlabelled"), [(1, 1), (3, 2)])
def test_any_number_of_crops_will_do(build, make_batch, labelled, unlabelled):
    method = build("pi-model")
    report = method.training_step(make_batch(method.plan, labelled, unlabelled), END)
    assert report["consistency"] > 0


def test_the_disagreement_is_that_of_two_passes(build, make_batch):
    method = build("pi-model", preset="paper")
    image = make_batch(method.plan).plain_images
    maps = method.predict(image)
    assert maps.disagreement.shape == (4, *method.plan.spatial)
    assert 0 < maps.disagreement.max() <= 1
    assert method.predict(image, uncertainty=False).disagreement is None
