"""Mutual consistency of three decoders (MC-Net+)."""

import math
from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.networks.multi_decoder import MultiDecoder
from napari_semiseg.engine.networks.vnet import VNet
from napari_semiseg.engine.parts.segmentation_loss import dice_loss, segmentation_loss
from napari_semiseg.engine.planning.machine import Machine

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def branches(count=3, classes=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, classes, 3, 4, 5, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_the_student_has_three_decoders_on_the_trunk_of_its_preset(build, preset):
    network = build("mc-net-plus", preset=preset).student.module
    assert isinstance(network, MultiDecoder)
    assert isinstance(network.trunk, VNet) == (preset == "paper")


@pytest.mark.parametrize("name", ["monai:SegResNet", "paper-unet"])
def test_another_network_is_refused_in_one_sentence(build, name):
    plan = build("mc-net-plus").plan
    plan = plan.model_copy(update={"network": plan.network.model_copy(update={"name": name})})
    settings = settings_of(method_of("mc-net-plus"), {})
    with pytest.raises(SettingsError, match=f"cannot be built on the network “{name}”; set"):
        assemble("mc-net-plus", plan, settings, Machine("cpu", "CPU", 2**33, 1, "32-true"))


def test_two_classes_give_the_papers_loss(build):
    method = build("mc-net-plus")
    logits = branches()
    p = [torch.softmax(scores, dim=1) for scores in logits]
    sharp = [q**10 / (q**10 + (1 - q) ** 10) for q in p]
    expected = sum(((p[i] - sharp[j]) ** 2).mean() for i in range(3) for j in range(3) if i != j)
    torch.testing.assert_close(method.mutual_consistency(logits), expected)


def test_decoders_that_agree_and_are_decided_cost_nothing(build):
    method = build("mc-net-plus")
    decided = 50 * branches(1)[0].sign()
    assert method.mutual_consistency([decided] * 3).item() == pytest.approx(0, abs=1e-8)
    undecided = torch.full((1, 2, 3, 3), 0.3)
    undecided[:, 0] = 0.0
    assert method.mutual_consistency([undecided] * 3).item() > 0.1


def test_targets_are_taken_as_given_unless_set_otherwise(build):
    logits = [scores.requires_grad_() for scores in branches()]
    given = build("mc-net-plus").mutual_consistency(logits)
    through = build("mc-net-plus", {"peers": "undetached"}).mutual_consistency(logits)
    torch.testing.assert_close(given, through)
    mine = torch.autograd.grad(given, logits)
    theirs = torch.autograd.grad(through, logits)
    assert all(gradient.abs().sum() > 0 for gradient in mine)
    assert all(not torch.allclose(a, b) for a, b in zip(mine, theirs, strict=True))


def test_a_detached_target_pulls_only_the_decoder_that_is_compared_with_it(build):
    method = build("mc-net-plus")
    logits = [scores.requires_grad_() for scores in branches()]
    found = torch.autograd.grad(method.mutual_consistency(logits), logits)
    p = torch.softmax(logits[0], dim=1)
    sharp = [torch.softmax(scores / 0.1, dim=1).detach() for scores in logits[1:]]
    alone = sum(((p - target) ** 2).mean() for target in sharp)
    torch.testing.assert_close(found[0], torch.autograd.grad(alone, logits[0])[0])


def test_the_consistency_reads_labelled_and_unlabelled_crops_and_no_labels(build, make_batch):
    method = build("mc-net-plus")
    batch = make_batch(method.plan)
    terms, scalars = method.losses(batch, END)
    every = method.mutual_consistency(method.student(batch.images).branches)
    torch.testing.assert_close(terms["consistency"], 0.1 * every)
    assert 0 <= scalars["disagreement"] <= 1
    ignored = method.losses(replace(batch, labels=torch.full_like(batch.labels, 255)), END)[0]
    torch.testing.assert_close(ignored["consistency"], terms["consistency"])


@pytest.mark.parametrize("supervised", ["dice", "dice+cross-entropy"])
def test_every_decoder_learns_from_the_labels(build, make_batch, supervised):
    method = build("mc-net-plus", {"supervised": supervised})
    batch = make_batch(method.plan)
    logits = [z[: batch.labelled] for z in method.student(batch.images).branches]
    if supervised == "dice":
        each = [dice_loss(torch.softmax(z, dim=1), batch.labels) for z in logits]
    else:
        each = [segmentation_loss(z, batch.labels) for z in logits]
    loss = method.losses(batch, END)[0]["supervised"]
    torch.testing.assert_close(loss, 0.5 * sum(each))
    network = method.student.module
    heads = [network.trunk.heads.segmentation, *(other.head for other in network.others)]
    found = torch.autograd.grad(loss, [head.weight for head in heads])
    assert all(gradient.abs().sum() > 0 for gradient in found)


def test_the_weight_rises_to_its_end(build, make_batch):
    method = build("mc-net-plus")
    batch = make_batch(method.plan)
    assert method.losses(batch, START)[1]["weight"] == pytest.approx(0.1 * math.exp(-5))
    assert method.losses(batch, END)[1]["weight"] == pytest.approx(0.1)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_first_decoder_answers_or_all_do(build, make_batch, classes):
    first = build("mc-net-plus", classes=classes)
    mean = build("mc-net-plus", {"answer": "mean"}, classes=classes)
    image = make_batch(first.plan).plain_images
    maps = first.predict(image, native=True)
    assert set(maps.native) == {shown.key for shown in first.native_maps}
    torch.testing.assert_close(maps.native["transposed_decoder"], maps.probabilities)
    together = mean.predict(image, uncertainty=False)
    torch.testing.assert_close(together.probabilities, sum(maps.native.values()) / 3)
    assert together.disagreement is None
    assert maps.disagreement.max() > 0
    plain = first.predict(image, uncertainty=False)
    torch.testing.assert_close(plain.probabilities, maps.probabilities)


def test_a_plain_prediction_runs_the_first_decoder_alone(build, make_batch):
    method = build("mc-net-plus")
    calls = []
    for other in method.answering.module.others:
        other.head.register_forward_hook(lambda *_: calls.append(1))
    image = make_batch(method.plan).plain_images
    method.predict(image, uncertainty=False)
    assert not calls
    method.predict(image)
    assert len(calls) == 2
