"""All maps come on the scan's own grid, whatever its orientation, voxel size and number of slices."""

import itertools

import numpy as np
import pytest
import scipy.ndimage
import torch

from napari_semiseg.engine.errors import ScanMissing, StudyError, TrainingError
from napari_semiseg.engine.inference import native_grid, prediction
from napari_semiseg.engine.inference.maps import MAP_KINDS, NATIVE, every_kind
from napari_semiseg.engine.inference.prediction import (
    CasePredicted,
    Predicting,
    predict,
    predict_case,
    predict_of_many,
)
from napari_semiseg.engine.inference.windows import slide
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.parts.signed_distance import exact_distance
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.volumes import large_arrays
from tests.engine.inference.known_answers import (
    Threshold,
    TwoAnswers,
    blob,
    finish,
    make_plan,
    make_volume,
)
from tests.engine.small_study import make_study

ORIENTATIONS = ("RAS", "LPI", "ASR", "PIR", "SRA", "LAS")


def maps_of(method, volume, kinds=MAP_KINDS):
    return finish(predict_case(method, "a case", volume, kinds))[1]


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_a_threshold_gives_the_exact_native_mask_in_every_orientation(axes):
    mask = blob()
    volume = make_volume(mask, axes)
    found = maps_of(Threshold(make_plan(class_values=(7,))), volume)
    assert found.geometry is volume.geometry
    np.testing.assert_array_equal(found.prediction, 7 * mask)
    assert found.prediction.dtype == np.uint8
    for kind, array in found.arrays().items():
        assert array.shape[-3:] == mask.shape, kind


@pytest.mark.parametrize("axes", ORIENTATIONS)
def test_a_coarser_model_grid_gives_the_mask_back_but_for_its_corners(axes):
    mask = np.zeros((24, 20, 28), bool)
    mask[4:16, 2:12, 10:24] = True
    plan = make_plan(spacing=(2.0, 2.0, 2.0))
    found = maps_of(Threshold(plan), make_volume(mask, axes))
    different = np.argwhere((found.prediction == 3) != mask)
    assert {tuple(corner) for corner in different} <= set(
        itertools.product((4, 15), (2, 11), (10, 23))
    )


def test_nested_classes_keep_their_values_and_their_order():
    mask = blob()
    inner = scipy.ndimage.binary_erosion(mask)
    plan = make_plan(class_values=(2, 9))
    volume = make_volume(mask.astype(float) + inner, "LPI")
    found = maps_of(Threshold(plan, (0.5, 1.5)), volume)
    expected = np.where(inner, 9, np.where(mask, 2, 0))
    np.testing.assert_array_equal(found.prediction, expected)
    assert found.signed_distance.shape[0] == 2
    assert found.similarity.shape[0] == 3
    np.testing.assert_allclose(found.similarity[2] > 0.5, inner)


@pytest.mark.parametrize(("by_plan", "asked"), [(True, None), (False, True)])
def test_islands_are_cleared_where_the_plan_or_the_caller_wants_it(by_plan, asked):
    mask = np.zeros((20, 18, 22), bool)
    mask[6:14, 5:12, 8:17] = True
    corner = (slice(0, 2),) * 3
    with_island = mask.copy()
    with_island[corner] = True
    plan = make_plan().model_copy(update={"largest_component": by_plan})
    method, volume = Threshold(plan), make_volume(with_island)
    _, cleared = finish(predict_case(method, "a case", volume, largest_component=asked))
    np.testing.assert_array_equal(cleared.prediction == 3, mask)
    assert (cleared.signed_distance[0][corner] > 0).all()
    _, kept = finish(predict_case(method, "a case", volume, largest_component=False))
    np.testing.assert_array_equal(kept.prediction == 3, with_island)


def test_signed_distance_is_in_millimetres_and_negative_inside_on_anisotropic_voxels():
    mask, spacing = blob(), (3.0, 0.5, 0.8)  # z, y, x
    volume = make_volume(mask, "RAS", spacing[::-1])
    found = maps_of(Threshold(make_plan(spacing=spacing)), volume)
    np.testing.assert_array_equal(found.prediction == 3, mask)
    np.testing.assert_allclose(found.signed_distance[0], exact_distance(mask, spacing), atol=1e-4)


