"""A desk without threads: background work runs when a test says so, and training is played."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from psygnal import Signal
from qtpy.QtCore import QSettings

from napari_semiseg.engine.errors import SemisegError
from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.engine.study import Study, parse_classes
from napari_semiseg.engine.volumes import Geometry, find_scans, write_map
from napari_semiseg.gui.scans.study_menu import RecentStudies
from napari_semiseg.gui.session import Session
from napari_semiseg.gui.viewer.layers import CaseLayers
from tests.gui.cases_on_show import at_once

SHAPE = (12, 14, 16)


class Background:
    """Stands in for `run_in_background`: keeps the work until `finish`, in the order it came."""

    def __init__(self):
        self.waiting = deque()
        self.titles = []

    def __call__(self, work, *arguments, done, failed, progress=None):
        errand = _Errand(work, arguments, done, failed, progress)
        self.waiting.append(errand)
        return errand

    def finish(self):
        while self.waiting:
            self.waiting.popleft().run()


class _Errand:
    def __init__(self, work, arguments, done, failed, progress):
        self.work, self.arguments = work, arguments
        self.done, self.failed, self.progress = done, failed, progress
        self.cancelled = False

    def cancel(self):
        self.cancelled = True

    def run(self):
        if self.cancelled:
            return
        try:
            result = self.work(*self.arguments)
            if hasattr(result, "send"):
                result = yield_all(result, self.progress)
        except SemisegError as problem:
            self.failed(str(problem))
        else:
            self.done(result)


def yield_all(generator, progress):
    while True:
        try:
            value = next(generator)
        except StopIteration as end:
            return end.value
        if progress is not None:
            progress(value)


class PlayedWorker:
    """Stands in for `TrainingWorker`: the test emits its events."""

    event = Signal(object)
    failed = Signal(str)
    ended = Signal()

    def __init__(self):
        self.state = "idle"
        self.started = []
        self.shown = []
        self.kinds = None
        self.closed = False

    def start(self, study_path, settings, resume=None, shown_case=None):
        with Study.open(study_path) as study:
            snapshot = study.labels.snapshot_hash()
        self.started.append((settings, resume, shown_case, snapshot))
        self.state = "running"

    def pause(self):
        self.state = "paused"

    def resume(self):
        self.state = "running"

    def stop(self):
        self.state = "stopping"

    def show_case(self, name, kinds=None):
        self.shown.append(name)
        self.kinds = kinds

    def close(self):
        self.closed = True

    def end(self):
        self.state = "idle"
        self.ended.emit()


@pytest.fixture
def scan_folder(tmp_path):
    """Four small scans of a bright box that moves."""
    folder = tmp_path / "scans"
    folder.mkdir()
    noise = np.random.default_rng(0)
    for index in range(4):
        voxels = noise.normal(0, 5, SHAPE).astype(np.float32)
        voxels[3:9, 4 + index : 9 + index, 5:11] += 100
        affine = np.diag([1.5, 1.5, 2.0, 1.0])
        write_map(folder / f"scan_{index}.nii.gz", voxels, Geometry(SHAPE, affine, None))
    return folder


@pytest.fixture
def study_path(tmp_path, scan_folder):
    """A study of the four scans; scan_0 is labelled."""
    classes = parse_classes("1=box,2=rim")
    with Study.create(tmp_path / "boxes", classes) as study:
        for source in find_scans([scan_folder]):
            study.scans.add(source)
        study.labels.save("scan_0", box(0), state="labelled")
        return study.path


def box(index):
    label = np.zeros(SHAPE, np.uint8)
    label[3:9, 4 + index : 9 + index, 5:11] = 1
    return label


@pytest.fixture
def background():
    return Background()


@pytest.fixture
def worker():
    return PlayedWorker()


@pytest.fixture
def messages():
    """The notifications of this test: severity and sentence."""
    before = len(notification_manager.records)

    def read():
        new = list(notification_manager.records)[before:]
        return [(str(record.severity), str(record.message)) for record in new]

    return read


@pytest.fixture
def session(qapp, background, worker):
    """A session without a study."""
    viewer = ViewerModel()
    layers = CaseLayers(viewer, later=at_once)
    session = Session(viewer, layers, worker=worker, background=background)
    session.open_study.methods = available_methods()
    yield session
    session.close()


@pytest.fixture
def desk(session, background, study_path, messages):
    """A session with the study of four scans open."""
    session.open_study.open(study_path)
    background.finish()
    assert session.open_study.study is not None, messages()
    return session


@pytest.fixture
def recent(tmp_path):
    return RecentStudies(QSettings(str(tmp_path / "recent.ini"), QSettings.Format.IniFormat))
