"""Self-training in rounds (specification §7.16)."""

import copy

import pytest
import torch
import torch.nn.functional as F

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import IGNORED

pytestmark = pytest.mark.trains

START = Clock(step=10, share=0.1, warm_start_share=0.4)
FIRST = Clock(step=50, share=0.5, warm_start_share=0.4)
SECOND = Clock(step=80, share=0.8, warm_start_share=0.4)


def weights(network):
    return [weight.detach().clone() for weight in network.parameters()]


def same(before, network):
    return all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def test_rounds_share_what_the_warm_start_leaves(build):
    method = build("self-training", {"rounds": 3})
    shares = (0.0, 0.39, 0.4, 0.59, 0.61, 0.79, 0.81, 1.0)
    rounds = [method.round_at(Clock(0, share, 0.4)) for share in shares]
    assert rounds == [0, 0, 1, 1, 2, 2, 3, 3]


def test_without_a_warm_start_all_phases_are_as_long(build):
    method = build("self-training", {"rounds": 1}, preset="paper")
    assert method.bounds(0, Clock(0, 0.0)) == (0.0, 0.5)
    assert method.bounds(1, Clock(0, 0.0)) == (0.5, 1.0)
    assert method.crops(Clock(0, 0.49)) == (4, 0)
    assert method.crops(Clock(0, 0.5)) == (2, 2)


def test_a_round_from_scratch_has_a_whole_course_of_learning_rates(build):
    method = build("self-training", {"start": "scratch", "rounds": 3})
    phase = method.phase(Clock(step=70, share=0.7, warm_start_share=0.4))
    assert phase.share == pytest.approx(0.5)
    assert phase.step == 10
    assert phase.warm_start_share == 0
    assert method.phase(Clock(step=20, share=0.2, warm_start_share=0.4)) == Clock(20, 0.5)


def test_rounds_that_continue_share_one_course_of_learning_rates(build):
    method = build("self-training")
    assert method.phase(SECOND) is SECOND


@pytest.mark.parametrize(
    ("preset", "start", "scratch"),
    [
        ("paper", "preset", True),
        ("modern", "preset", False),
        ("paper", "continue", False),
        ("modern", "scratch", True),
    ],
)
def test_a_round_starts_from_nothing_in_the_paper_and_continues_here(
    build, make_batch, preset, start, scratch
):
    method = build("self-training", {"start": start}, preset=preset)
    method.training_step(make_batch(method.plan, 2, 0), START)
    answered, student = weights(method.answering), weights(method.student)
    method.begin(1)
    assert same(answered, method.teacher)
    assert same(student, method.student) is not scratch
    assert bool(method.optimiser.state) is not scratch
    method.training_step(make_batch(method.plan), FIRST)
    assert method.optimiser.state


def test_the_average_starts_again_with_a_student_from_scratch(build, make_batch):
    method = build("self-training", {"start": "scratch"})
    for _ in range(3):
        method.training_step(make_batch(method.plan, 2, 0), START)
    method.training_step(make_batch(method.plan), FIRST)
    assert method.averaged.updates == 1
    assert same(weights(method.student), method.averaged.network)


def test_the_teacher_changes_between_rounds_only(build, make_batch):
    method = build("self-training")
    method.training_step(make_batch(method.plan), FIRST)
    first = weights(method.teacher)
    method.training_step(make_batch(method.plan), Clock(60, 0.6, 0.4))
    assert same(first, method.teacher)
    assert method.round == 1
    report = method.training_step(make_batch(method.plan), SECOND)
    assert not same(first, method.teacher)
    assert report["round"] == 2


@pytest.mark.parametrize("start", ["scratch", "continue"])
def test_a_run_that_is_resumed_within_a_round_goes_on_as_if_never_stopped(build, make_batch, start):
    method = build("self-training", {"start": start})
    method.training_step(make_batch(method.plan, 2, 0), START)
    method.training_step(make_batch(method.plan), FIRST)
    resumed = build("self-training", {"start": start}, seed=7)
    resumed.load_state_dict(copy.deepcopy(method.state_dict()))
    reports = []
    for each in (method, resumed):
        for clock in (Clock(60, 0.6, 0.4), SECOND):
            torch.manual_seed(clock.step)
            report = each.training_step(make_batch(each.plan, seed=clock.step), clock)
        reports.append(report)
    assert reports[0] == pytest.approx(reports[1], rel=1e-4)
    for one, other in zip(weights(method.teacher), weights(resumed.teacher), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_proposals_learn_the_foreground_that_the_teacher_found_and_nothing_else(build, make_batch):
    method = build("self-training", {"classes_counted": "foreground", "rounds": 1})
    batch = make_batch(method.plan)
    method.begin(1)
    taught = method.label(batch.plain_images[2:])
    found = taught.probabilities.argmax(dim=1)
    assert set(found.unique().tolist()) > {0}
    assert (taught.labels == torch.where(found > 0, found, IGNORED)).all()
    terms, scalars = method.losses(batch, FIRST)
    each = F.cross_entropy(method.student(batch.images).logits[2:], found, reduction="none")
    assert terms["pseudo-labels"].item() == pytest.approx(each[found > 0].mean().item(), rel=1e-4)
    assert scalars["kept share"] == pytest.approx((found > 0).float().mean().item())


def test_labels_below_the_threshold_are_not_learnt(build, make_batch):
    unsure = build("self-training", {"confidence_threshold": 1.0})
    terms, scalars = unsure.losses(make_batch(unsure.plan), FIRST)
    assert terms["pseudo-labels"].item() == 0
    assert scalars["kept share"] == 0


def test_islands_are_cleared_before_the_background_is_left_out(build):
    probabilities = torch.zeros(1, 3, 6, 6, 6)
    probabilities[:, 0] = 0.6
    for place in ((slice(0, 2),) * 3, (5, 5, 5)):
        probabilities[(0, 1, *place)] = 0.9
    settings = {"largest_component": True, "classes_counted": "foreground"}
    labels = build("self-training", settings).choose(probabilities)
    assert (labels == 1).sum() == 8
    assert (labels == IGNORED).sum() == 6**3 - 8


@pytest.mark.parametrize("loss", ["cross-entropy", "dice+cross-entropy"])
def test_gradients_reach_the_student_and_never_the_teacher(build, make_batch, loss):
    method = build("self-training", {"pseudo_label_loss": loss})
    method.begin(1)
    terms, _ = method.losses(make_batch(method.plan, 1, 3), FIRST)
    gradients = torch.autograd.grad(terms["pseudo-labels"], list(method.student.parameters()))
    assert all(gradient.abs().sum() > 0 for gradient in gradients[:2])
    assert not any(weight.requires_grad for weight in method.teacher.parameters())


def test_the_maps_show_the_teachers_labels_and_what_has_changed_since(build, make_batch):
    method = build("self-training")
    image = make_batch(method.plan).plain_images
    before = method.predict(image, native=True)
    assert before.native["changed"].sum() == 0
    method.begin(1)
    with torch.no_grad():
        method.averaged.network.heads.segmentation.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    maps = method.predict(image, native=True)
    assert set(maps.native) == {item.key for item in method.native_maps}
    assert maps.native["pseudo_label"].shape == maps.probabilities.shape
    torch.testing.assert_close(maps.native["pseudo_label"], before.native["pseudo_label"])
    changed = maps.probabilities.argmax(1) != before.probabilities.argmax(1)
    assert torch.equal(maps.native["changed"][:, 0], changed.float())
    assert maps.disagreement.max() > 0.5
    assert method.predict(image, uncertainty=False).disagreement is None
