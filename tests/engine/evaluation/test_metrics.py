"""Metrics agree with hand-made shapes, with brute force, and with MONAI where it means the same."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import (
    compute_average_surface_distance,
    compute_dice,
    compute_hausdorff_distance,
    compute_iou,
)
from scipy import ndimage
from scipy.spatial.distance import cdist

from napari_semiseg.engine.errors import BadLabel, GeometryMismatch
from napari_semiseg.engine.evaluation.metrics import (
    CaseMetrics,
    ClassMetrics,
    dice_per_class,
    mean_of,
    measure_case,
)
from napari_semiseg.engine.evaluation.surfaces import directed_distances, surface
from tests.engine.evaluation.figures import class_metrics

pytestmark = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")

ISOTROPIC = (1.0, 1.0, 1.0)
ANISOTROPIC = (3.0, 0.7, 1.2)


def cube(shape: tuple[int, int, int], start: int, stop: int) -> np.ndarray:
    voxels = np.zeros(shape, np.uint8)
    voxels[(slice(start, stop),) * 3] = 1
    return voxels


def ball(radius_mm: float, spacing=ISOTROPIC, extent: int = 41) -> np.ndarray:
    middle = extent // 2
    squares = [((np.arange(extent) - middle) * step) ** 2 for step in spacing]
    return (sum(np.meshgrid(*squares, indexing="ij")) <= radius_mm**2).astype(np.uint8)


def blobs(seed: int, shape=(14, 18, 16), classes: int = 2) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((classes + 1, *shape))
    smooth = np.stack([ndimage.gaussian_filter(part, 2) for part in noise])
    return smooth.argmax(axis=0).astype(np.uint8)


def one_class(prediction, reference, spacing=ISOTROPIC, **options) -> ClassMetrics:
    return measure_case(prediction, reference, [1], spacing, **options).classes[1]


def one_hot(mask: np.ndarray) -> torch.Tensor:
    """Shape (1, 1, z, y, x), as MONAI's functions want one foreground class."""
    return torch.from_numpy(mask.astype(np.float32))[None, None]


def brute_force(prediction: np.ndarray, reference: np.ndarray, spacing) -> tuple[float, ...]:
    """hd95, asd, assd from every pair of surface voxels."""
    points = [
        np.argwhere(surface(mask == 1)) * np.array(spacing) for mask in (prediction, reference)
    ]
    distances = cdist(*points)
    forth, back = distances.min(axis=1), distances.min(axis=0)
    pooled = np.percentile(np.concatenate([forth, back]), 95)
    return pooled, forth.mean(), (forth.mean() + back.mean()) / 2


def test_a_perfect_prediction_has_full_overlap_and_no_distance() -> None:
    label = ball(8)
    metrics = one_class(label, label)
    assert (metrics["dice"], metrics["jaccard"]) == (1, 1)
    assert (metrics["hd95"], metrics["asd"], metrics["assd"]) == (0, 0, 0)
    assert metrics.outcome == "compared"


def test_nested_cubes_have_the_overlap_and_volumes_counted_by_hand() -> None:
    small, large = cube((20, 20, 20), 6, 10), cube((20, 20, 20), 4, 12)
    metrics = one_class(small, large, (2.0, 1.0, 0.5))
    assert metrics["dice"] == 2 * 64 / (64 + 512)
    assert metrics["jaccard"] == 64 / 512
    assert metrics["volume_ml"] == pytest.approx(0.064)
    assert metrics["reference_volume_ml"] == pytest.approx(0.512)


def test_nested_cubes_have_the_distance_of_their_faces() -> None:
    small, large = cube((20, 20, 20), 6, 10), cube((20, 20, 20), 4, 12)
    # Every face voxel of the small cube lies two voxels under a face of the large one.
    assert one_class(small, large)["asd"] == 2


def test_a_shift_along_the_thick_axis_is_measured_in_millimetres() -> None:
    label = np.zeros((12, 12, 12), np.uint8)
    label[5, :, :] = 1
    shifted = np.roll(label, 2, axis=0)
    metrics = one_class(shifted, label, ANISOTROPIC)
    assert metrics["hd95"] == metrics["asd"] == metrics["assd"] == pytest.approx(6.0)
    assert one_class(shifted, label, ANISOTROPIC, unit="voxels")["asd"] == 2