@pytest.mark.parametrize(("axis", "millimetres"), [(0, 3.0), (1, 0.5), (2, 0.8)])
def test_signed_distance_along_an_axis_counts_its_millimetres_from_the_faces(axis, millimetres):
    spacing, index = (3.0, 0.5, 0.8), np.indices((12, 14, 16))[axis]
    mask = index < 6
    volume = make_volume(mask, "RAS", spacing[::-1])
    found = maps_of(Threshold(make_plan(spacing=spacing)), volume)
    np.testing.assert_allclose(found.signed_distance[0], (index - 5.5) * millimetres, atol=1e-4)


@pytest.mark.parametrize(("value", "sign"), [(0.0, 1), (1.0, -1)])
def test_a_class_that_is_nowhere_or_everywhere_has_finite_distances(value, sign):
    volume = make_volume(np.full((9, 9, 9), value))
    found = maps_of(Threshold(make_plan()), volume)
    assert np.isfinite(found.signed_distance).all()
    assert (np.sign(found.signed_distance) == sign).all()


def test_a_heads_distance_in_millimetres_is_taken_as_it_is():
    mask = blob()
    found = maps_of(Threshold(make_plan(), head=True, reach=8.0), make_volume(mask, "PIR"))
    np.testing.assert_allclose(found.signed_distance[0], np.where(mask, -4.0, 4.0), rtol=1e-5)


def test_a_head_without_a_unit_says_only_where_the_border_lies():
    mask = blob()
    head = maps_of(Threshold(make_plan(), head=True), make_volume(mask))
    exact = maps_of(Threshold(make_plan()), make_volume(mask))
    np.testing.assert_allclose(head.signed_distance, exact.signed_distance)


def test_a_single_slice_goes_through_a_2d_network():
    mask = blob()[5:6]
    found = maps_of(Threshold(make_plan((1, 8, 8))), make_volume(mask, "LPI", (0.5, 0.5, 1.0)))
    assert found.prediction.shape == (1, 14, 17)
    found = maps_of(
        Threshold(make_plan((1, 8, 8), (1.0, 0.5, 0.5))), make_volume(mask, "LPI", (0.5, 0.5, 1.0))
    )
    np.testing.assert_array_equal(found.prediction == 3, mask)


def test_a_scan_smaller_than_a_patch_is_predicted_whole():
    mask = blob()[2:6, 2:6, 3:6]
    found = maps_of(Threshold(make_plan((16, 16, 16))), make_volume(mask, "ASR"))
    np.testing.assert_array_equal(found.prediction == 3, mask)


def test_maps_that_were_not_asked_for_are_left_out():
    found = maps_of(Threshold(make_plan()), make_volume(blob()), ())
    assert list(found.arrays()) == ["prediction"]
    found = maps_of(Threshold(make_plan()), make_volume(blob()), ("uncertainty",))
    assert list(found.arrays()) == ["prediction", "uncertainty"]
    assert 0 <= found.uncertainty.min() <= found.uncertainty.max() <= 1


@pytest.mark.parametrize("axes", ["RAS", "PIR"])
def test_maps_of_the_methods_own_come_on_the_scans_grid(axes):
    mask = blob()
    inner = scipy.ndimage.binary_erosion(mask)
    # 0.6 is above the first threshold for the first answer alone
    volume = make_volume(0.6 * mask + inner, axes)
    method = TwoAnswers(make_plan(class_values=(2, 9)), (0.5, 1.5), head=True)
    found = maps_of(method, volume, every_kind())
    np.testing.assert_array_equal(found.disagreement, (mask & ~inner) | inner)
    own = {key: item.array for key, item in found.native.items()}
    assert list(own) == [item.key for item in TwoAnswers.native_maps]
    assert {key: item.description for key, item in found.native.items()} == {
        item.key: item for item in TwoAnswers.native_maps
    }
    assert own["second_answer"].dtype == np.uint8
    np.testing.assert_array_equal(own["second_answer"], 2 * inner)
    np.testing.assert_array_equal(own["mask"], [inner, np.zeros_like(inner)])
    np.testing.assert_allclose(own["border"][0], np.where(inner, -6, 6), rtol=1e-6)
    np.testing.assert_allclose(own["likeness"][1], np.where(inner, 1, -1), rtol=1e-6)
    np.testing.assert_allclose(own["kept"], np.full(mask.shape, 0.75), rtol=1e-6)
    assert list(found.arrays()) == [*MAP_KINDS, *own]


