from __future__ import annotations

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.inference.maps import CaseMaps
from napari_semiseg.engine.study import CaseState, DecisionKind, Study, parse_classes
from napari_semiseg.engine.training.events import Finished, Preview, Progress, Started, Validated
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.gui.label import saving
from tests.gui.cases_on_show import paint, show, stored_prediction


class TestStudies:
    def test_a_new_study_is_made_and_opened(self, session, background, tmp_path):
        session.scans.new_study(tmp_path / "new")
        assert session.open_study.study is None, "nothing is done on the main thread"
        background.finish()
        assert session.open_study.study.path == tmp_path / "new.semiseg"
        assert [item.name for item in session.open_study.records.classes] == ["structure"]

    def test_a_study_that_does_not_exist_is_told_in_a_sentence(
        self, session, background, tmp_path, messages
    ):
        session.open_study.open(tmp_path / "nowhere")
        background.finish()
        assert session.open_study.study is None
        assert messages()[-1][0] == "error"
        assert "nowhere" in messages()[-1][1]

    def test_opening_another_study_saves_and_closes_the_first(self, desk, background, tmp_path):
        show(desk, background, "scan_1")
        first = desk.open_study.study.path
        paint(desk)
        desk.scans.new_study(tmp_path / "second")
        background.finish()
        assert desk.open_study.study.path.stem == "second"
        assert desk.on_show.layers.case_name is None
        with Study.open(first) as study:
            assert study.labels.load("scan_1").sum() == 2

    def test_a_study_is_not_left_while_training(self, desk, worker, tmp_path, messages):
        worker.state = "running"
        desk.scans.new_study(tmp_path / "other")
        assert "training" in messages()[-1][1]
        worker.state = "idle"

    def test_the_sample_study_has_labelled_and_held_out_brains(self, session, background, tmp_path):
        session.scans.new_sample_study(tmp_path / "brains")
        background.finish()
        states = [case.state for case in session.open_study.records.cases]
        assert states.count(CaseState.LABELLED) == 4
        assert states.count(CaseState.HELD_OUT) == 2
        assert session.open_study.job is None


class TestScans:
    def test_scans_are_added_and_bad_files_are_listed(
        self, session, background, scan_folder, tmp_path, messages
    ):
        (scan_folder / "broken.nii.gz").write_bytes(b"no scan at all")
        session.scans.new_study(tmp_path / "new")
        background.finish()
        session.scans.add([scan_folder])
        assert session.open_study.job.title == "Adding scans"
        background.finish()
        assert session.open_study.job is None
        assert len(session.open_study.records.cases) == 4
        assert len(session.scans.problems) == 1
        assert "broken" in session.scans.problems[0]
        assert messages()[-1] == ("warning", session.scans.problems[0])

    def test_only_one_long_job_runs_at_a_time(self, desk, scan_folder, messages):
        desk.scans.add([scan_folder])
        desk.scans.add([scan_folder])
        assert "still under way" in messages()[-1][1]

    def test_a_stopped_job_ends_at_once(self, desk, background, scan_folder):
        desk.scans.add([scan_folder])
        desk.open_study.stop_job()
        assert desk.open_study.job is None
        background.finish()
        assert desk.scans.problems == ()

    def test_labels_are_imported_by_name_and_strangers_are_listed(self, desk, background, tmp_path):
        geometry = desk.open_study.records.case("scan_2").geometry
        from napari_semiseg.engine.volumes import write_label

        label = np.zeros(geometry.shape, np.uint8)
        label[2:4] = 2
        for name in ("scan_2", "stranger"):
            write_label(tmp_path / f"{name}.nii.gz", label, geometry)
        desk.scans.import_labels([tmp_path / "scan_2.nii.gz", tmp_path / "stranger.nii.gz"])
        background.finish()
        assert desk.open_study.records.case("scan_2").state is CaseState.LABELLED
        assert len(desk.scans.problems) == 1

    def test_classes_change_and_a_used_one_stays(self, desk, background, messages):
        desk.scans.set_classes(parse_classes("1=box,2=rim,3=new"))
        background.finish()
        assert len(desk.open_study.records.classes) == 3
        desk.scans.set_classes(parse_classes("2=rim"))
        background.finish()
        assert len(desk.open_study.records.classes) == 3
        assert "box" in messages()[-1][1]

    def test_a_scan_is_held_out_and_takes_part_again(self, desk, background):
        desk.scans.hold_out("scan_0")
        background.finish()
        assert desk.open_study.records.case("scan_0").held_out
        desk.scans.hold_out("scan_0", False)
        background.finish()
        assert desk.open_study.records.case("scan_0").state is CaseState.LABELLED

    def test_labels_are_exported(self, desk, background, tmp_path):
        desk.scans.export_labels(tmp_path / "out")
        background.finish()
        assert (tmp_path / "out" / "scan_0.nii.gz").exists()


