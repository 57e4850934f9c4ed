"""FixMatch for segmentation."""

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss

END = Clock(step=900, share=0.95, warm_start_share=0.35)
UNCHANGED = {"strength": 0.0, "erased_edge": 0.0}


def test_the_unlabelled_loss_is_that_of_the_paper(build, make_batch):
    """Cross-entropy to the confident labels of the weak view, divided by all voxels."""
    method = build("fixmatch", UNCHANGED | {"confidence_threshold": 0.4, "unlabelled_weight": 2.0})
    batch = make_batch(method.plan, 2, 3)
    weak = torch.softmax(method.student(batch.plain_images[2:]).logits, dim=1)
    confidence, labels = weak.max(dim=1)
    assert 0 < (confidence >= 0.4).float().mean() < 1
    logits = method.student(batch.images).logits
    each = F.cross_entropy(logits[2:], labels, reduction="none") * (confidence >= 0.4)
    terms, scalars = method.losses(batch, END)
    assert terms["pseudo-labels"].item() == pytest.approx(2 * each.mean().item(), rel=1e-4)
    supervised = segmentation_loss(logits[:2], batch.labels).item()
    assert terms["supervised"].item() == pytest.approx(supervised, rel=1e-4)
    assert scalars["kept share"] == pytest.approx((confidence >= 0.4).float().mean().item())


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "dice+cross-entropy"])
def test_a_network_that_is_sure_of_nothing_learns_nothing_from_unlabelled_scans(
    build, make_batch, kind
):
    method = build("fixmatch", {"confidence_threshold": 1.0, "unlabelled_loss": kind})
    loss = method.losses(make_batch(method.plan), END)[0]["pseudo-labels"]
    gradients = torch.autograd.grad(loss, list(method.student.parameters()))
    assert loss.item() == 0
    assert not any(gradient.any() for gradient in gradients)


def test_labels_are_constants_and_come_from_the_weak_view(build, make_batch):
    method = build("fixmatch", {"confidence_threshold": 0.0})
    batch = make_batch(method.plan)
    labels = method.label(batch.plain_images[2:])
    assert not labels.probabilities.requires_grad
    batch.images[2:] = 0.0
    torch.manual_seed(0)
    hidden = method.boxes(batch.images[2:])
    strong = method.strong(torch.zeros_like(batch.images[2:]))
    torch.manual_seed(0)
    loss = method.losses(batch, END)[0]["pseudo-labels"]
    means = strong.mean(dim=(2, 3, 4), keepdim=True)
    strong = torch.where(hidden.unsqueeze(1), means, strong)
    each = F.cross_entropy(method.student(strong).logits, labels.labels, reduction="none")
    assert loss.item() == pytest.approx((each * ~hidden).mean().item(), rel=1e-4)


def test_the_erased_box_stays_below_its_largest_edge_and_can_be_left_out(build):
    images = torch.zeros(200, 1, 16, 16, 16)
    shares = build("fixmatch").boxes(images).float().mean(dim=(1, 2, 3))
    assert shares.min() > 0
    assert shares.max() <= 0.5**3
    assert not build("fixmatch", {"erased_edge": 0.0}).boxes(images).any()


def test_labelling_leaves_batch_statistics_and_the_mode_alone(build, make_batch):
    method = build("fixmatch", preset="paper")
    method.student.train()
    before = [buffer.clone() for buffer in method.student.buffers()]
    first = method.label(make_batch(method.plan).plain_images)
    second = method.label(make_batch(method.plan).plain_images)
    assert torch.equal(first.probabilities, second.probabilities)  # nothing is dropped
    assert method.student.training
    for old, new in zip(before, method.student.buffers(), strict=True):
        assert torch.equal(old, new)


def test_a_step_is_a_function_of_its_seed(build, make_batch):
    reports = []
    for _ in range(2):
        method = build("fixmatch", {"confidence_threshold": 0.0})
        torch.manual_seed(5)
        reports.append(method.training_step(make_batch(method.plan, 1, 1), END))
    assert reports[0] == reports[1]


def test_averaged_weights_answer_in_the_paper_as_its_authors_report(build):
    method = build("fixmatch", preset="paper")
    assert type(method).plan_overrides("paper") == {"recipe.average_decay": 0.999}
    assert type(method).plan_overrides("modern") == {}


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_the_maps_show_labels_confidence_and_what_is_kept(build, make_batch, preset):
    method = build("fixmatch", {"confidence_threshold": 0.5}, preset=preset)
    image = make_batch(method.plan).plain_images
    maps = method.predict(image, native=True)
    assert set(maps.native) == {"pseudo_label", "confidence", "kept"}
    shares = maps.native["pseudo_label"]
    torch.testing.assert_close(maps.native["confidence"], shares.amax(1, keepdim=True))
    assert torch.equal(maps.native["kept"], (maps.native["confidence"] >= 0.5).float())
    assert maps.disagreement.shape == (4, *method.plan.spatial)
    assert 0 < maps.disagreement.max() <= 1
    assert not method.predict(image).native
