"""Reciprocal learning (specification §6.1, §9)."""

import math

import pytest
import torch

from napari_semiseg.engine.methods.bodies.optimisation import learning_rate
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.segmentation_loss import cross_entropy

pytestmark = pytest.mark.trains

PRETRAINING = Clock(step=100, share=0.25)
BEGUN = Clock(step=200, share=0.5)
LATE = Clock(step=300, share=0.75)
# The plainest optimiser: the first step with momentum is a step down the gradient.
PLAIN = {
    "optimiser": "sgd",
    "schedule": "steps",
    "weight_decay": 0.0,
    "gradient_clip": None,
    "average_decay": None,
    "warm_start_share": 0.0,
    "learning_rate": 0.01,
}


def weights(network):
    return [weight.detach().clone() for weight in network.parameters()]


def same(before, network):
    return all(torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


def losses_on_labels(method, batch):
    logits = method.student(batch.images[: batch.labelled]).logits
    return cross_entropy(logits, batch.labels).item()


def test_the_feedback_is_the_loss_before_minus_the_loss_after(build, make_batch):
    """First-order equal for a plain step: within 2 % at a learning rate of 0.01."""
    method = build("reciprocal", {"student_start": "random"}, **PLAIN)
    batch = make_batch(method.plan)
    before = losses_on_labels(method, batch)
    report = method.training_step(batch, BEGUN)
    after = losses_on_labels(method, batch)
    assert report["feedback"] == pytest.approx(before - after, rel=0.02)
    assert -1 <= report["gradient cosine"] <= 1


def test_the_difference_feedback_is_old_minus_new_whatever_the_optimiser(build, make_batch):
    method = build("reciprocal", {"feedback": "difference", "student_start": "random"})
    batch = make_batch(method.plan)
    before = losses_on_labels(method, batch)
    report = method.training_step(batch, LATE)
    after = losses_on_labels(method, batch)
    assert report["feedback"] == pytest.approx(before - after, rel=1e-3)
    assert report["student on labels"] == pytest.approx(after, rel=1e-4)


def test_dropout_alone_makes_no_difference(build, make_batch):
    method = build("reciprocal", preset="paper")
    method.student.train()
    batch = make_batch(method.plan)
    first, second = (method._examine(batch, LATE).item() for _ in range(2))
    assert first == pytest.approx(second, abs=1e-6)
    other_step = method._examine(batch, Clock(301, 0.75)).item()
    assert other_step != pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_the_teachers_gradient_is_the_feedback_times_its_labels_plus_its_supervision(
    build, make_batch, scale
):
    settings = {"feedback_scale": scale, "supervised_weight": 0.5}
    method = build("reciprocal", settings, **PLAIN)
    batch = make_batch(method.plan)
    logits, labels = method.ask_teacher(batch)
    parameters = list(method.teacher.parameters())
    persuaded = torch.autograd.grad(cross_entropy(logits, labels), parameters)
    taught = torch.autograd.grad(
        cross_entropy(method.teacher(batch.images[:2]).logits, batch.labels), parameters
    )
    report = method.training_step(batch, LATE)
    for weight, own, supervised in zip(parameters, persuaded, taught, strict=True):
        expected = scale * report["feedback"] * own + 0.5 * supervised
        torch.testing.assert_close(weight.grad, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("feedback", [1.0, -1.0])
def test_labels_that_helped_are_reinforced_and_labels_that_harmed_are_weakened(
    build, make_batch, monkeypatch, feedback
):
    method = build("reciprocal", {"supervised_weight": 0.0}, **PLAIN)
    batch = make_batch(method.plan)
    logits, labels = method.ask_teacher(batch)
    before = cross_entropy(logits, labels).item()
    monkeypatch.setattr(method, "_feedback", lambda *_: (feedback, {}))
    method.training_step(batch, LATE)
    after = cross_entropy(method.ask_teacher(batch)[0], labels).item()
    assert (before - after) * feedback > 0


def test_the_student_never_learns_from_labels_directly(build, make_batch):
    """Other labels change the teacher and the feedback, but not the student's step."""
    students, teachers = [], []
    for shift in (0, 1):
        method = build("reciprocal")
        batch = make_batch(method.plan)
        batch.labels.copy_((batch.labels + shift) % method.plan.classes)
        method.training_step(batch, LATE)
        students.append(weights(method.student))
        teachers.append(weights(method.teacher))
    assert all(torch.equal(one, other) for one, other in zip(*students, strict=True))
    assert not all(torch.equal(one, other) for one, other in zip(*teachers, strict=True))


def test_a_supervised_student_is_an_option(build, make_batch):
    outcomes = []
    for weight in (0.0, 1.0):
        method = build("reciprocal", {"student_supervised_weight": weight}, **PLAIN)
        batch = make_batch(method.plan)
        method.training_step(batch, LATE)
        outcomes.append(losses_on_labels(method, batch))
    assert outcomes[1] < outcomes[0]


@pytest.mark.parametrize("teacher", ["reciprocal", "frozen"])
def test_every_step_of_the_student_has_the_rate_of_its_phase(build, make_batch, teacher):
    settings = {"teacher": teacher, "student_supervised_weight": 1.0}
    method = build("reciprocal", settings, preset="paper", schedule="poly")
    clock = Clock(step=700, share=0.75)
    method.training_step(make_batch(method.plan), clock)
    rate = learning_rate(method.plan.recipe, method.phase(clock))
    assert rate != learning_rate(method.plan.recipe, method.phase(method.phase(clock)))
    assert method.optimiser.param_groups[0]["lr"] == rate


def test_a_frozen_teacher_stays_as_it_is(build, make_batch):
    method = build("reciprocal", {"teacher": "frozen"}, preset="paper")
    student = weights(method.student)
    teacher = {name: value.clone() for name, value in method.teacher.state_dict().items()}
    report = method.training_step(make_batch(method.plan), LATE)
    for name, value in method.teacher.state_dict().items():
        assert torch.equal(value, teacher[name]), name
    assert not same(student, method.student)
    assert "feedback" not in report


def test_a_student_of_a_frozen_teacher_may_learn_from_labels_too(build, make_batch):
    outcomes = []
    for weight in (0.0, 1.0):
        settings = {"teacher": "frozen", "student_supervised_weight": weight}
        method = build("reciprocal", settings, **PLAIN)
        batch = make_batch(method.plan)
        method.training_step(batch, LATE)
        outcomes.append(losses_on_labels(method, batch))
    assert outcomes[1] < outcomes[0]


def test_the_labelled_pass_takes_no_step_of_the_student(build, make_batch):
    """All that the student's step leaves is the gradient of the teacher's labels."""
    method = build("reciprocal", {"student_start": "random"}, **PLAIN)
    batch = make_batch(method.plan)
    before = weights(method.student)
    loss = method.losses(batch, LATE)[0]["pseudo-labels"]
    expected = torch.autograd.grad(loss, list(method.student.parameters()))
    method.training_step(batch, LATE)
    rate = learning_rate(method.plan.recipe, method.phase(LATE))
    for old, new, gradient in zip(before, method.student.parameters(), expected, strict=True):
        torch.testing.assert_close(new, old - rate * gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("choice", ["argmax", "sample"])
@pytest.mark.parametrize("labelling_pass", ["training", "inference"])
@pytest.mark.parametrize("feedback", ["gradients", "difference"])
def test_every_way_of_labelling_and_of_feedback_trains(
    build, make_batch, choice, labelling_pass, feedback
):
    settings = {"pseudo_labels": choice, "labelling_pass": labelling_pass, "feedback": feedback}
    method = build("reciprocal", settings, preset="paper")
    teacher = weights(method.teacher)
    report = method.training_step(make_batch(method.plan, 1, 3), LATE)
    assert math.isfinite(report["feedback"])
    assert "skipped" not in report
    assert not same(teacher, method.teacher)


def test_the_baseline_is_a_running_mean_of_the_feedback(build):
    method = build("reciprocal", {"feedback_baseline": True, "feedback_scale": 2.0})
    assert method.reinforcement(1.0) == pytest.approx(2.0)
    assert method.reinforcement(1.0) == pytest.approx(2 * 0.99)
    for _ in range(2000):
        method.reinforcement(1.0)
    assert method.reinforcement(1.0) == pytest.approx(0.0, abs=1e-6)
    assert build("reciprocal").reinforcement(1.0) == 1.0


def test_a_step_that_the_student_left_out_is_no_feedback(build, make_batch, monkeypatch):
    method = build("reciprocal", {"feedback_baseline": True})
    method.baseline = 0.01
    monkeypatch.setattr(method, "_optimise_student", lambda *_: False)
    report = method.training_step(make_batch(method.plan), LATE)
    assert method.baseline == 0.01
    assert "feedback" not in report
    assert report["skipped"] == 1.0


def test_a_feedback_that_is_not_finite_counts_as_none(build):
    method = build("reciprocal", {"feedback_baseline": True})
    assert method.reinforcement(math.nan) == method.reinforcement(math.inf) == 0.0
    assert method.baseline == 0.0


def test_the_teacher_is_pre_trained_on_labelled_crops_alone(build, make_batch):
    method = build("reciprocal", preset="paper")
    assert method.crops(PRETRAINING) == (4, 0)
    assert method.crops(BEGUN) == (2, 2)
    teacher, student = weights(method.teacher), weights(method.student)
    method.training_step(make_batch(method.plan, 4, 0), PRETRAINING)
    assert same(student, method.student)
    assert not same(teacher, method.teacher)
    assert method.answering is method.teacher
    method.training_step(make_batch(method.plan), BEGUN)
    assert method.answering is method.student


@pytest.mark.parametrize(
    ("preset", "start", "copied"),
    [
        ("paper", "preset", False),
        ("modern", "preset", True),
        ("paper", "teacher", True),
        ("modern", "random", False),
    ],
)
def test_the_student_starts_from_nothing_in_the_paper_and_from_the_teacher_here(
    build, make_batch, preset, start, copied
):
    method = build("reciprocal", {"student_start": start}, preset=preset)
    method.training_step(make_batch(method.plan, 2, 0), PRETRAINING)
    taught = weights(method.teacher)
    method._start_student()
    assert same(taught, method.student) is copied


def test_the_average_follows_the_teacher_first_and_then_the_student(build, make_batch):
    method = build("reciprocal")
    method.training_step(make_batch(method.plan, 2, 0), PRETRAINING)
    assert same(weights(method.teacher), method.averaged.network)
    method.training_step(make_batch(method.plan), BEGUN)
    assert same(weights(method.student), method.averaged.network)
    assert method.averaged.updates == 1


def test_each_phase_has_a_whole_course_of_learning_rates(build):
    method = build("reciprocal", preset="paper")
    assert method.phase(Clock(0, 0.0)).share == 0
    assert method.phase(Clock(50, 0.125)) == Clock(50, 0.25)
    assert method.phase(Clock(200, 0.5)) == Clock(0, 0.0)
    assert method.phase(Clock(300, 0.75)) == Clock(100, 0.5)
    immediate = build("reciprocal", {"pretraining_share": 0.0}, preset="paper")
    assert immediate.phase(Clock(0, 0.0)) == Clock(0, 0.0)


def test_a_warm_start_is_the_pre_training_and_shares_one_course_of_learning_rates(build):
    method = build("reciprocal")
    before, after = Clock(80, 0.2, warm_start_share=0.35), Clock(160, 0.4, warm_start_share=0.35)
    assert method.crops(before) == (2, 0)
    assert method.crops(after) == (1, 1)
    assert method.phase(before) == before
    assert method.phase(after) == after


def test_the_maps_compare_student_and_teacher_once_both_have_learnt(build, make_batch):
    method = build("reciprocal")
    image = make_batch(method.plan).plain_images
    method.training_step(make_batch(method.plan, 2, 0), PRETRAINING)
    assert method.predict(image).disagreement is None
    assert method.uncertainty_source == "teacher"
    method.training_step(make_batch(method.plan), BEGUN)
    maps = method.predict(image)
    assert maps.disagreement.shape == (4, *method.plan.spatial)
    assert 0 <= maps.disagreement.min() <= maps.disagreement.max() <= 1
    assert method.uncertainty_source == "student and teacher"
    assert method.predict(image, uncertainty=False).uncertainty is None


def test_a_checkpoint_remembers_whether_the_student_has_begun(build, make_batch):
    method = build("reciprocal", preset="paper")
    method.training_step(make_batch(method.plan, 4, 0), PRETRAINING)
    restored = build("reciprocal", preset="paper", seed=3)
    restored.load_state_dict(method.state_dict())
    assert restored.answering is restored.teacher
    method.training_step(make_batch(method.plan), LATE)
    restored.load_state_dict(method.state_dict())
    assert restored.answering is restored.student


def test_the_native_map_is_what_the_teacher_says(build, make_batch):
    method = build("reciprocal", preset="paper")
    images = make_batch(method.plan).plain_images
    method.started = True
    maps = method.predict(images, native=True)
    teacher = torch.softmax(method.teacher(images).logits, dim=1)
    torch.testing.assert_close(maps.native["teacher_prediction"], teacher)
    half = 0.5 * (maps.probabilities - teacher).abs().sum(dim=1)
    torch.testing.assert_close(maps.disagreement, half)
