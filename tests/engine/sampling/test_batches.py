import numpy as np
import pytest
import torch

from napari_semiseg.engine.planning.fingerprint import take_fingerprint
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.planning.plan import Normalisation
from napari_semiseg.engine.planning.planner import make_plan
from napari_semiseg.engine.sampling.augmentation import (
    change_intensities,
    mirror,
    read_at,
    sampling_grid,
)
from napari_semiseg.engine.sampling.batches import BatchSampler, cut
from napari_semiseg.engine.sampling.intensity import normalise
from napari_semiseg.engine.sampling.patch_cache import DistanceMaps, cache_cases, class_indices
from tests.engine.small_study import make_study


def sampler(folder, seed=0, preset="modern", extras=None, distances=None, **scans):
    study = make_study(folder, **scans)
    plan = make_plan(take_fingerprint(study), describe_machine("cpu"), (1, 2), preset)
    labelled = list(cache_cases(study, plan, study.labelled_cases(), "all", distances))
    unlabelled = list(cache_cases(study, plan, study.unlabelled_cases(), labels="any"))
    device = torch.device("cpu")
    return BatchSampler(labelled, unlabelled, plan, seed, device, **(extras or {}))


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize(("shape", "channels"), [((20, 22, 24), 1), ((32, 40, 1), 2)])
def test_batches_have_the_planned_shape_in_3d_and_2d(tmp_path, preset, shape, channels):
    drawn = sampler(tmp_path, preset=preset, shape=shape, channels=channels)
    batch = drawn.draw(2, 3)
    assert batch.images.shape == (5, channels, *drawn.plan.spatial)
    assert batch.labels.shape == (2, *drawn.plan.spatial)
    assert (batch.labelled, batch.unlabelled) == (2, 3)
    assert set(batch.labels.unique().tolist()) <= {0, 1, 2}
    assert len(batch.spacing) == drawn.plan.network.dimensions


def test_the_same_seed_and_position_draw_the_same_batch(tmp_path):
    first = sampler(tmp_path / "a", seed=3)
    batches = [first.draw(1, 1) for _ in range(4)]
    again = sampler(tmp_path / "b", seed=3)
    again.draw(1, 1)
    state = again.state_dict()
    resumed = sampler(tmp_path / "c", seed=3)
    resumed.load_state_dict(state)
    torch.testing.assert_close(resumed.draw(1, 1).images, batches[1].images)
    other = sampler(tmp_path / "d", seed=4)
    assert not torch.equal(other.draw(1, 1).images, batches[0].images)


def test_a_pass_shows_every_case_once(tmp_path):
    drawn = sampler(tmp_path, count=7, labelled=3)
    names = [drawn.draw(1, 0).cases[0] for _ in range(6)]
    assert set(names[:3]) == set(names[3:]) == {"case_00", "case_01", "case_02"}


@pytest.mark.parametrize("crops", [(1, 1), (2, 0)])
def test_samplers_that_share_the_streams_draw_what_one_alone_draws_in_turn(tmp_path, crops):
    alone = sampler(tmp_path / "alone", seed=2)
    first, second = (
        sampler(tmp_path / name, seed=2, extras={"process": process, "processes": 2})
        for process, name in enumerate(("first", "second"))
    )
    for _ in range(3):
        for each in (first, second):
            mine, theirs = alone.draw(*crops), each.draw(*crops)
            assert theirs.cases == mine.cases
            torch.testing.assert_close(theirs.images, mine.images)
    assert first.state_dict() == second.state_dict() == alone.state_dict()


def test_crops_of_a_slice_lie_in_a_slice_and_not_between_two(tmp_path):
    drawn = sampler(tmp_path, shape=(40, 40, 8), preset="modern", extras={"positions": True})
    slices = drawn.plan.model_copy(
        update={
            "patch": (1, 16, 16),
            "network": drawn.plan.network.model_copy(update={"dimensions": 2}),
        }
    )
    drawn.plan = slices
    seen = {
        float(height)
        for _ in range(20)
        for height in drawn.draw(2, 2).positions[..., 0].unique().tolist()
    }
    assert seen <= set(map(float, range(8)))
    assert len(seen) > 4


def test_held_out_cases_are_never_drawn(tmp_path):
    drawn = sampler(tmp_path, count=6, labelled=2, held_out=2)
    seen = {name for _ in range(8) for name in drawn.draw(2, 2).cases}
    assert seen == {"case_00", "case_01", "case_02", "case_03"}