def test_voxel_units_leave_volumes_in_millilitres() -> None:
    label = cube((9, 9, 9), 2, 7)
    measured = measure_case(label, label, [1], (2.0, 2.0, 2.0), unit="voxels")
    assert measured.unit == "voxels"
    assert measured.classes[1]["volume_ml"] == pytest.approx(1.0)


def test_asd_leads_from_the_prediction_to_the_reference() -> None:
    # The prediction is one small ball inside the reference, which has a second ball far away.
    reference = np.concatenate([ball(9), ball(9)], axis=2)
    prediction = np.concatenate([ball(6), np.zeros_like(ball(6))], axis=2)
    near = one_class(prediction, reference)
    far = one_class(reference, prediction)
    assert near["asd"] == pytest.approx(3, abs=0.5)
    assert far["asd"] > 10
    assert near["assd"] == far["assd"] == pytest.approx((near["asd"] + far["asd"]) / 2)
    assert near["hd95"] == far["hd95"]


@pytest.mark.parametrize("spacing", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_distances_equal_brute_force(seed: int, spacing) -> None:
    prediction, reference = blobs(seed), blobs(seed + 100)
    metrics = one_class(prediction, reference, spacing)
    expected = brute_force(prediction, reference, spacing)
    assert (metrics["hd95"], metrics["asd"], metrics["assd"]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("spacing", [ISOTROPIC, ANISOTROPIC])
@pytest.mark.parametrize("value", [1, 2])
def test_overlap_and_asd_equal_monai(value: int, spacing) -> None:
    prediction, reference = blobs(3), blobs(4)
    ours = measure_case(prediction, reference, [value], spacing).classes[value]
    pair = one_hot(prediction == value), one_hot(reference == value)
    assert ours["dice"] == pytest.approx(compute_dice(*pair).item(), rel=1e-5)
    assert ours["jaccard"] == pytest.approx(compute_iou(*pair).item(), rel=1e-5)
    monai = compute_average_surface_distance(*pair, include_background=True, spacing=spacing)
    assert ours["asd"] == pytest.approx(monai.item(), rel=1e-4)


def test_hd95_pools_the_directions_where_monai_takes_the_larger_one() -> None:
    prediction, reference = blobs(5), blobs(6)
    pair = one_hot(prediction == 1), one_hot(reference == 1)
    directed = [
        compute_hausdorff_distance(
            *order, include_background=True, percentile=95, directed=True, spacing=ANISOTROPIC
        ).item()
        for order in (pair, pair[::-1])
    ]
    forth, back = directed_distances(prediction == 1, reference == 1, ANISOTROPIC)
    assert sorted(directed) == pytest.approx(
        sorted([np.percentile(forth, 95), np.percentile(back, 95)]), rel=1e-4
    )
    pooled = one_class(prediction, reference, ANISOTROPIC)["hd95"]
    assert min(directed) <= pooled <= max(directed)
    assert pooled < max(directed)


def test_two_empty_masks_are_not_counted() -> None:
    nothing = np.zeros((5, 6, 7), np.uint8)
    metrics = one_class(nothing, nothing)
    assert metrics == class_metrics(volume_ml=0, reference_volume_ml=0)
    assert metrics.outcome == "both empty"


def test_one_empty_mask_scores_no_overlap_and_no_distance() -> None:
    label, nothing = cube((8, 8, 8), 2, 5), np.zeros((8, 8, 8), np.uint8)
    missed, invented = one_class(nothing, label), one_class(label, nothing)
    assert missed.outcome == "prediction empty"
    assert invented.outcome == "reference empty"
    for metrics in (missed, invented):
        assert metrics["dice"] == metrics["jaccard"] == 0
        assert metrics["hd95"] is metrics["asd"] is metrics["assd"] is None


def test_masks_that_touch_the_border_have_their_surface_there() -> None:
    full = np.ones((4, 5, 6), np.uint8)
    inner = full.copy()
    inner[0] = 0
    metrics = one_class(inner, full, ANISOTROPIC)
    assert metrics["asd"] == pytest.approx(brute_force(inner, full, ANISOTROPIC)[1])


def test_an_image_of_one_slice_is_measured_by_its_outlines() -> None:
    small, large = np.zeros((1, 20, 20), np.uint8), np.zeros((1, 20, 20), np.uint8)
    small[0, 8:12, 8:12] = 1
    large[0, 6:14, 6:14] = 1
    metrics = measure_case(small, large, [1, 2], (5.0, 0.5, 0.5))
    assert metrics.classes[1]["asd"] == pytest.approx(1.0)
    assert metrics.classes[1]["volume_ml"] == pytest.approx(16 * 1.25 / 1000)
    assert metrics.classes[2].outcome == "both empty"


def test_other_values_than_the_classes_are_background() -> None:
    label = cube((8, 8, 8), 2, 5)
    with_other = label.copy()
    with_other[6:, 6:, 6:] = 200
    assert one_class(with_other, label)["dice"] == 1


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64])
def test_every_integer_type_gives_the_same(dtype) -> None:
    prediction, reference = blobs(7) == 1, blobs(8) == 1
    expected = one_class(prediction.astype(np.uint8), reference.astype(np.uint8))
    assert one_class(prediction.astype(dtype), reference.astype(dtype)) == expected


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), axis=st.integers(0, 2))
def test_distances_and_overlap_do_not_depend_on_orientation(seed: int, axis: int) -> None:
    prediction, reference = blobs(seed, (6, 7, 8), 1), blobs(seed + 1, (6, 7, 8), 1)
    there = one_class(prediction, reference, ANISOTROPIC)
    flipped = one_class(np.flip(prediction, axis), np.flip(reference, axis), ANISOTROPIC)
    for name, value in there.figures.items():
        assert flipped.figures[name] == pytest.approx(value)


