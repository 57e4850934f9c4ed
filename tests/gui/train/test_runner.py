from __future__ import annotations

import gc
import os
import sys
import threading

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_semiseg.engine.errors import StudyError, TrainingError
from napari_semiseg.engine.study import CaseState, Study, parse_classes
from napari_semiseg.engine.training.events import (
    Finished,
    Preparing,
    Progress,
    Release,
    Released,
    ShowCase,
    Started,
    Stop,
)
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.volumes import Geometry, find_scans, write_map
from napari_semiseg.gui.open_study.background import run_in_background
from napari_semiseg.gui.train.runner import TrainingWorker


class Trainer:
    """Stands in for training: as many steps as the test allows, and notes of what it was asked."""

    def __init__(self, steps=None, prepare=0, problem=None):
        self.steps, self.prepare, self.problem = steps, prepare, problem
        self.requests = []
        self.step = 0
        self.closed = threading.Event()
        self.may_go = threading.Event()
        self.may_go.set()
        self.thread = None
        self.niceness = None

    def __call__(self, study, settings, resume):
        self.thread = threading.current_thread()
        if sys.platform == "linux":
            self.niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        self.arguments = (len(study.cases()), settings, resume)
        return self._train()

    def _train(self):
        try:
            for done in range(self.prepare):
                yield Preparing(done, self.prepare, "reading scans")
                self.may_go.wait(10)
            request = yield Started("001-stub", "Stub", "CPU", "32", 1, 0, {})
            while self.steps is None or self.step < self.steps:
                if request is not None:
                    self.requests.append(request)
                if isinstance(request, Stop):
                    yield Finished("001-stub", "stopped", self.step, 0.0)
                    return
                if isinstance(request, Release):
                    request = yield Released(self.step)
                    continue
                self.may_go.wait(10)
                self.step += 1
                if self.problem is not None and self.step == 2:
                    raise self.problem
                request = yield Progress(self.step, 0.5, 1.0, None, {"loss": 1.0})
                threading.Event().wait(0.002)
            yield Finished("001-stub", "finished", self.step, 0.0)
        finally:
            self.closed.set()


@pytest.fixture
def study_path(tmp_path):
    with Study.create(tmp_path / "hips", parse_classes("1=hip")) as study:
        return study.path


@pytest.fixture
def worker(qtbot):
    made = TrainingWorker()
    yield made
    assert made.close()
    if made.state != "idle":
        with qtbot.waitSignal(made.ended):
            pass


@pytest.fixture
def events(worker):
    heard = []
    worker.event.connect(lambda event: heard.append((event, threading.current_thread())))
    return heard


def start(worker, study_path, trainer, **more):
    worker.start(study_path, TrainingSettings(steps=3), trainer=trainer, **more)


def running(qtbot, trainer):
    before = trainer.step
    qtbot.waitUntil(lambda: trainer.step > before)


class TestTraining:
    def test_it_runs_to_its_end_and_tells_every_event_in_order_on_the_main_thread(
        self, worker, events, study_path, qtbot
    ):
        trainer = Trainer(steps=3, prepare=2)
        with qtbot.waitSignal(worker.ended):
            start(worker, study_path, trainer)
            assert worker.state == "running"
        kinds = [type(event).__name__ for event, _ in events]
        assert kinds == ["Preparing"] * 2 + ["Started"] + ["Progress"] * 3 + ["Finished"]
        assert {thread for _, thread in events} == {threading.main_thread()}
        assert trainer.thread is not threading.main_thread()
        assert worker.state == "idle"

    def test_it_gives_way_to_drawing(self, worker, study_path, qtbot):
        trainer = Trainer(steps=1)
        with qtbot.waitSignal(worker.ended):
            start(worker, study_path, trainer)
        if sys.platform == "linux":
            assert trainer.niceness == 10

    def test_garbage_collection_passes_over_the_libraries_while_it_runs(
        self, worker, study_path, qtbot
    ):
        trainer = Trainer()
        start(worker, study_path, trainer)
        running(qtbot, trainer)
        assert gc.get_freeze_count() > 0
        with qtbot.waitSignal(worker.ended):
            worker.stop()
        assert gc.get_freeze_count() == 0

    def test_it_opens_the_study_for_itself_and_passes_settings_and_run(
        self, worker, study_path, qtbot
    ):
        trainer = Trainer(steps=1)
        with qtbot.waitSignal(worker.ended):
            start(worker, study_path, trainer, resume="001-stub")
        assert trainer.arguments == (0, TrainingSettings(steps=3), "001-stub")

    def test_a_second_training_is_refused_while_one_runs(self, worker, study_path):
        start(worker, study_path, Trainer())
        with pytest.raises(TrainingError, match="already"):
            start(worker, study_path, Trainer())

    def test_it_can_be_started_again_from_the_ended_signal(self, worker, study_path, qtbot):
        second = Trainer(steps=1)
        again = []

        def restart():
            if not again:
                again.append(True)
                start(worker, study_path, second)

        worker.ended.connect(restart)
        start(worker, study_path, Trainer(steps=1))
        qtbot.waitUntil(lambda: second.closed.is_set() and worker.state == "idle")


