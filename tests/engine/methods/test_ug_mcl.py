import math

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.uncertainty import DROPOUT

pytestmark = pytest.mark.trains

START, END = Clock(0, 0.0), Clock(6000, 1.0)


def answers(method, images):
    output = method.student(images)
    return torch.softmax(output.logits.float(), dim=1), output.signed_distance


def straddle_zero(method):
    """Put the distance head near its zero level, where alone a steep transform passes gradients."""
    torch.nn.init.normal_(method.student.heads.distance.weight, std=1e-4)
    torch.nn.init.zeros_(method.student.heads.distance.bias)


def head_gradients(method, term, batch):
    heads = method.student.heads
    found = torch.autograd.grad(
        method.losses(batch, END)[0][term],
        [heads.segmentation.weight, heads.distance.weight],
        allow_unused=True,
    )
    return [0.0 if gradient is None else gradient.abs().sum().item() for gradient in found]


@pytest.mark.parametrize(
    ("term", "segmentation", "distance"),
    [
        ("supervised", True, False),
        ("distance", False, True),
        ("intra-task", True, True),
        ("cross-task", True, True),
    ],
)
def test_each_term_reaches_the_heads_that_it_is_about(
    build, make_batch, term, segmentation, distance
):
    """In the authors' code one head serves both tasks, and every term pulls at it."""
    method = build("ug-mcl")
    straddle_zero(method)
    method.averaged.network.heads.distance.bias.add_(0.5)
    found = head_gradients(method, term, make_batch(method.plan))
    assert [size > 0 for size in found] == [segmentation, distance]


@pytest.mark.parametrize(("share", "expected"), [(1.0, [True, False]), (0.0, [False, True])])
def test_beta_divides_the_intra_task_consistency_between_the_heads(
    build, make_batch, share, expected
):
    method = build("ug-mcl", {"segmentation_share": share})
    found = head_gradients(method, "intra-task", make_batch(method.plan))
    assert [size > 0 for size in found] == expected


def test_the_intra_task_consistency_vanishes_where_student_and_teacher_are_one(build, make_batch):
    method = build("ug-mcl", {"noise": 0.0})
    method.averaged.network.load_state_dict(method.student.state_dict())
    for network in (method.student, method.averaged.network):
        for layer in network.modules():
            if isinstance(layer, DROPOUT):
                layer.p = 0.0
    images = make_batch(method.plan).plain_images
    everywhere = torch.ones(images.shape[:1] + images.shape[2:], dtype=torch.bool)
    consistency = method.intra_task(*answers(method, images), images, everywhere)
    assert consistency.item() == pytest.approx(0, abs=1e-10)


def test_the_intra_task_consistency_is_the_papers_mean_over_certain_voxels(build, make_batch):
    method = build("ug-mcl", {"noise": 0.0})
    images = make_batch(method.plan).plain_images
    shape = images.shape[:1] + images.shape[2:]
    certain = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.3
    segmentation, distance = answers(method, images)
    torch.manual_seed(3)
    found = method.intra_task(segmentation, distance, images, certain)
    torch.manual_seed(3)
    teacher = method.averaged(images)
    theirs = torch.softmax(teacher.logits, dim=1)
    of_segmentation = (segmentation - theirs).square().mean(dim=1)[certain].mean()
    of_distance = (distance - teacher.signed_distance).square().mean(dim=1)[certain].mean()
    torch.testing.assert_close(found, 0.75 * of_segmentation + 0.25 * of_distance)


def test_more_voxels_are_certain_as_the_threshold_rises(build, make_batch):
    method = build("ug-mcl", preset="paper")
    batch = make_batch(method.plan)
    shares = []
    for clock in (START, Clock(3000, 0.5), END):
        torch.manual_seed(0)
        shares.append(method.losses(batch, clock)[1]["certain share"])
    assert shares == sorted(shares)
    _, scalars = method.losses(batch, END)
    assert scalars["threshold"] == pytest.approx(math.log(method.plan.classes))
    uncertainty = method.uncertainty(batch.plain_images)
    assert uncertainty.shape == batch.plain_images[:, 0].shape
    assert uncertainty.min() >= 0
    assert uncertainty.max() <= math.log(method.plan.classes)


def test_the_cross_task_consistency_compares_foreground_classes_only(build):
    method = build("ug-mcl")
    segmentation = torch.rand(2, 3, 4, 4, 4)
    distance = torch.where(torch.rand(2, 2, 4, 4, 4) > 0.5, 0.5, -0.5)
    everywhere = torch.ones(2, 4, 4, 4, dtype=torch.bool)
    found = method.cross_task(segmentation, distance, everywhere)
    masks = (distance < 0).float()  # negative inside
    torch.testing.assert_close(found, (segmentation[:, 1:] - masks).square().mean())


def test_the_cross_task_consistency_can_be_limited_to_certain_voxels(build):
    method = build("ug-mcl", {"masked_cross_task": True})
    segmentation, distance = torch.rand(1, 3, 4, 4), torch.full((1, 2, 4, 4), 0.5)
    certain = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert method.cross_task(segmentation, distance, certain) == 0
    certain[:, :2] = True
    expected = segmentation[:, 1:, :2].square().mean()
    torch.testing.assert_close(method.cross_task(segmentation, distance, certain), expected)