def test_teachers_see_the_crop_before_intensity_changes(tmp_path):
    batch = sampler(tmp_path).draw(1, 1)
    assert not torch.equal(batch.images, batch.plain_images)
    paper = sampler(tmp_path / "paper", preset="paper").draw(1, 1)
    assert torch.equal(paper.images, paper.plain_images)


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize("shape", [(20, 22, 24), (32, 32, 1)])
def test_positions_say_where_each_voxel_of_a_crop_was_read(tmp_path, preset, shape):
    drawn = sampler(tmp_path, preset=preset, shape=shape, extras={"positions": True})
    cases = {case.name: case for case in [*drawn.labelled, *drawn.unlabelled]}
    batch = drawn.draw(2, 2)
    assert batch.positions.shape == (4, *drawn.plan.spatial, 3)
    for index, name in enumerate(batch.cases):
        positions = batch.positions[index].reshape(*drawn.plan.patch, 3)
        image, _ = read_at(cases[name].image, None, positions, 3)
        torch.testing.assert_close(image.reshape(batch.plain_images[index].shape),
                                   batch.plain_images[index])  # fmt: skip
    assert sampler(tmp_path / "without", preset=preset).draw(1, 1).positions is None


def test_hidden_labels_are_those_of_the_unlabelled_crops_where_there_are_any(tmp_path):
    drawn = sampler(tmp_path, count=4, labelled=1, extras={"hidden_labels": True})
    assert (drawn.draw(1, 2).hidden_labels == 255).all()  # no unlabelled case has a label
    case = drawn.labelled[0]
    drawn.unlabelled = [case]
    batch = drawn.draw(0, 2)
    assert batch.labelled == 0
    assert batch.hidden_labels.shape == (2, *drawn.plan.spatial)
    assert set(batch.hidden_labels.unique().tolist()) == {0, 1, 2}
    assert sampler(tmp_path / "without").draw(1, 1).hidden_labels is None


def sides(label, spacing):
    """A map with one value inside and one outside of each class: what is read tells the side."""
    return np.stack([np.where(label == index, -0.5, 0.5) for index in (1, 2)])


DISTANCES = DistanceMaps("sides", sides)


@pytest.mark.parametrize("preset", ["modern", "paper"])
@pytest.mark.parametrize("shape", [(20, 22, 24), (32, 32, 1)])
def test_distances_of_whole_cases_are_read_where_the_labels_were(tmp_path, preset, shape):
    drawn = sampler(tmp_path, preset=preset, shape=shape, distances=DISTANCES)
    for _ in range(4):
        batch = drawn.draw(2, 1)
        assert batch.signed_distance.shape == (2, 2, *drawn.plan.spatial)
        assert batch.signed_distance.dtype == torch.float32
        inside = torch.stack([batch.labels == 1, batch.labels == 2], dim=1)
        decided = batch.signed_distance.abs() > (0.3 if preset == "modern" else 0.0)
        assert torch.equal((batch.signed_distance < 0)[decided], inside[decided])
        assert decided.float().mean() > 0.5


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_distances_are_delivered_only_where_they_were_made_and_change_nothing_else(
    tmp_path, preset
):
    plain = sampler(tmp_path / "plain", preset=preset).draw(2, 1)
    extra = sampler(tmp_path / "extra", preset=preset, distances=DISTANCES).draw(2, 1)
    assert plain.signed_distance is None
    assert torch.equal(plain.images, extra.images)
    assert torch.equal(plain.labels, extra.labels)


def test_a_turned_crop_has_the_very_values_of_the_case(tmp_path):
    drawn = sampler(
        tmp_path,
        preset="paper",
        extras={"positions": True},
        distances=DistanceMaps("ramp", lambda label, _: np.linspace(-1, 1, 2 * label.size).reshape(
            2, *label.shape)),
    )  # fmt: skip
    cases = {case.name: case for case in drawn.labelled}
    batch = drawn.draw(2, 1)
    for index in range(2):
        z, y, x = batch.positions[index].reshape(*drawn.plan.patch, 3).long().unbind(-1)
        expected = cases[batch.cases[index]].signed_distance[:, z.numpy(), y.numpy(), x.numpy()]
        found = batch.signed_distance[index].reshape(expected.shape)
        torch.testing.assert_close(found, torch.from_numpy(expected.astype(np.float32)))


def test_scaling_leaves_the_values_of_the_case_and_moves_their_zero_level():
    """What the batch says of its approximation: the values are off by the factor of the scaling."""
    plane = np.zeros((1, 8, 8, 40), np.float16)
    plane[:] = (np.arange(40) - 20) / 20  # voxels from a plane, over a reach of 20
    axes = [torch.arange(n, dtype=torch.float32) for n in (4, 4, 20)]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1) - torch.tensor([2.0, 2, 10])
    for factor in (0.8, 1.25):  # voxels of the case that one voxel of the crop spans
        positions = offsets * factor + torch.tensor([4.0, 4, 20])
        found, _ = read_at(plane, None, positions, 0)
        true = offsets[..., 2] / 20  # of the label as it looks in the crop
        torch.testing.assert_close(found[0], true * factor, atol=1e-3, rtol=0)


