"""Strokes reach the disk, whatever else happens to the label or to the disk."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.gui.label import saving
from napari_semiseg.gui.viewer import case_on_show, label_edits
from tests.gui.cases_on_show import paint, show
from tests.gui.conftest import box


@pytest.fixture
def drawn_by_another():
    """A label that differs from another one in a corner that nobody paints in."""

    def draw(label):
        changed = label.copy()
        changed[8, :3, :3] = 1
        return changed

    return draw


def test_strokes_of_a_scan_that_was_left_are_tried_again_and_spare_the_next_scan(
    desk, background, monkeypatch, messages
):
    keep, full = saving.keep_label, [True]

    def refuse(*arguments):
        if full[0]:
            raise StudyError("The disk is full: free some space.")
        return keep(*arguments)

    monkeypatch.setattr(saving, "keep_label", refuse)
    show(desk, background, "scan_1")
    paint(desk)
    show(desk, background, "scan_2")
    assert "scan_1 was not saved" in messages()[-1][1]
    assert desk.labelling.saving.failed
    desk.open_study.about_to_work.emit()
    background.finish()
    assert desk.open_study.records.case("scan_2").state is CaseState.UNLABELLED
    full[0] = False
    paint(desk, z=3)
    desk.open_study.about_to_work.emit()
    background.finish()
    assert not desk.labelling.saving.failed
    assert desk.open_study.study.labels.load("scan_1").sum() == 2
    assert desk.open_study.study.labels.load("scan_2").sum() == 2


def test_strokes_that_were_refused_come_back_with_their_scan(desk, background, monkeypatch):
    keep = saving.keep_label

    def refuse(*_):
        raise StudyError("The disk is full: free some space.")

    monkeypatch.setattr(saving, "keep_label", refuse)
    show(desk, background, "scan_1")
    paint(desk)
    show(desk, background, "scan_2")
    monkeypatch.setattr(saving, "keep_label", keep)
    show(desk, background, "scan_1")
    assert desk.on_show.layers.label_voxels().sum() == 2
    assert desk.open_study.study.labels.load("scan_1").sum() == 2


@pytest.mark.parametrize("painted", ["before the change", "while it is made", "while it is read"])
def test_strokes_lie_over_what_a_label_becomes_meanwhile(
    desk, background, painted, drawn_by_another
):
    show(desk, background, "scan_0")
    before = desk.on_show.layers.label_voxels().copy()
    changed = drawn_by_another(before)
    if painted == "before the change":
        paint(desk, value=2)
    desk.open_study.record(
        lambda study: study.labels.save("scan_0", changed, state=CaseState.LABELLED),
        lambda _: desk.on_show.show_again(),
    )
    if painted == "while it is made":
        paint(desk, value=2)
        desk.open_study.about_to_work.emit()
    if painted == "while it is read":
        background.waiting.popleft().run()
        paint(desk, value=2)
    background.finish()
    desk.open_study.about_to_work.emit()
    background.finish()
    kept = desk.open_study.study.labels.load("scan_0")
    assert np.array_equal(kept, desk.on_show.layers.label_voxels())
    expected = changed.copy()
    expected[1, 2, 2:4] = 2
    assert np.array_equal(kept, expected)


def test_a_label_that_another_program_saved_is_kept_under_the_next_stroke(
    desk, background, study_path, drawn_by_another
):
    show(desk, background, "scan_0")
    changed = drawn_by_another(desk.on_show.layers.label_voxels())
    with Study.open(study_path) as elsewhere:
        elsewhere.labels.save("scan_0", changed, state=CaseState.LABELLED)
    for z in (1, 2):
        paint(desk, value=2, z=z)
        desk.open_study.about_to_work.emit()
        background.finish()
    expected = changed.copy()
    expected[1:3, 2, 2:4] = 2
    assert np.array_equal(desk.open_study.study.labels.load("scan_0"), expected)
    assert np.array_equal(desk.on_show.layers.label_voxels(), expected)


def test_only_the_last_of_many_scans_that_are_passed_is_read(desk, background, monkeypatch):
    read = []
    original = case_on_show.read_case
    monkeypatch.setattr(
        case_on_show, "read_case", lambda *given: (read.append(given[1]), original(*given))[1]
    )
    for name in ("scan_1", "scan_2", "scan_3"):
        desk.on_show.show(name)
    background.finish()
    assert read == ["scan_3"]


def test_a_scan_is_not_read_again_for_its_label(desk, background, monkeypatch):
    show(desk, background, "scan_0")
    monkeypatch.setattr(desk.open_study.study.scans, "read", None)
    desk.on_show.show_again()
    background.finish()
    assert desk.on_show.name == "scan_0"
    assert desk.on_show.reading is None


def test_strokes_of_a_scan_that_is_gone_are_not_tried_for_ever(
    desk, background, monkeypatch, messages
):
    keep, full = saving.keep_label, [True]

    def refuse(*arguments):
        if full[0]:
            raise StudyError("The disk is full: free some space.")
        return keep(*arguments)

    monkeypatch.setattr(saving, "keep_label", refuse)
    show(desk, background, "scan_1")
    paint(desk)
    show(desk, background, "scan_2")
    full[0] = False
    desk.scans.remove("scan_1")
    background.finish()
    told = len(messages())
    for z in (3, 4):
        paint(desk, z=z)
        desk.open_study.about_to_work.emit()
        background.finish()
    assert len(messages()) == told
    assert desk.open_study.study.labels.load("scan_2").sum() == 4


def test_a_stroke_is_sent_as_its_box_and_the_whole_label_is_read_on_the_lane_alone(
    desk, background, qtbot, monkeypatch
):
    show(desk, background, "scan_0")
    read, sent, keep = [], [], saving.keep_label
    monkeypatch.setattr(saving, "keep_label", lambda *given: (sent.append(given), keep(*given))[1])
    for module, name in (
        (hashlib, "sha256"),
        (zlib, "crc32"),
        (label_edits, "box_of_difference"),
        (saving, "lay_over"),
    ):
        original = getattr(module, name)
        monkeypatch.setattr(
            module,
            name,
            lambda *given, name=name, original=original: (read.append(name), original(*given))[1],
        )
    for _ in range(2):
        paint(desk, value=2)
        qtbot.waitUntil(lambda: desk.labelling.saving.under_way)
        assert not read
        background.finish()
        assert set(read) == {"sha256"}, "the label on the disk is proved whole, on the lane"
        read.clear()
        desk.on_show.layers.label_layer.undo()
        qtbot.waitUntil(lambda: desk.labelling.saving.under_way)
        assert not read
        background.finish()
        read.clear()
    assert [stroke.after.shape for _, _, edits, *_ in sent for stroke in edits] == [(1, 1, 2)] * 4
    np.testing.assert_array_equal(desk.open_study.study.labels.load("scan_0"), box(0))


def test_the_time_of_a_stroke_is_in_its_transaction(desk, background):
    show(desk, background, "scan_0")
    paint(desk, value=2)
    desk.labelling.saving.flush()
    said = []
    study = desk.open_study.study
    study._records._connection().set_trace_callback(said.append)
    background.finish()
    study._records._connection().set_trace_callback(None)
    assert sum(text.startswith("BEGIN") for text in said) == 1
    assert len(said) <= 15  # 3 of them read the records again for the pages
    assert study.case("scan_0").time.manual_edits == 1
