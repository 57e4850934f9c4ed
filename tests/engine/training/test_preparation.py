"""Before the first step: which cases are read, what is set aside, and what is refused."""

import nibabel
import numpy as np
import pytest

from napari_semiseg.engine.errors import SemisegError, SettingsError, StudyError, TrainingError
from napari_semiseg.engine.evaluation.held_out import cases_to_measure
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.training import events
from napari_semiseg.engine.training.loop import train
from napari_semiseg.engine.training.preparation import prepare, settings_of_run
from tests.engine.small_study import make_study
from tests.engine.training.small_training import losses, of_kind, run_training, tiny

pytestmark = pytest.mark.trains


def started(study, settings, resume=None):
    """Prepare only: return the events up to `Started`."""
    work, seen = train(study, settings, resume), []
    while not of_kind(seen, events.Started):
        seen.append(next(work))
    work.close()
    return seen


def record_reads(study, monkeypatch):
    read = []
    for shelf, what in ((study.scans, "read"), (study.labels, "load")):
        original = getattr(shelf, what)
        monkeypatch.setattr(
            shelf, what, lambda name, original=original: (read.append(name), original(name))[1]
        )
    return read


def test_scans_are_read_one_by_one_and_counted(tmp_path):
    with make_study(tmp_path) as study:
        seen = started(study, tiny())
    reading = [event for event in of_kind(seen, events.Preparing) if event.what == "reading scans"]
    assert [event.done for event in reading] == [1, 2, 3, 4, 5]
    assert {event.total for event in reading} == {5}


def test_supervised_training_leaves_unlabelled_scans_alone(tmp_path):
    with make_study(tmp_path) as study:
        seen = started(study, tiny("supervised"))
    assert len([event for event in seen if getattr(event, "what", "") == "reading scans"]) == 2
    assert of_kind(seen, events.Started)[0].unlabelled == 0


def test_the_start_says_what_is_trained_on_what(tmp_path):
    with make_study(tmp_path) as study:
        start = of_kind(started(study, tiny()), events.Started)[0]
        assert start.run == study.runs.all()[-1].identifier == "001-ua-mt"
    assert (start.labelled, start.unlabelled) == (2, 3)
    assert "CPU" in start.device
    assert start.plan["patch"] == [16, 16, 16]
    assert start.plan["reasons"]


def test_held_out_cases_are_never_read(tmp_path, monkeypatch):
    with make_study(tmp_path, held_out=2) as study:
        read = record_reads(study, monkeypatch)
        run_training(study, tiny(validation_cases=1))
        locked = {case.name for case in study.held_out_cases()}
    assert len(locked) == 2
    assert set(read) == {"case_00", "case_01", "case_02", "case_03"}


def test_one_in_five_labelled_cases_is_set_aside_from_ten_on(tmp_path):
    with make_study(tmp_path, count=11, labelled=10) as study:
        start = of_kind(started(study, tiny("supervised")), events.Started)[0]
        assert start.labelled == 8
        study.mark("case_09", CaseState.IN_PROGRESS)
        start = of_kind(started(study, tiny("supervised")), events.Started)[0]
        assert start.labelled == 9


def test_cases_set_aside_are_not_trained_on_but_measured(tmp_path):
    with make_study(tmp_path, count=8, labelled=6) as study:
        seen, _ = run_training(study, tiny("supervised", steps=1, validation_cases=2))
    assert of_kind(seen, events.Started)[0].labelled == 4
    validated = of_kind(seen, events.Validated)
    assert len(validated) == 1
    assert set(validated[0].dice) == {1, 2}
    assert validated[0].mean == pytest.approx(np.mean(list(validated[0].dice.values())))


def test_weights_are_never_followed_on_scans_that_they_have_learnt_from(tmp_path):
    with make_study(tmp_path, count=14, labelled=10, held_out=1) as study:
        _, first = run_training(study, tiny(steps=1))
        aside = set(first.details["validation"])
        assert len(aside) == 2
        study.labels.import_file("case_10", tmp_path / "labels" / "case_10.nii.gz", author="test")
        settings = tiny(steps=1, start_from=first.identifier, seed=5)
        _, second = run_training(study, settings)
        assert set(second.details["validation"]) == aside
        _, resumed = run_training(study, tiny(steps=2), resume=first.identifier)
        assert set(resumed.details["validation"]) == aside
        _, alone = run_training(study, tiny(steps=1, seed=5))
        assert set(alone.details["validation"]) != aside


