"""The acts of the scripted session, from an empty viewer to exported labels.

Each takes the stage as the one before has left it; a new act is a function and its place in `ACTS`.
Used by `docs.make_session`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit
from skimage.measure import find_contours

from docs.session.stage import Stage, row_of
from napari_semiseg.engine.study import CaseState
from napari_semiseg.engine.volumes.reading import read_label
from napari_semiseg.gui.review.parts import LOOKING, NOT_SO_SURE
from tests.measurements.event_loop_lag import run_event_loop

PAINTED, HELD_OUT = 2, 4
CLASSES = ("anterior", "posterior")
EVERY_SLICE = 3
"""Slices in between are left to the interpolation."""

LIVE_LOOKS = 8


def make_a_study(stage: Stage) -> None:
    """Make a study."""
    stage.camera.picture("welcome")
    with stage.hands.answering_dialog([stage.folder / "hippocampus.semiseg"]):
        stage.hands.click(stage.desk.welcome_page.new)
    stage.wait(lambda: stage.session.open_study.study is not None, "the study")
    stage.camera.picture("scans-empty")


def name_the_structures(stage: Stage) -> None:
    """Name the structures."""
    editor = stage.desk.scans_page.classes
    for value, name in enumerate(CLASSES, start=1):
        if value > 1:
            stage.hands.click(editor.add)
            stage.settle()
        fields = editor.findChildren(QLineEdit)
        wanted = f"Name of class {value}"
        field = next(f for f in fields if f.accessibleName() == wanted and f.isVisible())
        stage.hands.type_into(field, name)
        stage.settle()


def import_scans(stage: Stage) -> None:
    """Import 30 scans."""
    with stage.hands.answering_dialog([stage.scans[0].parent]):
        stage.hands.click(stage.desk.scans_page.add_folder)
    stage.settle()
    stage.wait(lambda: not stage.session.overview.busy, "a look at the scans")
    stage.camera.picture("scans")


def hold_scans_out(stage: Stage) -> None:
    """Hold scans out."""
    page, names = stage.desk.scans_page, stage.names[-HELD_OUT:]
    files = [next(stage.labels.glob(f"{name}.*")) for name in names]
    with stage.hands.answering_dialog(files):
        stage.hands.click(page.labels)
    stage.settle()
    for name in names:
        stage.hands.click_row(page.table, row_of(page.table, name))
        stage.hands.click(page.hold_out)
        stage.settle()
    stage.camera.picture("scans-held-out")


def paint_two(stage: Stage) -> None:
    """Paint two scans."""
    for name in stage.names[:PAINTED]:
        stage.turn_to("Scans")
        stage.open_from_list(name)
        stage.turn_to("Label")
        stage.hands.type_into(stage.desk.label_page.brush_size, "1.0")
        truth = _true_label(stage, name)
        for value in range(1, len(CLASSES) + 1):
            _paint_class(stage, truth, value)
        _go_to_slice(stage, int(np.count_nonzero(truth, axis=(1, 2)).argmax()))
        stage.camera.picture(f"label-{name}")
        stage.hands.key(Qt.Key.Key_M)
        stage.settle()
        case = stage.session.open_study.records.case(name)
        assert case is not None
        assert case.state is CaseState.LABELLED, "the key M marks the label as finished"


def _true_label(stage: Stage, name: str) -> np.ndarray:
    """Return where the structures of a scan are, (z, y, x): the anatomy that a person knows."""
    case = stage.session.open_study.records.case(name)
    assert case is not None
    path = next(stage.labels.glob(f"{name}.*"))
    allowed = set(range(1, len(CLASSES) + 1))
    with stage.meter.paused():
        return read_label(path, scan=case.geometry, allowed=allowed).voxels


def _paint_class(stage: Stage, truth: np.ndarray, value: int) -> None:
    """Outline a class in every third slice, fill the outlines, and interpolate between them."""
    hands, page = stage.hands, stage.desk.label_page
    inside = truth == value
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    chosen = sorted({*slices[::EVERY_SLICE], slices[-1]})
    hands.key(Qt.Key(Qt.Key.Key_0 + value))
    for count, index in enumerate(chosen):
        _go_to_slice(stage, int(index))
        _outline(stage, inside[index])
        if count % 4 == 1:
            stage.camera.frame()
    hands.key(Qt.Key.Key_H)
    stage.wait(lambda: stage.session.labelling.tools.working is None, "filled outlines")
    stage.camera.frame()
    hands.click(page.tools.interpolate)
    stage.wait(lambda: stage.session.labelling.tools.working is None, "interpolated slices")
    stage.settle()
    stage.camera.frame()


def _outline(stage: Stage, mask: np.ndarray) -> None:
    """Draw along the outermost voxels of each piece of a mask (rows, columns) of the slice."""
    layer = stage.session.on_show.layers.label_layer
    assert layer is not None
    with stage.meter.paused():
        # a level just under 1 keeps the pen on the voxels inside, whose outline closes without gaps
        outlines = find_contours(np.pad(mask, 1).astype(float), 0.99)
    for outline in outlines:
        stage.hands.stroke((np.rint(outline) - 1) * np.asarray(layer.scale)[1:])


def _go_to_slice(stage: Stage, index: int) -> None:
    """Turn the wheel with Ctrl until a slice is on the screen."""
    slices = stage.session.slices
    for _ in range(len(slices.painted)):
        current = slices.current
        if current is None or current == index:
            return
        stage.hands.turn_wheel(1 if index > current else -1)


def train_and_watch(stage: Stage) -> None:
    """Train and watch."""
    page, session = stage.desk.train_page, stage.session
    stage.turn_to("Scans")
    stage.open_from_list(stage.names[PAINTED])
    stage.turn_to("Train")
    stage.camera.picture("train")
    stage.hands.type_into(page.minutes, f"{stage.minutes:g}")
    stage.hands.click(page.start)
    stage.wait(lambda: "prediction" in session.on_show.layers.map_layers(), "the first live map")
    stage.hands.click(page.previews.kinds["signed_distance"])
    for look in range(LIVE_LOOKS):
        run_event_loop(60 * stage.minutes / (LIVE_LOOKS + 2))
        if not session.training.active:
            break
        stage.hands.turn_wheel(6 if look % 2 else -6)
        stage.camera.frame()
        if look == LIVE_LOOKS // 2:
            stage.hands.click(page.previews.kinds["signed_distance"])
            stage.camera.picture("train-live")
    stage.wait(lambda: not session.training.active, "the end of training")
    stage.settle()
    stage.camera.picture("train-ended")


def predict_the_others(stage: Stage) -> None:
    """Predict the others."""
    page = stage.desk.review_page
    stage.turn_to("Review")
    stage.hands.click(page.predict)
    stage.settle()
    stage.wait(lambda: not stage.session.reviewing.trust.busy, "the trust in the predictions")
    stage.camera.picture("review-list")


def review_five(stage: Stage) -> None:
    """Review five."""
    page, hands = stage.desk.review_page, stage.hands
    hands.click_row(page.table, 0, twice=True)
    _await_prediction(stage)
    hands.key(Qt.Key.Key_W)
    stage.camera.picture("review")
    hands.type_into(page.reason, "the tail is missing")
    hands.click(page.reject)
    _await_prediction(stage)
    for _ in range(3):
        hands.key(Qt.Key.Key_W)
        stage.camera.frame()
        hands.key(Qt.Key.Key_A)
        _await_prediction(stage)
    _fix(stage)


def _await_prediction(stage: Stage) -> None:
    """Wait for the next scan with its maps."""
    stage.settle()
    page = stage.desk.review_page
    stage.wait(
        lambda: page.accept.isEnabled() and not stage.session.open_study.lane.busy, "a prediction"
    )


def _fix(stage: Stage) -> None:
    """Correct the prediction on the screen where it leaves out most, and mark it as labelled."""
    stage.hands.key(Qt.Key.Key_F)
    stage.wait(lambda: stage.desk.page == "Label", "the Label page")
    stage.settle()
    name = stage.session.on_show.name
    assert name is not None
    truth = _true_label(stage, name)
    stage.wait(lambda: stage.session.on_show.reading is None, "the label to correct")
    missed = (truth > 0) & (stage.session.on_show.layers.label_voxels() == 0)
    index = int(missed.sum(axis=(1, 2)).argmax())
    value = int(np.bincount(truth[index][missed[index]]).argmax())
    stage.hands.key(Qt.Key(Qt.Key.Key_0 + value))
    _go_to_slice(stage, index)
    _outline(stage, truth[index] == value)
    stage.hands.key(Qt.Key.Key_H)
    stage.wait(lambda: stage.session.labelling.tools.working is None, "filled outlines")
    stage.camera.picture("label-fix")
    stage.hands.key(Qt.Key.Key_M)
    stage.settle()


def accept_one_part(stage: Stage) -> None:
    """Accept one part."""
    page, hands, reviewing = stage.desk.review_page, stage.hands, stage.session.reviewing
    stage.turn_to("Review")
    following = reviewing.next_case(stage.session.on_show.name)
    assert following is not None
    hands.click_row(page.table, row_of(page.table, following), twice=True)
    _await_prediction(stage)
    hands.click(page.parts.switch)
    stage.wait(lambda: reviewing.parts.why_not() != LOOKING, "the parts")
    while reviewing.parts.why_not() == NOT_SO_SURE:  # as it says: ask for less
        hands.lower(page.parts.certainty)
        stage.wait(lambda: reviewing.parts.why_not() != LOOKING, "the parts")
    hands.key(Qt.Key.Key_P)
    stage.camera.picture("review-part")
    hands.key(Qt.Key.Key_A, Qt.KeyboardModifier.ShiftModifier)
    stage.settle()
    stage.wait(lambda: reviewing.parts.left is not None, "the parts that are left")
    case = stage.session.on_show.case
    assert case is not None
    assert case.accepted_in_part, "Shift+A accepts the part that P has chosen"
    hands.click(page.parts.switch)


def look_from_three_sides(stage: Stage) -> None:
    """Three views."""
    views = stage.desk.views
    stage.hands.key(Qt.Key.Key_T)
    stage.wait(lambda: views.shown, "the three views")
    stage.hands.turn_wheel(4)
    stage.camera.picture("three-views")
    stage.hands.key(Qt.Key.Key_T)
    stage.wait(lambda: not views.shown, "the end of the three views")


def learn_on(stage: Stage) -> None:
    """Learn on."""
    page, session = stage.desk.train_page, stage.session
    stage.turn_to("Train")
    stage.hands.type_into(page.minutes, f"{max(0.5, stage.minutes / 2):g}")
    stage.camera.picture("train-again")
    stage.hands.click(page.learn_on)
    stage.wait(lambda: session.training.progress.step > 0, "the first step")
    stage.camera.frame()
    stage.wait(lambda: not session.training.active, "the end of training")
    stage.settle()


def compare_the_runs(stage: Stage) -> None:
    """Compare."""
    page, comparing = stage.desk.compare_page, stage.session.comparing
    stage.turn_to("Compare")
    stage.wait(lambda: page.runs.rowCount() == 2, "the runs")
    for row in range(2):
        if len(comparing.chosen) < 2:
            stage.hands.click_row(page.runs, row)
            run_event_loop(0.5)
    stage.hands.click(page.measure_runs)
    stage.settle()
    stage.wait(lambda: page.case.count() > 0 and page.case.isEnabled(), "the figures")
    stage.camera.picture("compare")
    stage.hands.choose(page.case, 0)
    stage.wait(lambda: comparing.pair is not None and not comparing.waiting, "the scan")
    stage.hands.click(page.beside)
    stage.hands.click(page.disagreement)
    run_event_loop(0.5)
    stage.camera.picture("compare-beside")
    stage.hands.click(page.beside)


def export_labels(stage: Stage) -> None:
    """Export."""
    stage.turn_to("Scans")
    target = stage.folder / "exported"
    target.mkdir()
    with stage.hands.answering_dialog([target]):
        stage.hands.click_menu(stage.desk.menu, "Export labels")
    stage.settle()
    assert len(list(target.glob("*.nii.gz"))) >= PAINTED + HELD_OUT
    stage.camera.picture("scans-reviewed")


ACTS: tuple[Callable[[Stage], None], ...] = (
    make_a_study,
    name_the_structures,
    import_scans,
    hold_scans_out,
    paint_two,
    train_and_watch,
    predict_the_others,
    review_five,
    accept_one_part,
    look_from_three_sides,
    learn_on,
    compare_the_runs,
    export_labels,
)
