from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest

from napari_semiseg.engine.study import CaseState, Study
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.gui.desk import MARGIN, NARROWEST, TITLE, SemisegWidget

PATIENCE = 60_000
SMALL = {"patch": (8, 8, 8), "network.filters": 2, "network.strides": [[2, 2, 2]]}
"""A network that trains and predicts in no time."""


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def docked(viewer, qtbot, recent):
    """The widget in a real viewer, with real threads."""
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    qtbot.waitUntil(lambda: bool(widget.session.open_study.methods), timeout=PATIENCE)
    yield widget
    widget.session.close()


def opened(qtbot, widget, study_path):
    widget.session.open_study.open(study_path)
    qtbot.waitUntil(lambda: widget.session.open_study.study is not None, timeout=PATIENCE)
    return widget.session


def shown(qtbot, session, name):
    session.on_show.show(name)
    qtbot.waitUntil(lambda: session.on_show.name == name, timeout=PATIENCE)


def paint_box(session, index=1):
    z, y, x = np.mgrid[3:9, 4 + index : 9 + index, 5:11].reshape(3, -1)
    session.on_show.layers.label_layer.data_setitem((z, y, x), 1)


def settled(qtbot, session):
    qtbot.waitUntil(
        lambda: not session.open_study.lane.busy and not session.labelling.saving.under_way,
        timeout=PATIENCE,
    )


def test_napari_opens_it_from_the_manifest(viewer, qtbot, monkeypatch, recent):
    monkeypatch.setattr("napari_semiseg.gui.desk.RecentStudies", lambda: recent)
    _, widget = viewer.window.add_plugin_dock_widget("napari-semiseg", TITLE)
    assert isinstance(widget, SemisegWidget)
    assert widget.pages.currentIndex() == 5, "the welcome"
    qtbot.waitUntil(lambda: bool(widget.session.open_study.methods), timeout=PATIENCE)
    widget.session.close()


