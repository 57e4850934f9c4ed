"""Bidirectional copy-paste."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, segmentation_loss

END = Clock(step=900, share=0.95, warm_start_share=0.35)


def seen_by(network):
    """Collect what a network is shown in training."""
    seen = []
    network.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0].clone()) if module.training else None
    )
    return seen


def half_and_half(logits, labels, there):
    """Half cross-entropy, half Dice over the chosen voxels, as in the authors' loss."""
    probabilities = torch.softmax(logits, dim=1)
    entropy = F.cross_entropy(logits, labels, reduction="none")[there].mean()
    dice = []
    for index in range(1, logits.shape[1]):
        score = probabilities[:, index][there]
        truth = (labels[there] == index).float()
        overlap = 2 * (score * truth).sum() + 1e-5
        dice.append(1 - overlap / (score.square().sum() + truth.sum() + 1e-5))
    return 0.5 * (entropy + torch.stack(dice).mean())


@pytest.mark.parametrize("counts", [(1, 1), (2, 2), (1, 3), (3, 1)])
def test_boxes_go_both_ways_between_labelled_and_unlabelled_crops(build, make_batch, counts):
    method = build("bcp")
    batch = make_batch(method.plan, *counts)
    batch.images[: counts[0]] = 1.0
    batch.images[counts[0] :] = 2.0
    seen = seen_by(method.student)
    method.student.train()
    method.losses(batch, END)
    (mixes,) = seen
    into_labelled, into_unlabelled = mixes.chunk(2)
    assert len(into_labelled) == max(counts)
    box = (10 / 16) ** 3  # two thirds of 16 voxels, rounded down
    for crop in into_labelled:
        assert (crop == 2).float().mean() == pytest.approx(box)
    for crop in into_unlabelled:
        assert (crop == 1).float().mean() == pytest.approx(box)


@pytest.mark.parametrize("counts", [(1, 1), (3, 2)])
def test_the_loss_is_that_of_the_paper(build, make_batch, counts):
    """Real labels weigh 1 in both mixes, the teacher's α."""
    method = build("bcp", {"unlabelled_weight": 0.3})
    split = counts[0]
    batch = make_batch(method.plan, *counts)
    labels = method.label(batch.plain_images[split:]).labels
    pairs = torch.arange(max(counts))
    real, other_real = batch.labels[pairs % split], batch.labels[(pairs + 1) % split]
    pseudo, unlabelled = labels[pairs % counts[1]], batch.images[split:][pairs % counts[1]]
    torch.manual_seed(3)
    boxes = method.boxes(unlabelled)
    shown = boxes.unsqueeze(1)
    first = torch.where(shown, unlabelled, batch.images[pairs % split])
    second = torch.where(shown, batch.images[(pairs + 1) % split], unlabelled)
    first, second = method.student(first).logits, method.student(second).logits
    torch.manual_seed(3)
    terms, _ = method.losses(batch, END)
    expected = half_and_half(first, real, ~boxes) + half_and_half(second, other_real, boxes)
    assert terms["supervised"].item() == pytest.approx(expected.item(), rel=1e-4)
    expected = half_and_half(first, pseudo, boxes) + half_and_half(second, pseudo, ~boxes)
    assert terms["pseudo-labels"].item() == pytest.approx(0.3 * expected.item(), rel=1e-4)


def test_with_two_labelled_crops_the_directions_have_different_partners(build, make_batch):
    method = build("bcp", {"box_edge": 0.5})
    batch = make_batch(method.plan)
    for index in range(4):
        batch.images[index] = float(index)
    seen = seen_by(method.student)
    method.student.train()
    method.losses(batch, END)
    found = [set(crop.unique().tolist()) for crop in seen[0]]
    assert found == [{0.0, 2.0}, {1.0, 3.0}, {1.0, 2.0}, {0.0, 3.0}]


def test_ignored_voxels_of_a_label_count_nowhere(build, make_batch):
    method = build("bcp")
    batch = make_batch(method.plan)
    batch = replace(batch, labels=torch.full_like(batch.labels, IGNORED))
    assert method.losses(batch, END)[0]["supervised"].item() == 0


@pytest.mark.parametrize("clear", [True, False])
def test_islands_of_the_teacher_are_cleared_where_so_set(build, clear):
    method = build("bcp", {"largest_component": clear})
    probabilities = torch.full((1, 3, 8, 8, 8), 0.2)
    probabilities[:, 0] = 0.5
    probabilities[0, 1, :3, :3, :3] = probabilities[0, 1, 7, 7, 7] = 0.9
    labels = method.choose(probabilities)
    assert (labels == 1).sum() == (27 if clear else 28)


def test_pre_training_mixes_labelled_crops_with_their_labels(build, make_batch):
    method = build("bcp")
    batch = make_batch(method.plan, 3, 0)
    torch.manual_seed(2)
    shown = method.boxes(batch.images)
    images = torch.where(shown.unsqueeze(1), batch.images.roll(1, 0), batch.images)
    labels = torch.where(shown, batch.labels.roll(1, 0), batch.labels)
    expected = segmentation_loss(method.student(images).logits, labels).item()
    torch.manual_seed(2)
    loss = method.supervised_losses(batch)["supervised"].item()
    assert loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("mixed", "count"), [(False, 3), (True, 1)])
def test_pre_training_without_a_partner_is_supervised_training(build, make_batch, mixed, count):
    method = build("bcp", {"mixed_pretraining": mixed})
    batch = make_batch(method.plan, count, 0)
    expected = segmentation_loss(method.student(batch.images).logits, batch.labels).item()
    loss = method.supervised_losses(batch)["supervised"].item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_pre_training_is_the_warm_start_or_a_share_of_its_own(build):
    paper, modern = build("bcp", preset="paper"), build("bcp")
    assert paper.crops(Clock(0, 0.11)) == (4, 0)
    assert paper.crops(Clock(0, 0.12)) == (2, 2)
    assert modern.crops(Clock(0, 0.3, warm_start_share=0.35)) == (2, 0)
    assert modern.crops(Clock(0, 0.4, warm_start_share=0.35)) == (1, 1)


@pytest.mark.parametrize("term", ["supervised", "pseudo-labels"])
def test_both_terms_reach_the_student_and_never_the_teacher(build, make_batch, term):
    method = build("bcp")
    loss = method.losses(make_batch(method.plan), END)[0][term]
    gradients = torch.autograd.grad(loss, list(method.student.parameters()))
    assert gradients[0].abs().sum() > 0
    assert not any(weight.requires_grad for weight in method.averaged.network.parameters())


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_the_maps_show_the_cleared_label_of_the_teacher(build, make_batch, preset):
    method = build("bcp", preset=preset)
    method.training_step(make_batch(method.plan), END)
    method.training_step(make_batch(method.plan, seed=1), END)
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    assert set(maps.native) == {"pseudo_label", "confidence", "cleared"}
    labels = method.label(image)
    assert torch.equal(maps.native["pseudo_label"].argmax(1), labels.labels)
    assert torch.equal(maps.native["cleared"][:, 0], labels.corrected.float())
    assert 0 < maps.disagreement.max() <= 1
