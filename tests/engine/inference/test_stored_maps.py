"""Maps go into the study and come out as they were, those of the method's own included."""

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.maps import MAP_KINDS, NATIVE
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.inference.stored_maps import load_maps, store_maps
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.volumes import large_arrays
from tests.engine.inference.known_answers import Threshold, TwoAnswers, finish, make_plan
from tests.engine.small_study import make_study


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=3, labelled=1) as made:
        made.runs.create("two-answers", {}, 0)
        yield made


def predicted(study, kinds=(*MAP_KINDS, NATIVE), kind_of_method=TwoAnswers, name="case_01"):
    method = kind_of_method(make_plan(spacing=(1.5, 1, 1), class_values=(1, 2)), (150, 220))
    return finish(predict_case(method, name, study.scans.read(name), kinds))[1]


def run_of(study):
    return study.runs.all()[0].identifier


def test_every_map_comes_back_as_it_was(study):
    maps = predicted(study)
    store_maps(study, run_of(study), maps)
    found = load_maps(study, run_of(study), "case_01")
    assert study.runs.maps.kinds(run_of(study), "case_01") == sorted(maps.arrays())
    assert set(found.arrays()) == set(maps.arrays())
    assert len(maps.native) == len(TwoAnswers.native_maps)
    for kind, array in maps.arrays().items():
        np.testing.assert_array_equal(found.arrays()[kind], array, err_msg=kind)
        assert found.arrays()[kind].dtype == array.dtype
    for key, item in maps.native.items():
        assert found.native[key].description == item.description
    assert found.uncertainty_source == maps.uncertainty_source
    assert found.geometry.matches(maps.geometry)
    assert study.case("case_01").state is CaseState.PREDICTED


def test_maps_that_a_method_does_not_make_stay_away(study):
    store_maps(study, run_of(study), predicted(study, kind_of_method=Threshold))
    found = load_maps(study, run_of(study), "case_01")
    assert set(found.arrays()) == set(MAP_KINDS) - {"disagreement"}
    assert not found.native


def test_maps_of_unknown_kinds_without_a_description_are_passed_over(study):
    run = run_of(study)
    store_maps(study, run, predicted(study, ()))
    study.runs.maps.save(run, "case_01", "something", np.zeros((2, 2, 2)))
    assert list(load_maps(study, run, "case_01").arrays()) == ["prediction"]


def test_large_maps_are_read_into_files(study, monkeypatch):
    maps = predicted(study)
    store_maps(study, run_of(study), maps)
    monkeypatch.setattr(large_arrays, "IN_MEMORY", 1000)
    for kind, array in load_maps(study, run_of(study), "case_01").arrays().items():
        assert isinstance(array, np.memmap), kind
        np.testing.assert_array_equal(array, maps.arrays()[kind], err_msg=kind)


def test_a_case_without_a_prediction_is_refused_in_one_sentence(study):
    with pytest.raises(StudyError, match="no prediction map of the case 'case_01'"):
        load_maps(study, run_of(study), "case_01")