def test_a_study_goes_from_scans_to_reviewed_labels(
    docked, qtbot, scan_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("napari_semiseg.engine.training.loop.PREVIEW_SECONDS", 0.0)
    session = docked.session
    session.scans.new_study(tmp_path / "boxes")
    qtbot.waitUntil(lambda: session.open_study.study is not None, timeout=PATIENCE)
    session.scans.add([scan_folder])
    qtbot.waitUntil(
        lambda: session.open_study.job is None and not session.open_study.lane.busy,
        timeout=PATIENCE,
    )
    assert len(session.open_study.records.cases) == 4

    docked.show_page(1)
    shown(qtbot, session, "scan_1")
    paint_box(session)
    qtbot.waitUntil(lambda: session.labelling.saving.saved_at is not None, timeout=PATIENCE)
    docked.label_page.done.click()
    settled(qtbot, session)
    assert session.open_study.records.case("scan_1").state is CaseState.LABELLED

    docked.show_page(2)
    shown(qtbot, session, "scan_2")
    session.training.start(TrainingSettings(steps=6, device="cpu", plan_overrides=SMALL))
    assert not docked.train_page.start.isEnabled()
    qtbot.waitUntil(lambda: "prediction" in session.on_show.layers.map_layers(), timeout=PATIENCE)
    qtbot.waitUntil(lambda: not session.training.active, timeout=PATIENCE)
    settled(qtbot, session)
    assert session.training.progress.outcome == "finished"
    assert session.training.progress.step == 6
    assert session.open_study.records.usable_run is not None

    docked.show_page(3)
    docked.review_page.predict.click()
    qtbot.waitUntil(lambda: session.open_study.job is None, timeout=PATIENCE)
    settled(qtbot, session)
    assert {case.state for case in session.reviewing.cases()} == {CaseState.PREDICTED}
    assert set(session.reviewing.unsure) == {"scan_0", "scan_2", "scan_3"}

    docked.review_page.go_on.setChecked(False)
    decisions = (
        ("scan_0", docked.review_page.accept, CaseState.ACCEPTED),
        ("scan_2", docked.review_page.reject, CaseState.REJECTED),
        ("scan_3", docked.review_page.fix, CaseState.IN_PROGRESS),
    )
    for name, control, state in decisions:
        session.maps.show_case(name)
        qtbot.waitUntil(control.isEnabled, timeout=PATIENCE)
        control.click()
        settled(qtbot, session)
        assert session.open_study.records.case(name).state is state
    assert docked.page == "Label", "a fix goes on with painting"
    assert [decision.case for decision in session.open_study.study.decisions()][-3:] == [
        "scan_0",
        "scan_2",
        "scan_3",
    ]


def test_closing_the_viewer_during_training_leaves_a_checkpoint_and_the_last_stroke(
    make_napari_viewer, qtbot, study_path, recent
):
    viewer = make_napari_viewer()
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    session = opened(qtbot, widget, study_path)
    shown(qtbot, session, "scan_1")
    session.training.start(TrainingSettings(minutes=5, device="cpu", plan_overrides=SMALL))
    qtbot.waitUntil(lambda: session.training.progress.step >= 2, timeout=PATIENCE)
    paint_box(session)
    viewer.close()
    del widget
    gc.collect()
    with Study.open(study_path) as study:
        run = study.runs.all()[-1]
        assert run.status == "stopped"
        assert run.has_checkpoint
        assert study.labels.load("scan_1").sum() == 180


def test_removing_the_dock_saves_and_gives_the_keys_back(viewer, qtbot, study_path, recent):
    before = dict(viewer.keymap)
    widget = SemisegWidget(viewer, recent=recent)
    dock = viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    session = opened(qtbot, widget, study_path)
    widget.show_page(1)
    shown(qtbot, session, "scan_1")
    assert len(viewer.keymap) > len(before)
    paint_box(session)
    viewer.window.remove_dock_widget(dock)
    del widget, dock
    gc.collect()
    qtbot.wait(50)
    gc.collect()
    assert dict(viewer.keymap) == before
    with Study.open(study_path) as study:
        assert study.labels.load("scan_1").sum() == 180


def test_keys_of_the_page_act_on_the_label_layer(docked, qtbot, study_path):
    session = opened(qtbot, docked, study_path)
    docked.show_page(1)
    shown(qtbot, session, "scan_1")
    layer = session.on_show.layers.label_layer
    bound = {str(key): action for key, action in layer.keymap.items()}
    bound["2"](layer)
    assert layer.selected_label == 2
    docked.show_page(3)
    bound = {str(key) for key in layer.keymap}
    assert {"A", "F", "R", "N"} <= bound
    assert "2" not in bound
    docked.show_page(0)
    assert "A" not in {str(key) for key in layer.keymap}


def test_errors_of_the_engine_become_notifications(docked, qtbot, study_path, messages):
    session = opened(qtbot, docked, study_path)
    session.training.start(TrainingSettings(steps=3, device="cpu", method="no such method"))
    qtbot.waitUntil(lambda: session.training.progress.outcome == "failed", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not session.training.active, timeout=PATIENCE)
    assert any("no such method" in text for severity, text in messages() if severity == "error")
    assert docked.strip.isHidden()


def test_trust_in_predictions_shows_on_the_scans_page(docked, qtbot, study_path):
    trust = opened(qtbot, docked, study_path).reviewing.trust
    table = docked.scans_page.table
    column = [column.title for column in table.cases.columns].index("Trust")
    assert table.isColumnHidden(column)
    trust.cases = {"scan_1": SimpleNamespace(trust=SimpleNamespace(score=0.9))}
    trust.changed.emit()
    assert not table.isColumnHidden(column)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_fits_into_360_pixels_in_both_themes(docked, viewer, qtbot, study_path, theme):
    opened(qtbot, docked, study_path)
    viewer.theme = theme
    docked.resize(360, 800)
    for index in range(5):
        docked.show_page(index)
        page = docked.pages.currentWidget().widget()
        assert page.minimumSizeHint().width() <= 344
    assert docked.minimumSizeHint().width() <= 360


def test_every_control_has_a_tooltip_and_an_accessible_name(docked, qtbot, study_path):
    from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit

    opened(qtbot, docked, study_path)
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox):
        for control in docked.findChildren(kind):
            if not control.objectName().startswith("qt_") and control.parent() is not None:
                described = control.accessibleName() and control.toolTip()
                assert described or isinstance(control.parent(), QLineEdit | QComboBox), (
                    control,
                    getattr(control, "text", str)(),
                )


def test_no_step_is_cut_off_in_a_narrow_dock(docked):
    steps = docked.steps
    steps.resize(360, 60)  # what the theme makes of the font counts from here
    assert steps.minimumSizeHint().width() <= 360
    for step in steps.buttons:
        for line in step.text().splitlines():
            assert step.fontMetrics().horizontalAdvance(line) < step.minimumWidth()


def test_the_dock_is_as_wide_as_its_steps_and_each_page_beside_its_scroll_bar(
    docked, qtbot, study_path
):
    session = opened(qtbot, docked, study_path)
    shown(qtbot, session, "scan_1")
    narrowest = docked.minimumSizeHint().width()
    margins = docked.contentsMargins().left() + 2 * MARGIN
    assert docked.minimumWidth() <= narrowest, "what the layout needs is not overruled"
    assert narrowest >= NARROWEST
    assert docked.steps.minimumSizeHint().width() + margins <= narrowest
    for place in range(docked.pages.count()):
        area = docked.pages.widget(place)
        bar = area.verticalScrollBar().sizeHint().width()
        assert area.widget().minimumSizeHint().width() + bar + margins <= narrowest


def test_the_page_takes_all_the_height_that_the_dock_has(docked, qtbot, study_path):
    session = opened(qtbot, docked, study_path)
    shown(qtbot, session, "scan_1")
    for place in range(5):
        docked.show_page(place)
        qtbot.waitUntil(
            lambda: docked.status.geometry().bottom() >= docked.height() - 2 * MARGIN,
            timeout=PATIENCE,
        )
