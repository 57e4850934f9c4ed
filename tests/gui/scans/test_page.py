from __future__ import annotations

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_semiseg.engine.study import CaseState
from tests.gui.parts_of_the_desk import scans_page


@pytest.fixture
def page(qtbot, desk):
    page = scans_page(desk)
    qtbot.addWidget(page)
    return page


def shown_names(page):
    model = page.table.model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_all_scans_are_listed_with_their_states_in_words(page):
    assert shown_names(page) == ["scan_0", "scan_1", "scan_2", "scan_3"]
    model = page.table.model()
    assert model.index(0, 1).data(Qt.ItemDataRole.AccessibleTextRole) == "labelled"
    assert model.index(0, 0).data(Qt.ItemDataRole.AccessibleTextRole) == "scan_0, labelled"
    assert model.index(0, 1).data(Qt.ItemDataRole.DecorationRole) is not None
    assert "training learns from it" in model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)


def test_the_filter_finds_by_name_and_by_state(page):
    page.filter.setText("scan_2")
    assert shown_names(page) == ["scan_2"]
    page.filter.setText("unlabelled")
    assert shown_names(page) == ["scan_1", "scan_2", "scan_3"]


def test_buttons_for_a_scan_say_why_they_are_off(page):
    assert not page.hold_out.isEnabled()
    assert "Select a scan" in page.hold_out.toolTip()
    page.table.select("scan_1")
    assert page.hold_out.isEnabled()


def test_the_selected_scan_is_held_out_and_back(page, desk, background):
    page.table.select("scan_0")
    page.hold_out.click()
    background.finish()
    assert desk.open_study.records.case("scan_0").state is CaseState.HELD_OUT
    assert page.hold_out.isChecked()
    page.hold_out.click()
    background.finish()
    assert desk.open_study.records.case("scan_0").state is CaseState.LABELLED


def test_a_double_click_opens_a_scan(page, desk, background):
    page.table.activated.emit(page.table.model().index(2, 0))
    background.finish()
    assert desk.on_show.name == "scan_2"
    assert page.table.selected_name() == "scan_2"


def test_dropped_folders_are_added(qtbot, session, background, tmp_path, scan_folder):
    session.scans.new_study(tmp_path / "new")
    background.finish()
    page = scans_page(session)
    qtbot.addWidget(page)
    carried = QMimeData()
    carried.setUrls([QUrl.fromLocalFile(str(scan_folder))])
    page.dropEvent(
        QDropEvent(
            QPointF(5, 5),
            Qt.DropAction.CopyAction,
            carried,
            Qt.MouseButton.LeftButton,
            Qt.KeyboardModifier.NoModifier,
        )
    )
    background.finish()
    assert len(session.open_study.records.cases) == 4


def test_files_that_were_not_added_are_listed(page, desk, background, scan_folder):
    assert page.problems.isHidden()
    (scan_folder / "broken.nii.gz").write_bytes(b"nothing")
    desk.scans.add([scan_folder / "broken.nii.gz"])
    background.finish()
    assert not page.problems.isHidden()
    assert "1 file" in page.problems.title


def test_a_class_is_added_renamed_and_removed(page, desk, background):
    page.classes.add.click()
    background.finish()
    assert [item.value for item in desk.open_study.records.classes] == [1, 2, 3]
    page.classes._replace(2, name="core")
    background.finish()
    assert desk.open_study.records.classes[2].name == "core"
    page.classes.remove_class(2)
    background.finish()
    assert [item.name for item in desk.open_study.records.classes] == ["box", "rim"]


def test_a_scan_is_removed_after_a_question(page, desk, background, monkeypatch):
    from qtpy.QtWidgets import QMessageBox

    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    page.table.select("scan_3")
    page.remove.click()
    background.finish()
    assert desk.open_study.records.case("scan_3") is None


def test_a_name_that_is_being_typed_survives_other_changes(page, desk, background):
    from qtpy.QtWidgets import QLineEdit

    name = page.classes._rows.findChildren(QLineEdit)[-1]
    name.setText("half a na")
    desk.scans.hold_out("scan_1")
    background.finish()
    assert "half a na" in [line.text() for line in page.classes._rows.findChildren(QLineEdit)]