def test_what_weights_have_learnt_from_is_remembered_over_runs(tmp_path):
    with make_study(tmp_path, count=5, labelled=2, held_out=1) as study:
        _, first = run_training(study, tiny(steps=1))
        study.hold_out("case_00")
        _, second = run_training(study, tiny(steps=1, start_from=first.identifier))
        assert second.labelled == ("case_01",)
        assert set(second.learnt_from) == {"case_00", "case_01"}
        assert set(cases_to_measure(study, second)) == {study.case("case_04")}
        study.labels.import_file("case_02", tmp_path / "labels" / "case_02.nii.gz", author="test")
        _, resumed = run_training(study, tiny(steps=2), resume=second.identifier)
        assert set(resumed.labelled) == {"case_01", "case_02"}
        assert set(resumed.learnt_from) == {"case_00", "case_01", "case_02"}
        assert resumed.label_hash != study.labels.snapshot_hash()  # it learnt from others, too


def test_only_scans_labelled_in_every_slice_are_set_aside(tmp_path):
    with make_study(tmp_path, count=5, labelled=3, held_out=1) as study:
        study.labels.mark_slices("case_01", 0, [10, 11])
        study.labels.mark_slices("case_02", 0, [10, 11])
        for seed in range(3):
            work = prepare(study, tiny(steps=1, validation_cases=1, seed=seed), None)
            assert [case.name for case in finish(work).validation] == ["case_00"]
        with pytest.raises(SettingsError, match="Only 1 of the labelled scans"):
            started(study, tiny(validation_cases=2))


def test_slices_that_nobody_has_looked_at_are_in_no_loss(tmp_path):
    with make_study(tmp_path, count=3, labelled=1, held_out=0) as study:
        study.labels.mark_slices("case_00", 0, [10, 11])
        work = finish(prepare(study, tiny(steps=1), None))
        (case,) = work.sampler.labelled
        assert set(np.unique(case.label)) <= {0, 1, 2, 255}
        depth = case.label.shape[0]
        ignored = [(plane == 255).all() for plane in case.label]
        assert ignored.count(False) == 2
        assert [index for index in range(depth) if not ignored[index]] == [10, 11]


def finish(work):
    while True:
        try:
            next(work)
        except StopIteration as prepared:
            return prepared.value


def test_a_label_without_any_class_is_a_warning_beside_others(tmp_path):
    with make_study(tmp_path) as study:
        empty = np.zeros(study.case("case_00").geometry.shape, np.uint8)
        study.labels.save("case_00", empty, state=CaseState.LABELLED)
        seen = started(study, tiny())
    warned = of_kind(seen, events.Warned)
    assert len(warned) == 1
    assert "case_00" in warned[0].sentence


def test_labels_without_any_class_are_refused(tmp_path):
    with make_study(tmp_path, labelled=1) as study:
        empty = np.zeros(study.case("case_00").geometry.shape, np.uint8)
        study.labels.save("case_00", empty, state=CaseState.LABELLED)
        with pytest.raises(TrainingError, match=r"No label .* has a voxel of any class"):
            started(study, tiny())
        assert study.runs.all() == []


def test_a_study_without_a_labelled_case_is_refused(tmp_path):
    with make_study(tmp_path, labelled=0) as study:
        with pytest.raises(TrainingError, match="no labelled scan to learn from"):
            started(study, tiny())
        assert study.runs.all() == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "uamt"}, "no method “uamt”; did you mean “ua-mt”"),
        ({"method_settings": {"passes": 0}}, "“passes” of .* cannot be 0"),
        ({"method_settings": {"pases": 8}}, "has no setting “pases”"),
        ({"plan_overrides": {"network.filter": 8}}, "The plan has no “network.filter”"),
        ({"plan_overrides": {"patch": (15, 16, 16)}}, "must be a multiple of"),
        ({"plan_overrides": {"network.name": "resnet"}}, "no network “resnet”"),
        ({"device": "tpu"}, "no device “tpu”"),
        ({"validation_cases": 2}, "would leave none of the 2 labelled scans"),
    ],
)
def test_a_setting_that_is_not_possible_starts_no_run(tmp_path, settings, words):
    with make_study(tmp_path, count=4) as study:
        with pytest.raises(SettingsError, match=words) as refused:
            started(study, tiny(**settings))
        assert "\n" not in str(refused.value)
        assert study.runs.all() == []


