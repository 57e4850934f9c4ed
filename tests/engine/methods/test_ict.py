"""Interpolation consistency training (specification §7.10, §9)."""

from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.parts.mixing import PairMixture

END = Clock(6000, 1.0)


def only(batch, index):
    """The batch with a single unlabelled crop."""
    rows = [*range(batch.labelled), batch.labelled + index]
    return replace(batch, images=batch.images[rows], plain_images=batch.plain_images[rows])


@pytest.mark.parametrize(("share", "crop"), [(0.0, 0), (1.0, 1)])
def test_a_mixture_of_one_crop_alone_is_mean_teacher(build, make_batch, share, crop):
    ict, mean_teacher = build("ict"), build("mean-teacher", {"noise": 0.0})
    batch = make_batch(ict.plan)
    for method in (ict, mean_teacher):
        method.student.train()
        with torch.no_grad():  # teacher and student are to differ
            for weight in method.averaged.network.parameters():
                weight.mul_(0.9)
    terms, _ = ict.mixed_losses(batch, END, PairMixture(torch.tensor([share])))
    expected, _ = mean_teacher.losses(only(batch, crop), END)
    for name in ("supervised", "consistency"):
        assert terms[name].item() > 0
        torch.testing.assert_close(terms[name], expected[name])


def test_the_answer_to_a_mixture_is_compared_with_the_mixture_of_answers(build, make_batch):
    method = build("ict", {"consistency_weight": 1.0})
    batch = make_batch(method.plan, 1, 4)
    shares = torch.tensor([0.3, 0.6])
    terms, _ = method.mixed_losses(batch, END, PairMixture(shares))
    images, plain = batch.images[1:], batch.plain_images[1:]
    answers = method.teach(plain)
    expected = []
    for pair, share in enumerate(shares):
        mixed = (1 - share) * images[pair] + share * images[pair + 2]
        target = (1 - share) * answers[pair] + share * answers[pair + 2]
        answer = torch.softmax(method.student(mixed[None]).logits, dim=1)
        expected.append((answer - target).square().mean())
    torch.testing.assert_close(terms["consistency"], torch.stack(expected).mean())


@pytest.mark.parametrize("unlabelled", [1, 2, 3, 5])
def test_any_number_of_unlabelled_crops_will_do(build, make_batch, unlabelled):
    method = build("ict")
    method.training_step(make_batch(method.plan), END)
    report = method.training_step(make_batch(method.plan, 1, unlabelled, seed=1), END)
    assert report["consistency"] > 0
    assert 0 <= report["mixed share"] <= 1


def test_at_least_two_unlabelled_crops_are_asked_for(build):
    assert build("ict").crops(Clock(500, 0.5, 0.35)) == (1, 2)
    assert build("ict").crops(Clock(0, 0.1, 0.35)) == (2, 0)
    assert build("ict", preset="paper").crops(Clock(0, 0.0)) == (2, 2)
    assert build("ict", unlabelled=5).crops(Clock(500, 0.5, 0.35)) == (1, 5)


def test_the_teacher_sees_neither_noise_nor_a_mixture(build, make_batch):
    method = build("ict")
    assert method.settings.noise == 0
    batch = make_batch(method.plan)
    seen = []
    method.averaged.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.losses(batch, END)
    assert torch.equal(seen[0], batch.plain_images[2:])


def test_student_and_teacher_are_shown_with_their_disagreement(build, make_batch):
    method = build("ict")
    maps = method.predict(make_batch(method.plan).plain_images, native=True)
    assert set(maps.native) == {"student_prediction", "teacher_prediction"}
    torch.testing.assert_close(maps.native["teacher_prediction"], maps.probabilities)
    assert maps.disagreement.shape == (4, *method.plan.spatial)