def test_a_refused_change_of_classes_goes_back(page, desk, background, messages):
    page.classes._replace(1, name="box")
    background.finish()
    assert "same name" in messages()[-1][1]
    assert [item.name for item in page.classes._shown] == ["box", "rim"]


# the list in detail


@pytest.fixture
def on_show(qtbot, desk, background):
    """The page in a window, with its scans looked at."""
    page = scans_page(desk)
    qtbot.addWidget(page)
    with qtbot.waitExposed(page):
        page.show()
    background.finish()
    return page


def test_the_scans_are_looked_at_when_the_page_comes_up(on_show, desk):
    assert set(desk.overview.cases) == {"scan_0", "scan_1", "scan_2", "scan_3"}
    model = on_show.table.cases
    titles = [column.title for column in model.columns]
    assert titles == ["Scan", "State", "Unsure", "Trust", "box", "rim", "Time", "Last edited"]
    assert model.index(0, titles.index("box")).data() == "0.81 mL"
    assert on_show.counted.text() == "4 scans"


def test_scans_are_chosen_by_state(on_show):
    on_show.states.setCurrentText("labelled")
    assert shown_names(on_show) == ["scan_0"]
    assert on_show.counted.text() == "1 of 4 scans"
    on_show.states.setCurrentIndex(0)
    assert len(shown_names(on_show)) == 4


def test_page_keys_go_from_scan_to_scan_in_the_order_of_the_list(on_show, desk, background, qtbot):
    on_show.table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    on_show.activateWindow()  # shortcuts belong to the active window
    qtbot.waitUntil(on_show.isActiveWindow)
    for expected in ("scan_3", "scan_2"):
        qtbot.keyClick(on_show.filter, Qt.Key.Key_PageDown)
        background.finish()
        assert desk.on_show.name == expected
        assert on_show.table.selected_name() == expected
    qtbot.keyClick(on_show.filter, Qt.Key.Key_PageUp)
    background.finish()
    assert desk.on_show.name == "scan_3"
    assert not on_show.previous.isEnabled()
    assert "no other scan that way" in on_show.previous.toolTip()


def test_what_is_wrong_with_a_scan_is_said_with_what_mends_it(
    on_show, desk, background, scan_folder, tmp_path, monkeypatch
):
    from qtpy.QtWidgets import QFileDialog

    moved = tmp_path / "renamed.nii.gz"
    (scan_folder / "scan_2.nii.gz").rename(moved)
    on_show.table.chosen.emit("scan_2")
    background.finish()
    assert on_show.table.selected_name() == "scan_2"
    assert "scan_2.nii.gz is no longer in" in on_show.mending.sentence.text()
    assert "⚠ 1 cannot be used" in on_show.counted.text()
    on_show.states.setCurrentIndex(on_show.states.count() - 1)
    assert shown_names(on_show) == ["scan_2"]
    on_show.states.setCurrentIndex(0)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(moved), ""))
    on_show.mending.locate_file.click()
    background.finish()
    assert desk.open_study.records.case("scan_2").source.paths == (moved,)
    assert on_show.mending.isHidden()
    assert on_show.counted.text() == "4 scans"


def test_a_study_that_is_dropped_opens(page, desk, background, tmp_path):
    from napari_semiseg.engine.study import Study, parse_classes

    Study.create(tmp_path / "other", parse_classes("1=a")).close()
    page.dropped.emit([tmp_path / "other.semiseg"])
    background.finish()
    assert desk.open_study.study.path.stem == "other"


def test_each_class_shows_the_key_that_takes_its_brush(page):
    from qtpy.QtWidgets import QLabel

    names = [label.accessibleName() for label in page.classes._rows.findChildren(QLabel)]
    assert {"Key of box: 1", "Key of rim: 2"} <= set(names)


def test_trust_shows_once_predictions_are_judged_and_sorts(page, desk):
    columns = [column.title for column in page.table.cases.columns]
    trust = columns.index("Trust")
    assert page.table.isColumnHidden(trust)
    judged = {"scan_1": 0.9, "scan_2": 0.2}
    page.show_trust(judged)
    assert not page.table.isColumnHidden(trust)
    page.table.sortByColumn(trust, Qt.SortOrder.AscendingOrder)
    model = page.table.model()
    texts = [model.index(row, trust).data() for row in range(2)]
    assert (shown_names(page)[:2], texts) == (["scan_2", "scan_1"], ["20 %", "90 %"])
