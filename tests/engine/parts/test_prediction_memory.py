import numpy as np
import pytest
import torch

from napari_semiseg.engine.parts import prediction_memory
from napari_semiseg.engine.parts.prediction_memory import PredictionMemory
from napari_semiseg.engine.sampling.augmentation import sampling_grid


def grid(*shape, start=(0, 0, 0)):
    axes = [torch.arange(float(size)) + first for size, first in zip(shape, start, strict=True)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)


def random_answer(*shape, classes=3):
    return torch.softmax(2 * torch.randn(classes, *shape), dim=0)


def test_nothing_is_known_of_a_case_that_was_never_seen():
    probabilities, known = PredictionMemory(3, 0.6).recall("a", grid(2, 3, 4))
    assert probabilities.shape == (3, 2, 3, 4)
    assert known.shape == (2, 3, 4)
    assert not known.any()
    assert not probabilities.any()


@pytest.mark.parametrize("momentum", [0.0, 0.6, 0.9])
def test_what_is_recalled_is_the_bias_corrected_running_mean(momentum):
    torch.manual_seed(0)
    memory, positions = PredictionMemory(3, momentum), grid(3, 4, 5)
    running = torch.zeros(3, 3, 4, 5)
    for visit in range(1, 8):
        answer = random_answer(3, 4, 5)
        memory.remember("a", positions, answer)
        running = momentum * running + (1 - momentum) * answer
        probabilities, known = memory.recall("a", positions)
        assert known.all()
        expected = running / (1 - momentum**visit)
        # the background takes the rounding of both foreground classes
        torch.testing.assert_close(probabilities, expected, atol=0.012, rtol=0)
        torch.testing.assert_close(probabilities.sum(dim=0), torch.ones(3, 4, 5), atol=6e-3, rtol=0)


def test_voxels_count_their_visits_one_by_one():
    memory = PredictionMemory(2, 0.6)
    answer = random_answer(2, 4, 4, classes=2)
    memory.remember("a", grid(2, 4, 4), answer)
    memory.remember("a", grid(2, 4, 4, start=(0, 2, 0)), answer)
    probabilities, known = memory.recall("a", grid(3, 7, 4))
    assert known[:2, :6].all()
    assert not known[2].any()
    assert not known[:, 6].any()
    # seen once, above and below: what was said; seen twice: the corrected mean
    torch.testing.assert_close(probabilities[:, :2, :2], answer[:, :, :2], atol=3e-3, rtol=0)
    torch.testing.assert_close(probabilities[:, :2, 4:6], answer[:, :, 2:], atol=3e-3, rtol=0)
    twice = (0.6 * 0.4 * answer[:, :, 2:] + 0.4 * answer[:, :, :2]) / (1 - 0.36)
    torch.testing.assert_close(probabilities[:, :2, 2:4], twice, atol=3e-3, rtol=0)


def test_cases_do_not_mix():
    memory = PredictionMemory(2, 0.6)
    memory.remember("a", grid(2, 2, 2), random_answer(2, 2, 2, classes=2))
    assert not memory.recall("b", grid(2, 2, 2))[1].any()


def test_turned_crops_are_undone_by_their_positions():
    memory, positions = PredictionMemory(3, 0.6), grid(2, 4, 5)
    answer = random_answer(2, 4, 5)
    turned = positions.rot90(1, (1, 2)).flip(0)
    memory.remember("a", turned, answer.rot90(1, (2, 3)).flip(1))
    torch.testing.assert_close(memory.recall("a", positions)[0], answer, atol=3e-3, rtol=0)


def test_positions_between_voxels_are_interpolated():
    memory = PredictionMemory(2, 0.6)
    answer = random_answer(3, 3, 3, classes=2)
    memory.remember("a", grid(3, 3, 3), answer)
    between = torch.tensor([[1.0, 1.0, 0.5], [0.25, 2.0, 2.0]])
    probabilities, known = memory.recall("a", between)
    assert known.all()
    torch.testing.assert_close(
        probabilities[:, 0], (answer[:, 1, 1, 0] + answer[:, 1, 1, 1]) / 2, atol=3e-3, rtol=0
    )
    torch.testing.assert_close(
        probabilities[:, 1],
        0.75 * answer[:, 0, 2, 2] + 0.25 * answer[:, 1, 2, 2],
        atol=3e-3,
        rtol=0,
    )


def test_a_voxel_that_was_never_visited_takes_no_part_in_the_interpolation():
    memory = PredictionMemory(2, 0.6)
    memory.remember(
        "a", grid(1, 1, 2), torch.tensor([0.2, 0.8]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2)
    )
    near, far = torch.tensor([[0.0, 0.0, 1.4]]), torch.tensor([[0.0, 0.0, 1.6]])
    probabilities, known = memory.recall("a", near)
    assert known.all()
    torch.testing.assert_close(probabilities[:, 0], torch.tensor([0.2, 0.8]), atol=3e-3, rtol=0)
    assert not memory.recall("a", far)[1].any()


def test_a_voxel_that_is_nearest_to_several_gets_their_mean_and_one_visit():
    memory = PredictionMemory(2, 0.5)
    positions = torch.tensor([[0.0, 0.0, 0.1], [0.0, 0.0, -0.1]])
    memory.remember("a", positions, torch.tensor([[0.9, 0.1], [0.1, 0.9]]))
    probabilities, _ = memory.recall("a", torch.zeros(1, 3))
    torch.testing.assert_close(probabilities[:, 0], torch.tensor([0.5, 0.5]), atol=3e-3, rtol=0)
    assert memory._cases["a"].visits[0, 0, 0] == 1