def test_the_distance_head_learns_distances_or_a_mask_or_both(build, make_batch):
    values = {}
    for loss in ("l2", "dice_of_mask", "both"):
        method = build("ug-mcl", {"distance_loss": loss})
        method.student.eval()
        terms = method.supervised_losses(make_batch(method.plan))
        values[loss] = terms["distance"].item()
    assert values["both"] == pytest.approx(values["l2"] + values["dice_of_mask"], rel=1e-4)
    assert 0 < values["dice_of_mask"] <= 1


def test_both_weights_rise_with_the_squared_exponent(build, make_batch):
    """The paper prints the exponent without its square; code and all other papers have it."""
    method = build("ug-mcl")
    batch = make_batch(method.plan)
    for clock, expected in ((START, math.exp(-5)), (Clock(3000, 0.5), math.exp(-1.25)), (END, 1)):
        assert method.losses(batch, clock)[1]["weight"] == pytest.approx(0.1 * expected)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_consistencies_are_weighted_apart(build, make_batch, share):
    method = build("ug-mcl", {"intra_task_weight": share, "cross_task_weight": 1 - share})
    terms, _ = method.losses(make_batch(method.plan), END)
    assert (terms["intra-task"].item() > 0) == (share == 1.0)
    assert (terms["cross-task"].item() > 0) == (share == 0.0)


def test_the_maps_show_where_segmentation_and_distance_disagree(build, make_batch):
    method = build("ug-mcl")
    images = make_batch(method.plan).plain_images
    maps = method.predict(images)
    assert maps.signed_distance.shape == (4, 2, *method.plan.spatial)
    assert maps.disagreement.shape == (4, *method.plan.spatial)
    assert maps.disagreement.min() >= 0
    assert maps.disagreement.max() <= 1
    # A distance that is outside everywhere leaves the probability of all foreground.
    torch.nn.init.zeros_(method.averaged.network.heads.distance.weight)
    torch.nn.init.constant_(method.averaged.network.heads.distance.bias, 3.0)
    maps = method.predict(images)
    torch.testing.assert_close(maps.disagreement, maps.probabilities[:, 1:].sum(dim=1))


def test_the_distance_head_speaks_millimetres_only_where_it_learns_them(build):
    clipped = {"normalisation": "clip", "reach": 7.0}
    assert build("ug-mcl").signed_distance_reach is None
    assert build("ug-mcl", clipped).signed_distance_reach == 7.0
    masks = clipped | {"distance_loss": "dice_of_mask"}
    assert build("ug-mcl", masks).signed_distance_reach is None


def test_a_network_without_dropout_gets_some(build):
    assert "dropout" in build("ug-mcl").uncertainty_source


def test_the_native_maps_show_both_tasks_of_student_and_teacher(build, make_batch):
    method = build("ug-mcl", preset="paper")
    method.averaged.network.heads.distance.bias.add_(0.5)
    images = make_batch(method.plan).plain_images
    maps = method.predict(images, uncertainty=False, native=True)
    student, teacher = method.student(images), method.averaged(images)
    torch.testing.assert_close(maps.native["own_distance"], student.signed_distance)
    torch.testing.assert_close(maps.native["teacher_distance"], teacher.signed_distance)
    theirs = torch.softmax(teacher.logits, dim=1)
    torch.testing.assert_close(maps.native["teacher_prediction"], theirs)
    inside = (student.signed_distance < 0).any(dim=1)  # the student answers in the paper preset
    assert torch.equal(maps.native["distance_masks"].argmax(dim=1) > 0, inside)


def test_the_teacher_was_always_believed_where_its_passes_agree(build, make_batch):
    """A teacher that says one class everywhere is certain; one that says nothing never is."""
    method = build("ug-mcl")
    images = make_batch(method.plan).plain_images
    head = method.averaged.network.heads.segmentation
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    maps = method.predict(images, uncertainty=False, native=True)
    assert maps.native["certain_share"].max() < 0.01
    head.bias[1] = 20.0
    maps = method.predict(images, uncertainty=False, native=True)
    assert (maps.native["certain_share"] == 1).all()


def test_all_that_the_teacher_says_is_in_the_fast_precision(build, make_batch):
    """No gradient goes through it, and it is most of a step."""
    method, full = build("ug-mcl", precision="bf16-mixed"), build("ug-mcl")
    assert (method.fast_precision, full.fast_precision) == (torch.bfloat16, None)
    images = make_batch(method.plan).plain_images
    seen = []
    method.averaged.network.register_forward_hook(
        lambda *_: seen.append(torch.is_autocast_enabled("cpu"))
    )
    torch.manual_seed(0)
    quick = method.uncertainty(images)
    assert seen
    assert all(seen)
    torch.manual_seed(0)
    torch.testing.assert_close(quick, full.uncertainty(images), atol=0.05, rtol=0)
    seen.clear()
    method.intra_task(*answers_of(method, images), images, torch.ones(images[:, 0].shape).bool())
    assert seen == [True]


def test_the_student_learns_in_full_precision_where_its_teacher_is_quick(build, make_batch):
    method = build("ug-mcl", precision="bf16-mixed")
    seen = []
    method.student.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    method.losses(make_batch(method.plan), Clock(5, 0.5))
    assert seen == [False]


def answers_of(method, images):
    output = method.student(images)
    return torch.softmax(output.logits, dim=1), output.signed_distance
