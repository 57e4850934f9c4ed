"""Suggestions, features of scans and the queue of answers, on a small trained study."""

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.prediction import predict
from napari_semiseg.engine.methods.assembly import restore
from napari_semiseg.engine.planning.machine import describe_machine
from napari_semiseg.engine.review import suggestions
from napari_semiseg.engine.review.case_features import FOLDER, scan_features
from napari_semiseg.engine.review.case_queue import MeasuringAnswer, queue_cases
from napari_semiseg.engine.review.suggestions import LookingAtCase, suggest_cases, unsure_of
from napari_semiseg.engine.study import CaseState
from tests.engine.inference.known_answers import finish
from tests.engine.small_study import make_study
from tests.engine.training.small_training import run_training, tiny

pytestmark = pytest.mark.trains


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture
def study(tmp_path):
    with make_study(tmp_path, count=6, labelled=2, held_out=1) as made:
        run_training(made, tiny("supervised", steps=12))
        yield made


def suggest(study, **options):
    return finish(suggest_cases(study, device="cpu", **options))


def test_suggestions_name_unlabelled_scans_slices_and_a_reason(study):
    steps, found = suggest(study, count=2, slices=2)
    assert {step.case for step in steps} == {f"case_{index:02d}" for index in range(5)}
    assert all(isinstance(step, LookingAtCase) and step.index < step.total for step in steps)
    assert len(found) == 2
    assert {each.case for each in found} <= {"case_02", "case_03", "case_04"}
    for each in found:
        assert len(each.slices) <= 2
        assert {need.axis for need in each.slices} <= {0}  # 1.5 mm, the coarsest axis
        assert "more unsure here than in" in each.reason
        assert each.most_like is not None
        assert each.to_dict()["case"] == each.case


def test_looking_again_reads_what_was_kept_and_says_the_same(study, monkeypatch):
    _, first = suggest(study)
    kept = list((study.runs.get().folder / FOLDER).glob("*.npz"))
    assert len(kept) == 5

    def refuse(*_):
        raise AssertionError("measured twice")

    monkeypatch.setattr(suggestions, "method_to_ask", refuse)
    assert suggest(study)[1] == first


def test_another_checkpoint_is_looked_at_anew(study):
    suggest(study)
    run_training(study, tiny("supervised", steps=16), resume=study.runs.get().identifier)
    before = {path.name for path in (study.runs.get().folder / FOLDER).iterdir()}
    suggest(study)
    after = {path.name for path in (study.runs.get().folder / FOLDER).iterdir()}
    assert len(after) == 5
    assert not before & after


def test_stored_maps_are_used_where_they_are(study, monkeypatch):
    finish(predict(study, kinds=("prediction", "uncertainty"), device="cpu"))

    def refuse(*_):
        raise AssertionError("predicted twice")

    monkeypatch.setattr(suggestions, "predict_of_many", refuse)
    assert len(suggest(study)[1]) == 3


def test_cases_that_a_person_has_begun_are_not_suggested(study):
    label = np.zeros(study.case("case_02").geometry.shape, np.uint8)
    label[3, 3, 3] = 1
    study.labels.save("case_02", label, state=CaseState.IN_PROGRESS)
    assert {each.case for each in suggest(study)[1]} == {"case_03", "case_04"}


def test_with_every_scan_labelled_there_is_nothing_to_suggest(study, tmp_path):
    for name in ("case_02", "case_03", "case_04"):
        study.labels.import_file(name, tmp_path / "labels" / f"{name}.nii.gz")
    with pytest.raises(StudyError, match="no scan left"):
        suggest(study)


def test_features_tell_scans_apart_and_leave_no_hook_behind(study):
    method, _ = restore(study.runs.get().folder, describe_machine("cpu"))
    random = np.random.default_rng(0)
    noise = random.normal(size=(1, 24, 22, 20)).astype(np.float32)
    one, same, other = (
        scan_features(method, image) for image in (noise, noise, np.zeros_like(noise))
    )
    assert one.ndim == 1
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)
    assert not any(network._forward_hooks for network in method.networks().values())


def test_a_scan_smaller_than_a_window_has_features_too(study):
    method, _ = restore(study.runs.get().folder, describe_machine("cpu"))
    assert np.isfinite(scan_features(method, np.ones((1, 5, 6, 7), np.float32))).all()


@pytest.mark.parametrize("method", ["mean-teacher", "cps", "ug-mcl"])
def test_every_kind_of_method_has_features(tmp_path, method):
    with make_study(tmp_path, count=4, labelled=1, held_out=1) as study:
        run_training(study, tiny(method, steps=2))
        assert len(suggest(study)[1]) == 2


def test_an_answer_that_marks_nothing_is_most_unsure(study):
    (_, done), _ = finish(predict(study, cases=["case_02"], device="cpu", store=False)), None
    assert done is None
    steps, _ = finish(predict(study, cases=["case_02"], device="cpu", store=False))
    maps = steps[-1].maps
    maps.prediction[:] = 0
    assert unsure_of(maps, [1, 2]) == 1.0


def test_the_queue_judges_every_prediction_but_held_out_ones(study):
    finish(predict(study, kinds=("prediction", "uncertainty"), device="cpu"))
    finish(predict(study, cases=["case_05"], kinds=("uncertainty",), device="cpu"))
    steps, queue = finish(queue_cases(study))
    assert all(isinstance(step, MeasuringAnswer) for step in steps)
    assert {each.case for each in queue} == {"case_02", "case_03", "case_04"}
    scores = [each.trust.score for each in queue]
    assert scores == sorted(scores)
    assert finish(queue_cases(study, cases=["case_03"]))[1] == [
        each for each in queue if each.case == "case_03"
    ]


def test_labels_that_are_finished_in_some_slices_only_say_nothing_of_sizes(study):
    finish(predict(study, kinds=("prediction", "uncertainty"), device="cpu"))
    study.labels.mark_slices("case_00", 0, [3, 4])
    steps, _ = finish(queue_cases(study))
    assert "case_00" not in {step.case for step in steps}


def test_the_queue_compares_with_another_run(study):
    finish(predict(study, kinds=("prediction", "uncertainty"), device="cpu"))
    first = study.runs.get().identifier
    run_training(study, tiny("supervised", steps=3, seed=1))
    finish(predict(study, kinds=("prediction",), device="cpu"))
    _, queue = finish(queue_cases(study, first, other_run=study.runs.get().identifier))
    names = {each.name for each in queue[0].trust.ingredients}
    assert "two runs" in names