def test_maps_of_the_methods_own_are_made_only_where_they_are_asked_for():
    method = TwoAnswers(make_plan())
    assert not maps_of(method, make_volume(blob())).native
    found = maps_of(method, make_volume(blob()), (NATIVE,))
    assert list(found.arrays()) == ["prediction", *(item.key for item in method.native_maps)]
    previewed = maps_of(method, make_volume(blob()), ("prediction", "uncertainty"))
    assert list(previewed.arrays()) == ["prediction", "uncertainty"]


def test_a_method_with_one_answer_has_no_disagreement():
    found = maps_of(Threshold(make_plan()), make_volume(blob()), every_kind())
    assert found.disagreement is None
    assert not found.native


@pytest.mark.parametrize("head", [False, True])
def test_large_maps_live_in_files_with_the_same_values(monkeypatch, head):
    reach = 5.0 if head else None
    volume = make_volume(blob(), "LPI")
    method = TwoAnswers(make_plan(), head=head, reach=reach)
    expected = maps_of(method, volume, every_kind()).arrays()
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 1000)
    found = maps_of(method, volume, every_kind()).arrays()
    assert list(found) == list(expected)
    assert len(found) == len(MAP_KINDS) + len(TwoAnswers.native_maps)
    for kind, array in found.items():
        assert isinstance(array, np.memmap), kind
        np.testing.assert_array_equal(array, expected[kind], err_msg=kind)


def test_the_way_back_goes_slab_by_slab_with_the_same_values(monkeypatch):
    volume = make_volume(blob(), "SRA")
    method = TwoAnswers(make_plan(spacing=(2.0, 1.5, 1.0)))
    expected = maps_of(method, volume, every_kind()).arrays()
    monkeypatch.setattr(native_grid.NativeMaps.__init__, "__defaults__", ((), 500))
    found = maps_of(method, volume, every_kind()).arrays()
    for kind, array in found.items():
        np.testing.assert_allclose(array, expected[kind], atol=1e-6, err_msg=kind)


def train_briefly(study, method="ua-mt", **settings):
    overrides = {"network.filters": 4, "patch": (16, 16, 16), "network.strides": [[2, 2, 2]] * 2}
    settings = TrainingSettings(
        method=method, steps=2, device="cpu", plan_overrides=overrides, **settings
    )
    return finish(train(study, settings))[1]


@pytest.fixture
def trained(tmp_path):
    with make_study(tmp_path, count=5) as study:
        train_briefly(study)
        yield study


@pytest.mark.trains
@pytest.mark.parametrize("key", available_methods())
def test_every_method_gives_all_its_maps_within_their_ranges(tmp_path, key):
    with make_study(tmp_path, count=3, labelled=1) as study:
        train_briefly(study, key)
        events = list(predict(study, device="cpu"))
    found = events[-1].maps
    shape = found.geometry.shape
    own = available_methods()[key].native_maps
    assert set(MAP_KINDS) - {"disagreement"} <= set(found.arrays())
    assert set(found.native) <= {item.key for item in own}
    if found.disagreement is not None:
        assert found.disagreement.shape == shape
        assert 0 <= found.disagreement.min() <= found.disagreement.max() <= 1
    assert found.prediction.shape == found.uncertainty.shape == shape
    assert set(np.unique(found.prediction)) <= {0, 1, 2}
    assert found.signed_distance.shape == (2, *shape)
    assert found.similarity.shape == (3, *shape)
    assert 0 <= found.uncertainty.min() <= found.uncertainty.max() <= 1
    assert -1 <= found.similarity.min() <= found.similarity.max() <= 1
    assert all(np.isfinite(array).all() for array in found.arrays().values())
    assert found.uncertainty_source
    assert found.seconds > 0


def test_predicting_marks_unlabelled_cases_and_stores_their_maps(trained):
    events = list(predict(trained, device="cpu"))
    done = [event.case for event in events if isinstance(event, CasePredicted)]
    assert done == ["case_02", "case_03"]
    shares = [
        (event.index + event.share) / event.total
        for event in events
        if isinstance(event, Predicting)
    ]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    run = trained.runs.get()
    for name in done:
        assert trained.case(name).state == CaseState.PREDICTED
        assert set(MAP_KINDS) - {"disagreement"} <= set(trained.runs.maps.kinds(run, name))
        assert trained.runs.maps.load(run, name, "uncertainty").attributes["source"]
    last = events[-1].maps
    assert trained.runs.maps.kinds(run, last.case) == sorted(last.arrays())
    for kind, array in last.arrays().items():
        np.testing.assert_array_equal(
            trained.runs.maps.load(run, last.case, kind).array[...], array
        )