def test_slices_of_a_2d_network_are_remembered_at_their_place():
    memory = PredictionMemory(2, 0.6)
    positions = grid(1, 4, 4, start=(6, 0, 0))[0]
    answer = random_answer(4, 4, classes=2)
    memory.remember("a", positions, answer)
    probabilities, known = memory.recall("a", positions + torch.tensor([0.3, 0.0, 0.0]))
    assert known.all()
    torch.testing.assert_close(probabilities, answer, atol=3e-3, rtol=0)
    assert not memory.recall("a", positions - torch.tensor([1.0, 0.0, 0.0]))[1].any()


def test_bent_and_scaled_crops_write_what_other_crops_read():
    """A field that is a function of the place alone comes back from any other crop."""

    def field(positions):
        inside = torch.sigmoid((12 - (positions - 16).norm(dim=-1)) / 2)
        return torch.stack([1 - inside, inside])

    memory, generator = PredictionMemory(2, 0.6), torch.Generator().manual_seed(0)
    for _ in range(6):
        positions = sampling_grid((24, 24, 24), np.array([16.0] * 3), (1.0, 1.0, 1.0), generator)
        memory.remember("a", positions, field(positions))
    positions = sampling_grid((16, 16, 16), np.array([17.0] * 3), (1.0, 1.0, 1.0), generator)
    probabilities, known = memory.recall("a", positions)
    assert known.float().mean() > 0.95
    error = (probabilities - field(positions)).abs()[:, known]
    assert error.mean() < 0.02


def test_what_is_not_a_number_or_before_the_scan_is_left_out():
    memory, positions = PredictionMemory(2, 0.6), grid(2, 2, 2, start=(-1, 0, 0))
    answer = random_answer(2, 2, 2, classes=2)
    answer[:, 1, 0, 0] = float("nan")
    memory.remember("a", positions, answer)
    _, known = memory.recall("a", positions)
    assert not known[0].any()
    assert not known[1, 0, 0]
    assert known[1].sum() == 3
    memory.remember("a", positions, torch.full_like(answer, float("nan")))
    assert memory._cases["a"].visits.sum() == 3


def test_a_grid_grows_and_keeps_what_it_held():
    memory = PredictionMemory(2, 0.6)
    answer = random_answer(2, 3, 4, classes=2)
    memory.remember("a", grid(2, 3, 4), answer)
    memory.remember("a", grid(2, 3, 4, start=(30, 20, 10)), answer)
    for start in ((0, 0, 0), (30, 20, 10)):
        probabilities, known = memory.recall("a", grid(2, 3, 4, start=start))
        assert known.all()
        torch.testing.assert_close(probabilities, answer, atol=3e-3, rtol=0)


@pytest.mark.parametrize("room", [2**20, 0])
def test_a_memory_in_a_file_is_as_good_as_one_in_memory(monkeypatch, room):
    monkeypatch.setattr(prediction_memory, "IN_MEMORY", room)
    memory, answer = PredictionMemory(3, 0.6), random_answer(2, 3, 4)
    memory.remember("a", grid(2, 3, 4), answer)
    assert isinstance(memory._cases["a"].sums, np.memmap) is (room == 0)
    torch.testing.assert_close(memory.recall("a", grid(2, 3, 4))[0], answer, atol=6e-3, rtol=0)


def test_a_stored_memory_continues_exactly(tmp_path):
    torch.manual_seed(0)
    memory, positions = PredictionMemory(3, 0.6), grid(3, 4, 5)
    for case in ("a", "a", "b"):
        memory.remember(case, positions, random_answer(3, 4, 5))
    torch.save(memory.state_dict(), tmp_path / "state.pt")
    other = PredictionMemory(3, 0.6)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    answer = random_answer(3, 4, 5)
    for each in (memory, other):
        each.remember("a", positions, answer)
    for case in ("a", "b"):
        for mine, theirs in zip(
            memory.recall(case, positions), other.recall(case, positions), strict=True
        ):
            assert torch.equal(mine, theirs)


def test_a_loaded_case_stays_packed_until_it_is_asked_for():
    memory, positions = PredictionMemory(2, 0.6), grid(3, 4, 5)
    for case in ("a", "b"):
        memory.remember(case, positions, random_answer(3, 4, 5, classes=2))
    other = PredictionMemory(2, 0.6)
    other.load_state_dict(memory.state_dict())
    other.recall("a", positions)
    assert set(other._cases) == {"a"}
    assert set(other.state_dict()) == {"a", "b"}


def test_a_checkpoint_of_a_sure_network_is_much_smaller_than_its_memory():
    memory, positions = PredictionMemory(2, 0.6), grid(40, 40, 40)
    inside = torch.sigmoid(3 * (12 - (positions - 20).norm(dim=-1)))
    for _ in range(3):
        memory.remember("a", positions, torch.stack([1 - inside, inside]))
    packed = memory.state_dict()["a"]
    held = memory._cases["a"]
    assert len(packed["sums"]) + len(packed["visits"]) < 0.1 * (
        held.sums.nbytes + held.visits.nbytes
    )
