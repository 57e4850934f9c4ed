from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest

from napari_semiseg.gui.desk import TITLE, SemisegWidget
from napari_semiseg.gui.viewer.planes.three_views import ThreeViews

PATIENCE = 60_000


@pytest.fixture
def viewer(make_napari_viewer):
    made = make_napari_viewer(show=True)
    made.window._qt_window.resize(1000, 700)
    return made


@pytest.fixture
def docked(viewer, qtbot, recent, study_path):
    """The desk in a real viewer, with the labelled scan on the screen."""
    widget = SemisegWidget(viewer, recent=recent)
    viewer.window.add_dock_widget(widget, name=TITLE, area="right")
    widget.session.open_study.open(study_path)
    session = widget.session
    qtbot.waitUntil(
        lambda: bool(session.open_study.study and session.open_study.methods), timeout=PATIENCE
    )
    show(qtbot, widget, "scan_0")
    yield widget
    widget.session.close()
    widget.views.close()


def show(qtbot, widget, name):
    on_show = widget.session.on_show
    on_show.show(name)
    qtbot.waitUntil(lambda: on_show.name == name and on_show.reading is None, timeout=PATIENCE)


@pytest.fixture
def panel(docked, qtbot):
    docked.views.toggle()
    settle(qtbot)
    return docked.views.panel


def settle(qtbot):
    """Let the event loop come round until all is drawn."""
    qtbot.wait(50)


def titles(panel):
    return {axis: view._title.text() for axis, view in panel.views.items() if not view.isHidden()}


def pixel(view, vertical, horizontal):
    """Where a place in mm lies in a view."""
    from qtpy.QtCore import QPointF

    return view.mapFromScene(view._box.mapViewToScene(QPointF(horizontal, vertical)))


def press(view, vertical, horizontal):
    QTest.mousePress(
        view.viewport(), Qt.MouseButton.LeftButton, pos=pixel(view, vertical, horizontal)
    )


def test_the_button_shows_the_two_other_planes_at_the_point_of_the_main_view(docked, panel):
    assert docked.linked.isChecked()
    assert set(titles(panel)) == {1, 2}
    dims = docked.session.on_show.layers.dims
    dims.set_point(range(3), (4.0, 7.5, 6.0))
    QTest.qWait(50)
    assert titles(panel) == {1: "coronal 5 / 13", 2: "sagittal 4 / 15"}


def test_another_main_view_or_3d_changes_which_planes_show(docked, panel, qtbot):
    dims = docked.session.on_show.layers.dims
    dims.order = (2, 0, 1)
    settle(qtbot)
    assert set(titles(panel)) == {0, 1}
    dims.ndisplay = 3
    settle(qtbot)
    assert set(titles(panel)) == {0, 1, 2}


def test_pressing_and_dragging_in_a_view_moves_the_point_of_all(docked, panel, qtbot):
    dims, coronal = docked.session.on_show.layers.dims, panel.views[1]
    press(coronal, 6.0, 9.0)
    assert (dims.point[0], dims.point[2]) == (6.0, 9.0)
    view = coronal.viewport()
    QTest.mouseMove(view, pixel(coronal, 14.0, 3.0))
    qtbot.waitUntil(lambda: (dims.point[0], dims.point[2]) == (14.0, 3.0))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton)
    settle(qtbot)
    assert titles(panel)[2] == "sagittal 2 / 15"
    assert coronal._lines[0].value() == 14.0


def test_the_point_stays_inside_the_scan(docked, panel):
    panel.move_to({0: -50.0, 1: 500.0})
    assert tuple(docked.session.on_show.layers.dims.point)[:2] == (0.0, 13 * 1.5)


def test_the_arrow_keys_move_the_point_the_way_they_point(docked, panel):
    dims, coronal = docked.session.on_show.layers.dims, panel.views[1]
    dims.set_point(range(3), (6.0, 7.5, 6.0))
    QTest.keyClick(coronal, Qt.Key.Key_Up)  # towards superior, which z grows to
    QTest.keyClick(coronal, Qt.Key.Key_Right)  # towards the patient's left, away from where x grows
    assert tuple(dims.point) == (8.0, 7.5, 4.5)


def test_the_letters_at_the_borders_are_those_of_the_scan(viewer, docked, panel, qtbot):
    letters = [label.text() for label in panel.views[1]._letters]
    assert letters == ["S", "I", "R", "L"]
    overlays = viewer.canvas.overlays
    names = [f"semiseg_border_{border}" for border in ("top", "bottom", "left", "right")]
    qtbot.waitUntil(lambda: all(name in overlays for name in names))
    at = [overlays[name] for name in names]
    qtbot.waitUntil(lambda: [overlay.text for overlay in at] == ["A", "P", "R", "L"])
    docked.session.on_show.layers.dims.ndisplay = 3
    qtbot.waitUntil(lambda: not any(overlay.visible for overlay in at))


def test_a_voxel_is_as_wide_as_its_spacing_says(panel):
    coronal = panel.views[1]
    across = pixel(coronal, 0.0, 12.0) - pixel(coronal, 0.0, 0.0)
    down = pixel(coronal, 12.0, 0.0) - pixel(coronal, 0.0, 0.0)
    assert abs(abs(across.x()) - abs(down.y())) <= 2


def test_a_stroke_and_its_undo_show_in_the_views(docked, panel, qtbot):
    layers = docked.session.on_show.layers
    layers.dims.set_point(range(3), (20.0, 15.0, 18.0))
    settle(qtbot)
    label = panel.views[1]._items[1]
    assert not label.image.any()
    layers.label_layer.data_setitem((np.array([10]), np.array([10]), np.array([12])), 1)
    qtbot.waitUntil(lambda: label.image[10, 12].any())
    expected = np.round(255 * layers.label_layer.get_color(1)[:3])
    np.testing.assert_allclose(label.image[10, 12, :3], expected, atol=1)
    layers.label_layer.undo()
    qtbot.waitUntil(lambda: not label.image.any())