def test_predicting_never_touches_what_people_made(trained):
    labelled, locked = trained.labelled_cases()[0], trained.held_out_cases()[0]
    before = {case.name: trained.labels.load(case.name) for case in (labelled, locked)}
    decisions = len(trained.decisions())
    list(predict(trained, cases=[labelled.name, locked.name], device="cpu"))
    for case in (labelled, locked):
        after = trained.case(case.name)
        assert (after.state, after.label_saved_at) == (case.state, case.label_saved_at)
        np.testing.assert_array_equal(trained.labels.load(case.name), before[case.name])
    assert len(trained.decisions()) == decisions


def test_predicting_without_storing_leaves_the_study_alone(trained):
    list(predict(trained, device="cpu", store=False))
    assert trained.runs.maps.kinds(trained.runs.get(), "case_02") == []
    assert trained.case("case_02").state == CaseState.UNLABELLED


def test_predicting_may_be_left_between_two_windows(trained):
    work = predict(trained, device="cpu")
    assert isinstance(next(work), Predicting)
    work.close()
    assert trained.case("case_02").state == CaseState.UNLABELLED


def test_the_same_run_predicts_the_same_twice(trained):
    first = list(predict(trained, cases=["case_02"], kinds=(), device="cpu"))[-1].maps
    second = list(predict(trained, cases=["case_02"], kinds=(), device="cpu"))[-1].maps
    np.testing.assert_array_equal(first.prediction, second.prediction)


def test_one_of_many_cases_says_how_far_the_whole_is(trained):
    method = Threshold(make_plan(class_values=(1,)), (150.0,))
    events, found = finish(predict_of_many(method, trained, trained.case("case_02"), 1, 3, ()))
    assert {(event.case, event.index, event.total) for event in events} == {("case_02", 1, 3)}
    assert found.case == "case_02"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"run": "009-dtc"}, "no run '009-dtc'"),
        ({"cases": ["case_0"]}, "case_0"),
        ({"cases": []}, "no unlabelled scan to predict"),
    ],
)
def test_what_is_not_there_is_named_in_one_sentence(trained, arguments, words):
    with pytest.raises(StudyError, match=words):
        next(predict(trained, device="cpu", **arguments))


def test_a_study_without_a_run_asks_for_training(tmp_path):
    with make_study(tmp_path) as study, pytest.raises(StudyError, match="train first"):
        next(predict(study))


def test_a_scan_that_moved_is_named(trained, tmp_path):
    (tmp_path / "images" / "case_02.nii.gz").unlink()
    with pytest.raises(ScanMissing, match="case_02"):
        list(predict(trained, device="cpu"))


def test_a_run_without_prototypes_measures_them_when_a_similarity_map_is_wanted(
    tmp_path, monkeypatch
):
    study = make_study(tmp_path)
    for _ in train(study, TrainingSettings(method="supervised", steps=2)):
        pass
    restored = prediction.restore

    def as_if_killed(*arguments):
        method, checkpoint = restored(*arguments)
        method.prototypes = None
        return method, checkpoint

    monkeypatch.setattr(prediction, "restore", as_if_killed)
    *_, last = prediction.predict(study, cases=["case_03"])
    assert last.maps.similarity.shape[0] == 3


def test_windows_are_halved_when_memory_is_short_and_one_too_large_is_a_sentence(monkeypatch):
    method = Threshold(make_plan())
    image = np.random.default_rng(0).normal(size=(1, 14, 14, 14)).astype(np.float32)
    whole = finish(slide(method, image))[1]["probabilities"]
    plain = method.predict

    def at_most_one(patch, uncertainty=True, native=False):
        if len(patch) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return plain(patch, uncertainty)

    monkeypatch.setattr(method, "predict", at_most_one)
    np.testing.assert_allclose(finish(slide(method, image))[1]["probabilities"], whole)

    def never(patch, uncertainty=True, native=False):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(method, "predict", never)
    with pytest.raises(TrainingError, match="too little free memory"):
        finish(slide(method, image))