class TestRequests:
    def test_stop_ends_it_with_a_checkpoint(self, worker, events, study_path, qtbot):
        trainer = Trainer()
        start(worker, study_path, trainer)
        running(qtbot, trainer)
        with qtbot.waitSignal(worker.ended):
            worker.stop()
            assert worker.state == "stopping"
        assert events[-1][0].status == "stopped"

    def test_stop_before_the_first_step_ends_it_without_a_run(
        self, worker, events, study_path, qtbot
    ):
        trainer = Trainer(prepare=1000)
        trainer.may_go.clear()
        start(worker, study_path, trainer)
        qtbot.waitUntil(lambda: bool(events))
        with qtbot.waitSignal(worker.ended):
            worker.stop()
            trainer.may_go.set()
        assert trainer.closed.is_set()
        assert {type(event) for event, _ in events} == {Preparing}

    def test_pause_waits_until_the_accelerator_is_free_and_takes_no_step(
        self, worker, events, study_path, qtbot
    ):
        trainer = Trainer()
        start(worker, study_path, trainer)
        running(qtbot, trainer)
        worker.pause()
        assert worker.state == "pausing"
        qtbot.waitUntil(lambda: worker.state == "paused")
        assert isinstance(events[-1][0], Released)
        step = trainer.step
        qtbot.wait(50)
        assert trainer.step == step
        worker.resume()
        assert worker.state == "running"
        running(qtbot, trainer)

    def test_a_pause_can_be_taken_back_before_it_comes(self, worker, study_path, qtbot):
        trainer = Trainer()
        start(worker, study_path, trainer)
        running(qtbot, trainer)
        trainer.may_go.clear()
        worker.pause()
        worker.resume()
        trainer.may_go.set()
        running(qtbot, trainer)
        qtbot.waitUntil(lambda: Release() in trainer.requests)
        running(qtbot, trainer)
        assert worker.state == "running"

    def test_stop_ends_a_paused_training(self, worker, events, study_path, qtbot):
        trainer = Trainer()
        start(worker, study_path, trainer)
        running(qtbot, trainer)
        worker.pause()
        qtbot.waitUntil(lambda: worker.state == "paused")
        with qtbot.waitSignal(worker.ended):
            worker.stop()
        assert events[-1][0].status == "stopped"

    def test_requests_made_at_once_all_arrive_in_order(self, worker, study_path, qtbot):
        trainer = Trainer(prepare=2)
        start(worker, study_path, trainer, shown_case="one")
        worker.show_case("two")
        worker.show_case(None)
        running(qtbot, trainer)
        qtbot.waitUntil(lambda: len(trainer.requests) == 3)
        assert trainer.requests == [ShowCase("one"), ShowCase("two"), ShowCase(None)]

    def test_requests_to_an_idle_worker_do_nothing(self, worker):
        worker.pause()
        worker.resume()
        worker.stop()
        worker.show_case("one")
        assert worker.state == "idle"


class TestProblems:
    def test_a_users_problem_is_told_in_its_own_sentence(self, worker, study_path, qtbot):
        trainer = Trainer(problem=TrainingError("Paint a scan first."))
        with (
            qtbot.waitSignal(worker.ended),
            qtbot.waitSignal(worker.failed, check_params_cb=lambda s: s == "Paint a scan first."),
        ):
            start(worker, study_path, trainer)
        assert worker.state == "idle"

    def test_a_defect_is_told_and_keeps_its_traceback_in_naparis_notifications(
        self, worker, study_path, qtbot, monkeypatch
    ):
        received = []
        monkeypatch.setattr(notification_manager, "receive_error", lambda *a: received.append(a))
        with (
            qtbot.waitSignal(worker.ended),
            qtbot.waitSignal(worker.failed, check_params_cb=lambda s: "RuntimeError" in s),
        ):
            start(worker, study_path, Trainer(problem=RuntimeError("shapes differ")))
        (kind, problem, traceback) = received[0]
        assert kind is RuntimeError
        assert str(problem) == "shapes differ"
        assert traceback is not None

    def test_a_missing_study_is_told(self, worker, tmp_path, qtbot):
        with qtbot.waitSignal(worker.failed) as blocker:
            start(worker, tmp_path / "none.semiseg", Trainer())
        assert "none.semiseg" in blocker.args[0]