def test_hiding_a_layer_or_changing_its_contrast_shows_in_the_views(docked, panel, qtbot):
    scan, label = docked.session.on_show.layers.scans[0], docked.session.on_show.layers.label_layer
    items = panel.views[1]._items
    before = items[0].image.copy()
    scan.contrast_limits = (0, 1000)
    qtbot.waitUntil(lambda: not np.array_equal(before, items[0].image))
    label.visible = False
    qtbot.waitUntil(lambda: not items[1].isVisible())


def test_scrolling_in_the_main_view_draws_no_picture_anew(docked, panel, qtbot, monkeypatch):
    cut = []
    monkeypatch.setattr(
        "napari_semiseg.gui.viewer.planes.view_panel.slice_picture", lambda *a: cut.append(a)
    )
    for step in range(5):
        docked.session.on_show.layers.dims.set_current_step(0, step)
        settle(qtbot)
    assert not cut
    assert panel.views[1]._lines[0].value() == 4 * 2.0


def test_a_click_in_the_main_view_moves_the_point_but_neither_a_drag_nor_a_stroke_does(
    viewer, docked, panel, qtbot
):
    dims, canvas = docked.session.on_show.layers.dims, viewer.window._qt_viewer.canvas.native
    dims.set_point(range(3), (6.0, 0.0, 0.0))
    middle = canvas.rect().center()

    def drag(end):
        QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
        if end != middle:
            QTest.mouseMove(canvas, end)
        QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
        settle(qtbot)

    drag(middle + QPoint(30, 0))
    assert tuple(dims.point)[1:] == (0.0, 0.0)
    drag(middle)
    moved = tuple(dims.point)
    assert moved[1] > 0
    assert moved[2] > 0
    docked.session.labelling.paint_with(1)
    dims.set_point(range(3), (6.0, 0.0, 0.0))
    drag(middle)
    assert tuple(dims.point)[1:] == (0.0, 0.0)
    assert docked.session.on_show.layers.label_layer.data[3].any()


def test_the_next_case_shows_in_the_views_and_there_is_one_crosshair(viewer, docked, panel, qtbot):
    before = panel.views[1]._items[0].image.copy()
    show(qtbot, docked, "scan_2")
    qtbot.waitUntil(lambda: not np.array_equal(before, panel.views[1]._items[0].image))
    assert [layer.name for layer in viewer.layers].count("crosshair") == 1
    assert viewer.layers.selection.active is docked.session.on_show.layers.label_layer


def test_taking_the_views_away_leaves_nothing_behind(viewer, docked, qtbot):
    docked.linked.click()
    settle(qtbot)
    panel = weakref.ref(docked.views.panel)
    docked.linked.click()
    settle(qtbot)
    gc.unfreeze()  # the desk has the collector pass over what was there when one took long
    gc.collect()
    assert panel() is None
    assert not docked.views.shown
    assert not docked.linked.isChecked()
    assert [layer.name for layer in viewer.layers] == ["scan_0", "scan_0 label"]
    assert not any(name.startswith("semiseg") for name in viewer.canvas.overlays)
    for callbacks in (viewer.mouse_drag_callbacks, viewer.mouse_move_callbacks):
        owners = [getattr(callback, "__self__", None) for callback in callbacks]
        assert not any(isinstance(owner, ThreeViews) for owner in owners)


def test_the_scan_fills_as_much_of_the_main_canvas_as_before(viewer, docked, qtbot):
    def filled():
        height, width = viewer.canvas.size
        return viewer.scene.camera.zoom / min(height / (14 * 1.5), width / (16 * 1.5))

    settle(qtbot)
    before, height = filled(), viewer.canvas.size[0]
    docked.views.toggle()
    qtbot.waitUntil(lambda: viewer.canvas.size[0] < 0.8 * height)
    qtbot.waitUntil(lambda: abs(filled() / before - 1) < 0.05)
    docked.views.toggle()
    qtbot.waitUntil(lambda: viewer.canvas.size[0] > 0.9 * height)
    qtbot.waitUntil(lambda: abs(filled() / before - 1) < 0.05)


def test_they_go_with_the_study_and_come_with_the_next_case(docked, panel, qtbot, study_path):
    docked.session.open_study.close_study()
    assert not docked.views.shown
    assert not docked.linked.isEnabled() or docked.linked.isHidden()
    docked.session.open_study.open(study_path)
    qtbot.waitUntil(lambda: docked.session.open_study.study is not None, timeout=PATIENCE)
    show(qtbot, docked, "scan_1")
    assert docked.views.shown


def test_closing_the_panel_by_its_own_button_is_remembered(docked, panel, qtbot, recent):
    panel.parent().close()
    qtbot.waitUntil(lambda: not docked.views.shown)
    assert not ThreeViews(docked._viewer, docked.session.on_show, recent.settings).wanted
    docked.views.toggle()
    assert ThreeViews(docked._viewer, docked.session.on_show, recent.settings).wanted


def test_without_a_scan_the_button_says_why_it_is_off(docked):
    docked.session.on_show.leave()
    assert not docked.linked.isEnabled()
    assert "No scan" in docked.linked.toolTip()


def test_the_key_is_bound_on_every_page(docked):
    for index in range(5):
        docked.show_page(index)
        assert "T" in {str(key) for key in docked.session.on_show.layers.label_layer.keymap}