def test_a_scan_that_is_gone_is_named(tmp_path):
    with make_study(tmp_path, count=4) as study:
        (tmp_path / "images" / "case_02.nii.gz").unlink()
        with pytest.raises(SemisegError, match="case_02"):
            started(study, tiny())


@pytest.mark.parametrize("shape", [(24, 22, 1), (24, 22, 5), (20, 5, 22)])
def test_single_slices_and_thin_stacks_train(tmp_path, shape):
    with make_study(tmp_path, count=3, labelled=1, shape=shape) as study:
        settings = tiny(steps=2).model_copy(update={"plan_overrides": {"network.filters": 4}})
        _, run = run_training(study, settings)
    assert run.status == "finished"


def test_several_channels_train(tmp_path):
    with make_study(tmp_path, count=3, labelled=1, channels=2) as study:
        seen, run = run_training(study, tiny(steps=2))
    assert of_kind(seen, events.Started)[0].plan["channels"] == 2
    assert run.status == "finished"


def test_scans_of_different_sizes_and_orientations_train_together(tmp_path):
    with make_study(tmp_path, count=3, labelled=1) as study:
        turned = nibabel.as_closest_canonical(
            nibabel.load(tmp_path / "images" / "case_01.nii.gz")
        ).slicer[::-1, 2:, :]
        voxels = np.asanyarray(turned.dataobj).transpose(2, 0, 1)
        affine = turned.affine[:, [2, 0, 1, 3]]
        (tmp_path / "more").mkdir()
        nibabel.save(nibabel.Nifti1Image(voxels, affine), tmp_path / "more" / "turned.nii.gz")
        assert next(study.scans.add_all([tmp_path / "more"])).name == "turned"
        _, run = run_training(study, tiny(steps=2))
    assert run.status == "finished"


def test_a_run_that_has_used_its_budget_cannot_go_on_and_stays_as_it_is(tmp_path):
    with make_study(tmp_path, count=4) as study:
        _, run = run_training(study, tiny(steps=2))
        with pytest.raises(TrainingError, match="already used its budget; give more"):
            started(study, tiny(steps=2), run.identifier)
        assert study.runs.get(run.identifier).status == "finished"
        seen, run = run_training(study, tiny(steps=3), run.identifier)
        assert [event.step for event in of_kind(seen, events.Progress)] == [3]


def test_a_run_is_resumed_with_its_own_method_only(tmp_path):
    with make_study(tmp_path, count=4) as study:
        _, run = run_training(study, tiny(steps=1))
        with pytest.raises(SettingsError, match="was trained with ua-mt, not dtc"):
            started(study, tiny("dtc"), run.identifier)
        with pytest.raises(StudyError, match="no run '007-dtc'"):
            started(study, tiny(), "007-dtc")


def test_a_runs_settings_can_be_taken_up_again(tmp_path):
    settings = tiny(seed=4, steps=1, method_settings={"passes": 2})
    with make_study(tmp_path, count=4) as study:
        _, run = run_training(study, settings)
        again = settings_of_run(study.runs.get(run.identifier))
    assert again.model_dump(mode="json") == settings.model_dump(mode="json")


def test_distances_of_whole_cases_are_cached_only_for_methods_that_ask_for_them(tmp_path):
    with make_study(tmp_path) as study:

        def cached():
            return {path.name for path in study.cache_folder.glob("distance-*.npy")}

        for method in ("dtc", "ua-mt"):
            started(study, tiny(method))
        assert not cached()
        in_volume = {"domain": "volume"}
        started(study, tiny("dtc", method_settings=in_volume))
        first = cached()
        assert len(first) == 2  # one for each labelled case
        started(study, tiny("ug-mcl", method_settings=in_volume))
        assert cached() == first
        started(study, tiny("dtc", method_settings=in_volume | {"normalisation": "clip"}))
        assert len(cached()) == 4


@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_training_on_distances_of_whole_cases_goes_on_as_it_began(tmp_path, preset):
    settings = tiny("dtc", preset=preset, method_settings={"domain": "volume"})
    with make_study(tmp_path) as study:
        whole, _ = run_training(study, settings)
        before, stopped = run_training(
            study,
            settings,
            answer=lambda event: (
                events.Stop() if isinstance(event, events.Progress) and event.step == 3 else None
            ),
        )
        after, run = run_training(study, settings_of_run(stopped), stopped.identifier)
    assert run.status == "finished"
    assert losses(before) + losses(after) == losses(whole)