def test_dice_alone_equals_the_dice_of_all_metrics() -> None:
    prediction, reference = blobs(9), blobs(10)
    everything = measure_case(prediction, reference, [1, 2, 3], ANISOTROPIC)
    alone = dice_per_class(prediction, reference, [1, 2, 3])
    assert alone == {value: metrics["dice"] for value, metrics in everything.classes.items()}
    assert alone[3] is None
    assert everything.mean_dice == pytest.approx((alone[1] + alone[2]) / 2)


def test_maps_of_different_shape_are_refused() -> None:
    with pytest.raises(GeometryMismatch, match=r"\(4, 4, 4\).*\(4, 4, 5\)"):
        one_class(np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 5), np.uint8))


def test_maps_of_fractions_are_refused() -> None:
    with pytest.raises(BadLabel, match="float32"):
        one_class(np.zeros((4, 4, 4), np.float32), np.zeros((4, 4, 4), np.uint8))


def test_metrics_survive_json() -> None:
    case = measure_case(blobs(11), blobs(12), [1, 2, 9], ANISOTROPIC)
    assert CaseMetrics.from_dict(json.loads(json.dumps(case.to_dict()))) == case


def test_means_leave_out_and_count_what_is_not_defined() -> None:
    label, nothing = cube((10, 10, 10), 2, 8), np.zeros((10, 10, 10), np.uint8)
    half = label.copy()
    half[5:] = 0
    cases = [
        measure_case(prediction, reference, [1, 2], ISOTROPIC)
        for prediction, reference in [
            (label, label),
            (half, label),
            (nothing, label),
            (nothing, nothing),
        ]
    ]
    means = mean_of(cases)
    first = means.classes[1]
    assert first["dice"] == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert first["hd95"] == pytest.approx((0 + cases[1].classes[1]["hd95"]) / 2)
    assert (first.counted, first.not_counted, first.one_empty) == (3, 1, 1)
    assert (means.classes[2]["dice"], means.classes[2].not_counted) == (None, 4)
    assert means.overall["dice"] == first["dice"]
    assert (means.overall.counted, means.overall.not_counted) == (3, 5)
    assert means.cases == 4
    assert json.loads(json.dumps(means.to_dict()))["classes"]["1"]["one_empty"] == 1


def test_each_class_weighs_the_same_in_the_overall_mean() -> None:
    def case(first: float, second: float | None) -> CaseMetrics:
        values = enumerate([first, second], start=1)
        return CaseMetrics(
            {value: class_metrics(dice=dice, reference_volume_ml=0) for value, dice in values}
        )

    means = mean_of([case(0.9, 0.3), case(0.7, None)])
    assert means.overall["dice"] == pytest.approx((0.8 + 0.3) / 2)


def test_the_mean_of_no_case_is_nothing() -> None:
    means = mean_of([])
    assert means.classes == {}
    assert means.overall["dice"] is None


def test_millimetres_and_voxels_are_never_averaged_together() -> None:
    label = cube((6, 6, 6), 2, 4)
    cases = [measure_case(label, label, [1], ISOTROPIC, unit=unit) for unit in ("mm", "voxels")]
    with pytest.raises(ValueError, match="mm and in voxels"):
        mean_of(cases)
