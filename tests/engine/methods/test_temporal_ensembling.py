"""Temporal ensembling (specification §7.14)."""

from dataclasses import replace

import pytest
import torch

from napari_semiseg.engine.methods.contract import Clock

END = Clock(6000, 1.0)


def student_answer(method, batch):
    """What the network will say in `losses`, where nothing is dropped and no noise is added."""
    with torch.no_grad():
        logits = method.student(batch.images).logits[batch.labelled :]
    return torch.softmax(logits.float(), dim=1)


def build_quiet(build, **plan):
    method = build("temporal-ensembling", {"noise": 0.0, "consistency_weight": 1.0}, **plan)
    for layer in method.student.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    method.student.train()
    return method


def named(batch, *cases):
    return replace(batch, cases=("labelled",) * batch.labelled + cases)


def test_a_place_teaches_nothing_before_it_has_been_seen(build, make_batch):
    method = build_quiet(build)
    batch = named(make_batch(method.plan), "a", "b")
    terms, scalars = method.losses(batch, END)
    assert terms["consistency"].item() == 0
    assert scalars["remembered share"] == 0
    terms, scalars = method.losses(batch, END)
    assert scalars["remembered share"] == 1
    assert terms["consistency"].item() == pytest.approx(0, abs=1e-5)  # it said the same


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_target_is_the_corrected_mean_of_what_was_said(build, make_batch, dimensions):
    method = build_quiet(build, dimensions=dimensions)
    batches = [named(make_batch(method.plan, 2, 1, seed=seed), "a") for seed in range(3)]
    said = [student_answer(method, batch) for batch in batches]
    for batch in batches[:2]:
        method.losses(batch, END)
    terms, _ = method.losses(batches[2], END)
    target = (0.6 * 0.4 * said[0] + 0.4 * said[1]) / (1 - 0.6**2)
    expected = (said[2] - target).square().mean()
    assert terms["consistency"].item() == pytest.approx(expected.item(), rel=0.05)


def test_only_places_that_have_been_seen_count(build, make_batch):
    method = build_quiet(build)
    batch = named(make_batch(method.plan, 1, 1), "a")
    method.losses(batch, END)
    moved = replace(
        named(make_batch(method.plan, 1, 1, seed=1), "a"),
        positions=batch.positions + torch.tensor([4.0, 0.0, 0.0]),
    )
    said = student_answer(method, batch), student_answer(method, moved)
    terms, scalars = method.losses(moved, END)
    assert scalars["remembered share"] == pytest.approx(12 / 16)
    expected = (said[1][:, :, :12] - said[0][:, :, 4:]).square().mean()
    assert terms["consistency"].item() == pytest.approx(expected.item(), rel=0.05)


def test_another_case_is_not_remembered(build, make_batch):
    method = build_quiet(build)
    batch = make_batch(method.plan, 1, 1)
    method.losses(named(batch, "a"), END)
    assert method.losses(named(batch, "b"), END)[1]["remembered share"] == 0


def test_labelled_crops_are_not_remembered(build, make_batch):
    method = build_quiet(build)
    method.losses(named(make_batch(method.plan), "a", "b"), END)
    assert set(method.memory.state_dict()) == {"a", "b"}


def test_no_gradient_passes_what_is_remembered(build, make_batch):
    method = build_quiet(build)
    batch = named(make_batch(method.plan, 1, 1), "a")
    method.losses(batch, END)
    other = named(make_batch(method.plan, 1, 1, seed=1), "a")
    recalled, _ = method.memory.recall("a", other.positions[1])
    terms, _ = method.losses(other, END)
    assert not recalled.requires_grad
    head = method.student.heads.segmentation.weight
    (gradient,) = torch.autograd.grad(terms["consistency"], head)
    assert gradient.abs().sum() > 0


def test_a_step_that_is_left_out_is_not_remembered(build, make_batch):
    method = build("temporal-ensembling")
    batch = named(make_batch(method.plan, 1, 1), "a")
    batch.images[:] = float("nan")
    assert method.training_step(batch, END)["skipped"] == 1
    assert method.memory.state_dict() == {}


def test_what_is_remembered_survives_a_checkpoint(build, make_batch, tmp_path):
    method = build("temporal-ensembling")
    batch = named(make_batch(method.plan), "a", "b")
    method.training_step(batch, END)
    torch.save(method.state_dict(), tmp_path / "state.pt")
    other = build("temporal-ensembling", seed=1)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    for mine, theirs in zip(
        method.memory.recall("a", batch.positions[2]),
        other.memory.recall("a", batch.positions[2]),
        strict=True,
    ):
        assert torch.equal(mine, theirs)


def test_a_checkpoint_without_the_memory_still_predicts(build):
    method, other = build("temporal-ensembling"), build("temporal-ensembling", seed=1)
    state = method.state_dict()
    del state["memory"]
    other.load_state_dict(state)
    assert other.memory.state_dict() == {}


def test_positions_are_asked_for_and_missed_where_they_are_not_there(build, make_batch):
    method = build("temporal-ensembling")
    assert method.needs_positions
    batch = replace(make_batch(method.plan), positions=None)
    with pytest.raises(ValueError, match="positions"):
        method.losses(batch, END)
