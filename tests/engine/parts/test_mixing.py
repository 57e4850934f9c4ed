import pytest
import torch

from napari_semiseg.engine.parts.mixing import (
    PairMixture,
    boxes_with_edge,
    paste,
    place_boxes,
    random_boxes,
)

CPU = torch.device("cpu")


def test_the_first_half_is_mixed_with_the_second():
    crops = torch.randn(4, 2, 3, 3)
    mixed = PairMixture(torch.tensor([0.25, 1.0]))(crops)
    assert mixed.shape == (2, 2, 3, 3)
    torch.testing.assert_close(mixed[0], 0.75 * crops[0] + 0.25 * crops[2])
    torch.testing.assert_close(mixed[1], crops[3])


@pytest.mark.parametrize(("crops", "mixes"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 3)])
def test_there_is_one_mix_for_two_crops(crops, mixes):
    batch = torch.randn(crops, 1, 4, 4)
    mixture = PairMixture.draw(crops, 0.2, CPU)
    assert mixture.shares.shape == (mixes,)
    assert len(mixture(batch)) == mixes
    assert len(mixture.crops_of(batch)) == min(crops, 2 * mixes)
    torch.testing.assert_close(mixture(mixture.crops_of(batch)), mixture(batch))


def test_a_single_crop_stays_as_it_is():
    crop = torch.randn(1, 1, 4, 4)
    assert torch.equal(PairMixture.draw(1, 0.2, CPU)(crop), crop)


def test_a_mixture_of_probabilities_sums_to_one():
    answers = torch.softmax(torch.randn(4, 3, 5, 5), dim=1)
    mixed = PairMixture.draw(4, 1.0, CPU)(answers)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(2, 5, 5))


def test_a_small_concentration_leaves_mixtures_near_one_crop():
    torch.manual_seed(0)
    shares = PairMixture.draw(4000, 0.2, CPU).shares
    assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
    assert shares.var().item() == pytest.approx(0.25 / 1.4, abs=0.01)  # ¼ / (2 a + 1)


def crops(count, spatial):
    return torch.empty(count, 1, *spatial)


def extents_of(box):
    """Edges in voxels of the smallest box around what is True; it must be full."""
    inside = box.nonzero()
    extents = (inside.amax(0) - inside.amin(0) + 1).tolist()
    assert box.sum() == torch.tensor(extents).prod()
    return extents


@pytest.mark.parametrize("spatial", [(20, 30), (12, 20, 16)])
def test_every_crop_has_a_whole_box_of_its_own(spatial):
    torch.manual_seed(0)
    boxes = random_boxes(crops(50, spatial), (0.02, 0.4), aspect=3.0)
    assert boxes.shape == (50, *spatial)
    assert boxes.dtype == torch.bool
    for box in boxes:
        extents_of(box)
    assert len({tuple(box.flatten().tolist()) for box in boxes}) > 40


@pytest.mark.parametrize("spatial", [(200, 100), (60, 40, 50)])
def test_a_box_has_the_volume_and_the_shape_that_were_asked_for(spatial):
    torch.manual_seed(1)
    for box in random_boxes(crops(40, spatial), (0.1, 0.1), aspect=2.0):
        relative = torch.tensor(extents_of(box)) / torch.tensor(spatial)
        assert relative.prod() == pytest.approx(0.1, rel=0.08)
        assert relative.max() / relative.min() < 2.05


def test_volumes_lie_between_their_limits():
    torch.manual_seed(2)
    shares = random_boxes(crops(200, (100, 100)), (0.02, 0.4), aspect=1.0).float().mean(dim=(1, 2))
    assert 0.015 < shares.min() < 0.06
    assert 0.36 < shares.max() < 0.41


def test_a_box_longer_than_its_crop_is_cut_to_it():
    torch.manual_seed(3)
    boxes = random_boxes(crops(50, (10, 10)), (0.9, 1.0), aspect=10.0)
    assert boxes.flatten(1).any(dim=1).all()


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_not_every_crop_needs_a_box(chance, expected):
    torch.manual_seed(4)
    boxes = random_boxes(crops(400, (8, 8)), (0.1, 0.4), aspect=1.0, chance=chance)
    assert boxes.flatten(1).any(dim=1).float().mean() == pytest.approx(expected, abs=0.08)


def test_the_box_of_bcp_has_two_thirds_of_every_edge():
    torch.manual_seed(5)
    boxes = boxes_with_edge(crops(20, (80, 112, 112)), 2 / 3)
    assert all(extents_of(box) == [53, 74, 74] for box in boxes)
    assert extents_of(boxes_with_edge(crops(1, (16, 8)), 0.5)[0]) == [8, 4]


def test_a_box_reaches_every_place_of_the_crop():
    torch.manual_seed(6)
    boxes = place_boxes(torch.full((500, 2), 3), (5, 5))
    corners = {tuple(box.nonzero()[0].tolist()) for box in boxes}
    assert corners == {(row, column) for row in range(3) for column in range(3)}


def test_an_edge_of_nothing_makes_an_empty_box():
    assert not place_boxes(torch.tensor([[0, 4, 4]]), (8, 8, 8)).any()


@pytest.mark.parametrize("spatial", [(6, 7), (4, 5, 6)])
def test_what_is_above_shows_inside_and_what_is_below_outside(spatial):
    torch.manual_seed(7)
    below, above = torch.rand(2, 3, 2, *spatial)
    boxes = boxes_with_edge(crops(3, spatial), 0.5)
    mixed = paste(below, above, boxes)
    for crop, box in enumerate(boxes):
        assert torch.equal(mixed[crop][:, box], above[crop][:, box])
        assert torch.equal(mixed[crop][:, ~box], below[crop][:, ~box])
    labels = paste(below[:, 0].long(), above[:, 0].long() + 1, boxes)
    assert torch.equal(labels, boxes.long())


def test_boxes_are_a_function_of_the_seed():
    drawn = []
    for _ in range(2):
        torch.manual_seed(8)
        drawn.append(random_boxes(crops(4, (9, 9, 9)), (0.1, 0.5), aspect=2.0))
    assert torch.equal(*drawn)