class TestLabelling:
    def test_a_stroke_is_saved_and_the_case_is_in_progress(self, desk, background, qapp):
        show(desk, background, "scan_1")
        paint(desk)
        qapp.processEvents()
        assert desk.labelling.saving.under_way
        background.finish()
        assert not desk.labelling.saving.under_way
        assert desk.labelling.saving.saved_at is not None
        assert desk.open_study.records.case("scan_1").state is CaseState.IN_PROGRESS
        assert desk.open_study.study.labels.load("scan_1").sum() == 2

    def test_strokes_during_a_save_are_saved_together_afterwards(self, desk, background, qapp):
        show(desk, background, "scan_1")
        for z in range(1, 6):
            paint(desk, z=z)
            qapp.processEvents()
        assert len(background.waiting) == 1
        background.finish()
        case = desk.open_study.study.case("scan_1")
        assert case.label_version == 2
        assert desk.open_study.study.labels.load("scan_1").sum() == 10

    def test_the_last_stroke_before_another_case_is_kept(self, desk, background):
        show(desk, background, "scan_1")
        paint(desk)
        show(desk, background, "scan_2")
        assert desk.open_study.study.labels.load("scan_1").sum() == 2
        assert desk.open_study.study.labels.load("scan_2") is None

    def test_the_last_stroke_before_closing_is_kept(self, desk, background, study_path):
        show(desk, background, "scan_1")
        paint(desk)
        desk.close()
        with Study.open(study_path) as study:
            assert study.labels.load("scan_1").sum() == 2

    def test_a_save_under_way_and_the_stroke_after_it_survive_closing(
        self, desk, background, qapp, study_path
    ):
        show(desk, background, "scan_1")
        paint(desk)
        qapp.processEvents()
        paint(desk, z=4)
        desk.close()
        with Study.open(study_path) as study:
            assert study.labels.load("scan_1").sum() == 4

    def test_a_finished_label_that_is_corrected_stays_finished(self, desk, background, qapp):
        show(desk, background, "scan_0")
        paint(desk)
        qapp.processEvents()
        background.finish()
        assert desk.open_study.records.case("scan_0").state is CaseState.LABELLED

    def test_marking_saves_first(self, desk, background):
        show(desk, background, "scan_1")
        paint(desk)
        desk.labelling.mark_labelled()
        background.finish()
        case = desk.open_study.records.case("scan_1")
        assert case.state is CaseState.LABELLED
        assert not case.label_is_empty
        desk.labelling.mark_in_progress()
        background.finish()
        assert desk.open_study.records.case("scan_1").state is CaseState.IN_PROGRESS

    def test_marking_a_scan_without_label_is_told(self, desk, background, messages):
        show(desk, background, "scan_1")
        desk.labelling.mark_labelled()
        background.finish()
        assert "no label" in messages()[-1][1]

    def test_the_previous_label_comes_back_on_the_screen(self, desk, background, qapp):
        show(desk, background, "scan_0")
        before = desk.on_show.layers.label_voxels()
        paint(desk, value=2)
        qapp.processEvents()
        background.finish()
        desk.labelling.restore_previous()
        background.finish()
        assert np.array_equal(desk.on_show.layers.label_voxels(), before)

    def test_of_several_requests_the_last_case_is_shown(self, desk, background):
        for name in ("scan_1", "scan_2", "scan_3"):
            desk.on_show.show(name)
        background.finish()
        assert desk.on_show.name == "scan_3"
        desk.on_show.show_neighbour(-1)
        background.finish()
        assert desk.on_show.name == "scan_2"

    def test_a_missing_scan_is_told(self, desk, background, scan_folder, messages):
        (scan_folder / "scan_3.nii.gz").unlink()
        desk.on_show.show("scan_3")
        background.finish()
        assert "no longer at" in messages()[-1][1]
        assert desk.on_show.reading is None

    def test_a_save_that_fails_is_told_and_tried_again(
        self, desk, background, qapp, monkeypatch, messages
    ):
        show(desk, background, "scan_1")
        keep = saving.keep_label

        def refuse(*_):
            raise StudyError("The disk is full: free some space.")

        monkeypatch.setattr(saving, "keep_label", refuse)
        paint(desk)
        qapp.processEvents()
        background.finish()
        assert "not saved" in messages()[-1][1]
        monkeypatch.setattr(saving, "keep_label", keep)
        desk.open_study.about_to_work.emit()
        background.finish()
        assert desk.open_study.study.labels.load("scan_1").sum() == 2

    def test_the_brush_is_measured_in_millimetres(self, desk, background):
        show(desk, background, "scan_1")
        desk.labelling.set_brush_mm(6.0)
        assert desk.on_show.layers.label_layer.brush_size == pytest.approx(4.0)
        assert desk.labelling.brush_mm == pytest.approx(6.0)
        desk.labelling.paint_with(2)
        assert desk.labelling.brush_value == 2
        desk.labelling.paint_with(77)
        assert desk.labelling.brush_value == 2