class TestClosing:
    def test_close_waits_for_the_checkpoint(self, worker, study_path, qtbot):
        trainer = Trainer()
        start(worker, study_path, trainer)
        running(qtbot, trainer)
        assert worker.close()
        assert trainer.closed.is_set()

    def test_close_right_after_start_does_not_wait(self, worker, study_path):
        start(worker, study_path, Trainer())
        assert worker.close()

    def test_a_forgotten_worker_stops_its_training(self, study_path, qtbot):
        trainer = Trainer()
        forgotten = TrainingWorker()
        start(forgotten, study_path, trainer)
        running(qtbot, trainer)
        del forgotten
        gc.collect()
        assert trainer.closed.is_set()

    def test_the_viewer_asks_it_to_stop_when_it_closes(
        self, make_napari_viewer, worker, study_path, qtbot
    ):
        viewer = make_napari_viewer()
        trainer = Trainer()
        with qtbot.waitSignal(worker.ended):
            start(worker, study_path, trainer)
            running(qtbot, trainer)
            viewer.close()
        assert Stop() in trainer.requests


class TestOtherWork:
    def test_a_function_gives_its_result_to_the_main_thread(self, qtbot):
        done = []
        run_in_background(
            lambda a, b: (a + b, threading.current_thread()),
            1,
            2,
            done=lambda value: done.append((value, threading.current_thread())),
            failed=pytest.fail,
        )
        qtbot.waitUntil(lambda: bool(done))
        ((total, worked_on), told_on) = done[0]
        assert total == 3
        assert worked_on is not told_on
        assert told_on is threading.main_thread()

    def test_a_generator_tells_its_progress_and_then_its_result(self, qtbot):
        def count(end):
            yield from range(end)
            return "counted"

        heard = []
        run_in_background(count, 3, done=heard.append, failed=pytest.fail, progress=heard.append)
        qtbot.waitUntil(lambda: "counted" in heard)
        assert heard == [0, 1, 2, "counted"]

    def test_a_problem_is_one_sentence(self, qtbot):
        def fail():
            raise StudyError("The disk is full.")

        heard = []
        run_in_background(fail, done=pytest.fail, failed=heard.append)
        qtbot.waitUntil(lambda: heard == ["The disk is full."])

    def test_cancelled_work_ends_at_its_next_value_and_calls_nobody(self, qtbot):
        closed = threading.Event()
        heard = []

        def endless():
            try:
                while True:
                    yield 1
            finally:
                closed.set()

        work = run_in_background(
            endless, done=pytest.fail, failed=pytest.fail, progress=heard.append
        )
        qtbot.waitUntil(lambda: bool(heard))
        assert work.close()
        told = len(heard)
        qtbot.wait(20)
        assert closed.is_set()
        assert len(heard) == told


def test_the_real_engine_trains_three_steps_on_a_tiny_study(worker, events, tmp_path, qtbot):
    pytest.importorskip("napari_semiseg.engine.training.loop")
    grid = Geometry(shape=(16, 24, 24), affine=np.eye(4), nifti=None)
    rng = np.random.default_rng(0)
    with Study.create(tmp_path / "tiny", parse_classes("1=ball")) as study:
        for number in (1, 2):
            path = tmp_path / f"scan_{number}.nii.gz"
            write_map(path, rng.normal(size=grid.shape).astype(np.float32), grid)
            case = study.scans.add(find_scans([path])[0])
        voxels = np.zeros(grid.shape, np.uint8)
        voxels[4:12, 6:18, 6:18] = 1
        study.labels.save(case.name, voxels, state=CaseState.LABELLED)
        study_path = study.path
    with qtbot.waitSignal(worker.ended, timeout=120_000):
        worker.start(
            study_path, TrainingSettings(method="mean-teacher", steps=3), shown_case=case.name
        )
        worker.failed.connect(lambda sentence: events.append((sentence, None)))
    assert isinstance(events[-1][0], Finished), events[-1][0]
    assert events[-1][0].steps == 3
    with Study.open(study_path) as study:
        assert study.runs.all()[-1].status == "finished"
