"""UniMatch."""

from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.pseudo_labels import pseudo_label_loss
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

END = Clock(step=900, share=0.95, warm_start_share=0.35)
UNPERTURBED = {"strength": 0.0, "mixing_chance": 0.0, "feature_dropout": 0.0}


def test_a_box_needs_two_unlabelled_crops(build):
    assert build("unimatch").crops(END) == (1, 2)
    assert build("unimatch").crops(Clock(0, 0.0, 0.35)) == (2, 0)
    assert build("unimatch", preset="paper").crops(Clock(0, 0.0)) == (2, 2)
    assert build("unimatch", unlabelled=3).crops(END) == (1, 3)


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "dice+cross-entropy"])
def test_the_streams_weigh_what_the_paper_says(build, make_batch, kind):
    """Unperturbed, all three streams are the same loss: λ for one, μ/2 for each of two."""
    settings = {"confidence_threshold": 0.4, "feature_weight": 0.3, "strong_weight": 0.8}
    method = build("unimatch", UNPERTURBED | settings | {"unlabelled_loss": kind})
    batch = make_batch(method.plan, 1, 3)
    batch = replace(batch, images=batch.plain_images)
    logits = method.student(batch.images).logits
    confidence, labels = torch.softmax(logits[1:], dim=1).max(dim=1)
    labels = labels.masked_fill(confidence < 0.4, 255)
    loss = pseudo_label_loss(logits[1:], labels, kind).item()
    assert loss > 0
    terms, _ = method.losses(batch, END)
    assert terms["strong views"].item() == pytest.approx(0.8 * loss, rel=1e-4)
    assert terms["features"].item() == pytest.approx(0.3 * loss, rel=1e-4)


def test_dropped_features_do_not_touch_the_labelled_crops(build, make_batch):
    method = build("unimatch", {"confidence_threshold": 0.0})
    batch = make_batch(method.plan)
    terms, _ = method.losses(batch, END)
    plain = segmentation_loss(method.student(batch.images[:2]).logits, batch.labels)
    assert terms["supervised"].item() == pytest.approx(plain.item(), rel=1e-4)


def test_features_are_dropped_in_the_weak_view_only(build, make_batch):
    method = build("unimatch", {"feature_dropout": 0.5})
    batch = make_batch(method.plan)
    _, dropped = method.weak_pass(batch)
    plain = method.student(batch.plain_images[2:]).logits
    assert not torch.allclose(dropped, plain, atol=1e-3)


def test_without_a_weight_the_feature_stream_is_left_out(build, make_batch):
    method = build("unimatch", {"feature_weight": 0.0, "confidence_threshold": 0.0})
    terms, _ = method.losses(make_batch(method.plan), END)
    assert set(terms) == {"supervised", "strong views"}


@pytest.mark.parametrize("dimensions", [2, 3])
def test_pasted_boxes_bring_their_labels_with_them(build, dimensions):
    method = build("unimatch", {"strength": 0.0, "mixing_chance": 1.0}, dimensions=dimensions)
    labels = torch.arange(4).reshape(4, *(1,) * dimensions).expand(4, *method.plan.spatial)
    images, mixed = method.strong(labels.unsqueeze(1).float(), labels)
    assert torch.equal(images[:, 0].long(), mixed)
    for crop in range(4):
        assert set(mixed[crop].unique().tolist()) == {crop, (crop - 1) % 4}
        assert 0 < (mixed[crop] != crop).float().mean() <= 0.5


def test_the_two_strong_views_are_different(build, make_batch):
    method = build("unimatch")
    images = make_batch(method.plan).images
    labels = torch.zeros(images[:, 0].shape, dtype=torch.long)
    torch.manual_seed(0)
    first, second = method.strong(images, labels)[0], method.strong(images, labels)[0]
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("stream", ["strong views", "features"])
def test_each_stream_teaches_encoder_decoder_and_head(build, make_batch, stream):
    method = build("unimatch", {"confidence_threshold": 0.0})
    loss = method.losses(make_batch(method.plan), END)[0][stream]
    student = method.student
    places = [student.encoder[0][0], student.encoder[-1][0], student.heads.segmentation]
    gradients = torch.autograd.grad(loss, [place.weight for place in places])
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_a_single_unlabelled_crop_is_learnt_without_a_partner(build, make_batch):
    method = build("unimatch", {"confidence_threshold": 0.0})
    report = method.training_step(make_batch(method.plan, 1, 1), END)
    assert report["strong views"] > 0


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_disagreement_is_what_half_of_the_features_change(build, make_batch, preset):
    method = build("unimatch", preset=preset)
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    assert 0 < maps.disagreement.max() <= 1
    assert set(maps.native) == {"pseudo_label", "confidence", "kept"}
    steady = build("unimatch", {"feature_dropout": 0.0}, preset=preset)
    assert steady.predict(image).disagreement.max() == pytest.approx(0, abs=1e-5)