def test_maps_of_whole_cases_are_made_once_for_each_label_and_option(tmp_path):
    study = make_study(tmp_path)
    plan = make_plan(take_fingerprint(study), describe_machine("cpu"), (1, 2), "modern")
    made = []

    def make(label, spacing):
        made.append((label.shape, spacing))
        return sides(label, spacing)

    def read(key):
        maps = DistanceMaps(key, make)
        return list(cache_cases(study, plan, study.labelled_cases(), "all", maps))

    first, again = read("one"), read("one")
    assert made == [(case.label.shape, case.spacing) for case in first]
    for case, other in zip(first, again, strict=True):
        assert isinstance(case.signed_distance, np.memmap)
        assert case.signed_distance.dtype == np.float16
        np.testing.assert_array_equal(case.signed_distance, other.signed_distance)
    read("another")
    assert len(made) == 2 * len(first)
    unlabelled = cache_cases(
        study, plan, study.unlabelled_cases(), "any", DistanceMaps("one", make)
    )
    assert all(case.signed_distance is None for case in unlabelled)


def test_image_and_label_are_bent_together():
    """A label that is a threshold of the image stays one wherever the crop is read."""
    random = np.random.default_rng(0)
    label = np.zeros((24, 24, 24), np.uint8)
    label[6:18, 6:18, 6:18] = 1
    image = label[None].astype(np.float16)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        centre = np.array([12.0, 12, 12]) + random.uniform(-4, 4, 3)
        positions = sampling_grid((16, 16, 16), centre, (1.0, 1.0, 1.0), generator)
        crop, indices = read_at(image, label, positions, classes=2)
        decided = (crop[0] - 0.5).abs() > 0.05
        assert torch.equal((crop[0] > 0.5)[decided], (indices == 1)[decided])


def test_reading_without_change_returns_the_voxels_and_the_border_outside():
    image = np.arange(4 * 5 * 6, dtype=np.float32).reshape(1, 4, 5, 6)
    axes = [torch.arange(n, dtype=torch.float32) for n in (4, 5, 6)]
    positions = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    crop, _ = read_at(image, None, positions, 2)
    torch.testing.assert_close(crop, torch.from_numpy(image))
    shifted, _ = read_at(image, None, positions + torch.tensor([0.0, 0.0, 3.0]), 2)
    assert (shifted[..., 3:] == torch.from_numpy(image)[..., -1:]).all()


def test_thick_slices_are_rotated_within_the_slice_only():
    generator = torch.Generator().manual_seed(1)
    centre = np.array([4.0, 16, 16])
    for _ in range(20):
        positions = sampling_grid((4, 8, 8), centre, (5.0, 1.0, 1.0), generator)
        rows = positions[..., 0] - centre[0]
        spread = rows.std(dim=(1, 2)).max()
        if spread < 1e-5:
            return  # a draw without elastic bending: slices stay slices
    pytest.fail("every draw tilted the slices")


def test_a_cut_outside_the_scan_repeats_the_border():
    image = np.arange(27, dtype=np.float16).reshape(1, 3, 3, 3)
    crop = cut(image, np.ones((3, 3, 3), np.uint8), np.array([1.0, 1, 1]), (5, 5, 5))
    assert crop.image.shape == (1, 5, 5, 5)
    assert crop.image[0, 0, 0, 0] == 0
    assert crop.image[0, 4, 4, 4] == 26
    assert (crop.label == 1).all()
    assert crop.positions[0, 0, 0].tolist() == [0, 0, 0]
    assert crop.positions[4, 3, 4].tolist() == [2, 2, 2]


def test_mirroring_turns_image_and_label_alike_and_leaves_some_alone():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    unturned = 0
    for seed in range(40):
        turned, label = mirror(image, image[0].long(), torch.Generator().manual_seed(seed))
        torch.testing.assert_close(turned[0].long(), label)
        unturned += torch.equal(turned, image)
    assert 0 < unturned < 40  # the papers' code never shows the unturned crop


def test_intensity_changes_keep_shape_and_stay_finite():
    crops = torch.randn(6, 2, 8, 8, 8)
    changed = change_intensities(crops, torch.Generator().manual_seed(0))
    assert changed.shape == crops.shape
    assert torch.isfinite(changed).all()
    assert not torch.equal(changed, crops)


def test_scans_are_zscored_and_ct_is_windowed():
    voxels = np.random.default_rng(0).normal(300, 50, (2, 8, 9, 10)).astype(np.float32)
    scan = normalise(voxels, Normalisation(kind="scan"))
    assert scan.mean(axis=(1, 2, 3)) == pytest.approx([0, 0], abs=1e-4)
    assert scan.std(axis=(1, 2, 3)) == pytest.approx([1, 1], abs=1e-4)
    window = Normalisation(kind="ct", window=((-100, 200),), mean=(50,), deviation=(100,))
    hounsfield = np.array([-1000, -100, 50, 200, 3000], np.int16).reshape(1, 1, 1, 5)
    np.testing.assert_allclose(normalise(hounsfield, window).ravel(), [-1.5, -1.5, 0, 1.5, 1.5])


def test_class_values_become_indices_and_unknown_ones_are_ignored():
    label = np.array([0, 4, 9, 3])
    assert class_indices(label, (4, 9)).tolist() == [0, 1, 2, 255]