class TestTraining:
    def test_training_starts_after_the_last_stroke_is_saved(self, desk, background, worker):
        show(desk, background, "scan_1")
        paint(desk)
        desk.labelling.mark_labelled()
        desk.training.start(TrainingSettings(steps=3))
        assert desk.training.active
        assert worker.started == []
        background.finish()
        _, resume, shown, snapshot = worker.started[0]
        assert (resume, shown) == (None, "scan_1")
        assert snapshot == desk.open_study.study.labels.snapshot_hash()

    def test_training_that_waits_for_labels_to_be_saved_can_be_stopped(
        self, desk, background, worker
    ):
        show(desk, background, "scan_0")
        desk.training.start(TrainingSettings(steps=3))
        desk.training.stop()
        assert not desk.training.active
        background.finish()
        assert worker.started == []
        desk.training.start(TrainingSettings(steps=4))
        background.finish()
        assert [settings.steps for settings, *_ in worker.started] == [4]

    def test_progress_is_folded_from_events(self, desk, worker, messages):
        worker.state = "running"
        worker.event.emit(Started("001", "UA-MT", "CPU", "32", 1, 3, {"reasons": ["Small."]}))
        for step in (1, 2):
            worker.event.emit(Progress(step, step / 2, 1.0, 5.0, {"loss": 1.0 / step}))
        worker.event.emit(Validated(2, {1: 0.5}, 0.5))
        progress = desk.training.progress
        assert progress.reasons == ("Small.",)
        assert progress.scalars["loss"] == [(1, 1.0), (2, 0.5)]
        assert progress.validation == [(2, 0.5)]
        worker.event.emit(Finished("001", "finished", 2, 2.0))
        worker.end()
        assert progress.outcome == "finished"
        assert not desk.training.active
        assert "finished" in messages()[-1][1]

    def test_a_preview_of_the_case_on_the_screen_shows_up(self, desk, background, worker):
        show(desk, background, "scan_1")
        geometry = desk.open_study.records.case("scan_1").geometry
        maps = CaseMaps(
            "scan_1",
            geometry,
            {
                "prediction": np.ones(geometry.shape, np.uint8),
                "uncertainty": np.zeros(geometry.shape, np.float32),
            },
        )
        worker.event.emit(Preview("scan_1", maps, 5))
        assert set(desk.on_show.layers.map_layers()) == {"prediction", "uncertainty"}

    def test_another_case_on_the_screen_is_previewed(self, desk, background, worker):
        worker.state = "running"
        show(desk, background, "scan_2")
        assert worker.shown == ["scan_2"]
        worker.state = "idle"

    def test_a_failure_is_told_and_the_desk_is_ready_again(self, desk, worker, messages):
        worker.state = "running"
        worker.failed.emit("There is no labelled scan: label one first.")
        worker.end()
        assert messages()[-1] == ("error", "There is no labelled scan: label one first.")
        assert desk.training.progress.outcome == "failed"
        assert not desk.training.active

    def test_closing_ends_training(self, desk, worker):
        worker.state = "running"
        desk.close()
        assert worker.closed


