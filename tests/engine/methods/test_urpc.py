"""Uncertainty-rectified pyramid consistency (specification §7.8, §9)."""

import math

import pytest
import torch

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.networks.pyramid_unet import PyramidUNet
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.planning.machine import Machine

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def rebuilt(plan, **network):
    """URPC on ``plan`` with another network."""
    changed = plan.model_copy(update={"network": plan.network.model_copy(update=network)})
    machine = Machine("cpu", "CPU", 2**33, 1, "32-true")
    return assemble("urpc", changed, settings_of(method_of("urpc"), {}), machine)


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_the_student_is_a_pyramid_unet_in_the_dress_of_its_preset(build, preset):
    network = build("urpc", preset=preset).student.module
    assert isinstance(network, PyramidUNet)
    assert network.paper == (preset == "paper")


def test_the_paper_preset_takes_the_papers_unet_and_schedule():
    wanted = method_of("urpc").plan_overrides("paper")
    assert wanted == {
        "network.name": "paper-unet",
        "network.normalisation": "instance",
        "recipe.schedule": "poly",
    }
    assert method_of("urpc").plan_overrides("modern") == {}


@pytest.mark.parametrize("name", ["monai:SegResNet", "nothing"])
def test_a_network_without_a_pyramid_is_refused_in_one_sentence(build, name):
    with pytest.raises(SettingsError, match=f"cannot be built on the network “{name}”; set"):
        rebuilt(build("urpc").plan, name=name)


def test_a_network_of_one_level_is_refused_in_one_sentence(build):
    with pytest.raises(SettingsError, match="leave the network only one"):
        rebuilt(build("urpc").plan, strides=((2, 2, 2),))


def test_every_scale_learns_from_the_labels_by_the_same_share(build, make_batch):
    method = build("urpc")
    batch = make_batch(method.plan)
    terms, _ = method.losses(batch, END)
    branches = method.student(batch.images).branches
    each = [segmentation_loss(logits[: batch.labelled], batch.labels) for logits in branches]
    torch.testing.assert_close(terms["supervised"], sum(each) / len(each))
    network = method.student.module
    heads = [network.heads.segmentation.weight, network.coarse_heads[0].weight]
    for term in terms.values():
        found = torch.autograd.grad(term, heads, retain_graph=True)
        assert all(gradient.abs().sum() > 0 for gradient in found)


def test_the_consistency_reads_the_unlabelled_crops_alone(build, make_batch):
    method = build("urpc")  # instance normalisation: crops do not see each other
    batch, other = make_batch(method.plan, seed=0), make_batch(method.plan, seed=1)
    before = method.losses(batch, END)[0]
    batch.images[: batch.labelled] = other.images[: batch.labelled]
    after = method.losses(batch, END)[0]
    torch.testing.assert_close(before["consistency"], after["consistency"])
    assert before["supervised"] != after["supervised"]


def test_scales_that_say_the_same_cost_nothing(build, make_batch):
    method = build("urpc")
    network = method.student.module
    for head in (network.heads.segmentation, *network.coarse_heads):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    terms, scalars = method.losses(make_batch(method.plan), END)
    assert terms["consistency"].item() == pytest.approx(0, abs=1e-7)
    assert scalars["discrepancy"] == pytest.approx(0, abs=1e-6)


def test_the_weight_rises_to_the_papers(build, make_batch):
    method = build("urpc")
    batch = make_batch(method.plan)
    assert method.losses(batch, START)[1]["weight"] == pytest.approx(0.1 * math.exp(-5))
    assert method.losses(batch, END)[1]["weight"] == pytest.approx(0.1)


@pytest.mark.parametrize("divergence", ["of_mean", "of_scale"])
def test_either_divergence_trains(build, make_batch, divergence):
    method = build("urpc", {"divergence": divergence})
    report = method.training_step(make_batch(method.plan, 1, 1), END)
    assert math.isfinite(report["consistency"])
    assert report["consistency"] > 0


def test_the_finest_scale_answers_and_the_maps_show_all(build, make_batch):
    method = build("urpc")
    method = rebuilt(method.plan, strides=((1, 2, 2), (2, 2, 2), (2, 2, 2)))
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    answers = [torch.softmax(z, 1) for z in method.answering(image).branches]
    shape = method.plan.spatial
    torch.testing.assert_close(maps.probabilities, answers[0])
    torch.testing.assert_close(maps.native["scale_2"], answers[1])
    torch.testing.assert_close(maps.native["scale_3"], answers[2])
    assert "scale_4" not in maps.native  # three levels give three scales
    torch.testing.assert_close(maps.native["scale_mean"], sum(answers) / 3)
    assert set(maps.native) < {shown.key for shown in method.native_maps}
    discrepancy = maps.native["scale_discrepancy"]
    assert discrepancy.shape == (4, 1, *shape)
    assert 0 <= discrepancy.min() <= discrepancy.max() <= 1
    assert maps.disagreement.shape == (4, *shape)
    assert method.uncertainty_source == "mean of 3 scales"


def test_a_plain_prediction_makes_one_answer_and_no_map(build, make_batch):
    method = build("urpc")
    image = make_batch(method.plan).plain_images
    plain, whole = method.predict(image, uncertainty=False), method.predict(image)
    assert plain.uncertainty is plain.disagreement is None
    assert not plain.native
    assert not whole.native
    torch.testing.assert_close(plain.probabilities, whole.probabilities)