class TestReviewing:
    def test_the_maps_of_a_case_are_shown(self, desk, background):
        run, prediction = stored_prediction(desk, background)
        desk.maps.show_case("scan_1")
        background.finish()
        assert desk.maps.run == run
        layers = desk.on_show.layers.map_layers()
        assert np.array_equal(np.asarray(layers["prediction"].data), prediction)
        desk.maps.show_kind("prediction", False)
        assert not layers["prediction"].visible
        assert layers["uncertainty"].visible

    def test_the_unsure_mean_of_stored_predictions_is_measured(self, desk, background):
        stored_prediction(desk, background)
        desk.reviewing.measure_missing()
        background.finish()
        assert desk.reviewing.unsure["scan_1"] == pytest.approx(0.25)

    def test_accepting_makes_the_prediction_the_label(self, desk, background):
        _, prediction = stored_prediction(desk, background)
        desk.reviewing.accept("scan_1")
        background.finish()
        case = desk.open_study.records.case("scan_1")
        assert (case.state, case.label_origin) == (CaseState.ACCEPTED, "accepted")
        assert np.array_equal(desk.open_study.study.labels.load("scan_1"), prediction)
        assert desk.open_study.study.decisions("scan_1")[-1].what is DecisionKind.ACCEPTED

    def test_rejecting_keeps_the_reason(self, desk, background):
        stored_prediction(desk, background)
        desk.reviewing.reject("scan_1", "leaks into the rim")
        background.finish()
        assert desk.open_study.records.case("scan_1").state is CaseState.REJECTED
        decision = desk.open_study.study.decisions("scan_1")[-1]
        assert (decision.what, decision.detail) == (DecisionKind.REJECTED, "leaks into the rim")

    def test_fixing_starts_a_human_label_from_the_prediction(self, desk, background):
        _, prediction = stored_prediction(desk, background)
        desk.maps.show_case("scan_1")
        background.finish()
        fixed = []
        desk.reviewing.fixed.connect(lambda: fixed.append(True))
        desk.reviewing.fix("scan_1")
        background.finish()
        case = desk.open_study.records.case("scan_1")
        assert (case.state, case.label_origin) == (CaseState.IN_PROGRESS, "human")
        assert np.array_equal(desk.on_show.layers.label_voxels(), prediction)
        assert desk.open_study.study.decisions("scan_1")[-1].what is DecisionKind.LABEL_SAVED
        assert fixed == [True]

    @pytest.mark.parametrize("verb", ["accept", "fix"])
    def test_a_human_label_is_never_replaced(self, desk, background, messages, verb):
        stored_prediction(desk, background, name="scan_0")
        before = desk.open_study.study.labels.load("scan_0")
        getattr(desk.reviewing, verb)("scan_0")
        background.finish()
        assert np.array_equal(desk.open_study.study.labels.load("scan_0"), before)
        assert "person made" in messages()[-1][1]

    def test_the_most_unsure_case_comes_first_and_decided_ones_last(self, desk, background):
        for name in ("scan_1", "scan_2", "scan_3"):
            stored_prediction(desk, background, name=name)
        desk.reviewing.unsure = {"scan_1": 0.1, "scan_2": 0.9, "scan_3": 0.5}
        desk.reviewing.reject("scan_2")
        background.finish()
        assert [case.name for case in desk.reviewing.cases()] == ["scan_3", "scan_1", "scan_2"]
        assert desk.reviewing.next_case("scan_3") == "scan_1"
