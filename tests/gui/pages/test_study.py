from __future__ import annotations

import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent

from napari_semiseg.engine.study import CaseState
from napari_semiseg.gui.pages.study import StudyPage


@pytest.fixture
def page(qtbot, desk):
    page = StudyPage(desk)
    qtbot.addWidget(page)
    return page


def shown_names(page):
    model = page.table.model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def test_all_scans_are_listed_with_their_states_in_words(page):
    assert shown_names(page) == ["scan_0", "scan_1", "scan_2", "scan_3"]
    model = page.table.model()
    assert model.index(0, 1).data() == "labelled"
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
    assert desk.records.case("scan_0").state is CaseState.HELD_OUT
    assert page.hold_out.isChecked()
    page.hold_out.click()
    background.finish()
    assert desk.records.case("scan_0").state is CaseState.LABELLED


def test_a_double_click_opens_a_scan(page, desk, background):
    page.table.activated.emit(page.table.model().index(2, 0))
    background.finish()
    assert desk.labelling.shown == "scan_2"
    assert page.table.selected_name() == "scan_2"


def test_dropped_folders_are_added(qtbot, session, background, tmp_path, scan_folder):
    session.new_study(tmp_path / "new")
    background.finish()
    page = StudyPage(session)
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
    assert len(session.records.cases) == 4


def test_files_that_were_not_added_are_listed(page, desk, background, scan_folder):
    assert page.problems.isHidden()
    (scan_folder / "broken.nii.gz").write_bytes(b"nothing")
    desk.add_scans([scan_folder / "broken.nii.gz"])
    background.finish()
    assert not page.problems.isHidden()
    assert "1 file" in page.problems.title


def test_a_class_is_added_renamed_and_removed(page, desk, background):
    page.classes.add.click()
    background.finish()
    assert [item.value for item in desk.records.classes] == [1, 2, 3]
    page.classes._replace(2, name="core")
    background.finish()
    assert desk.records.classes[2].name == "core"
    page.classes.remove_class(2)
    background.finish()
    assert [item.name for item in desk.records.classes] == ["box", "rim"]


def test_a_scan_is_removed_after_a_question(page, desk, background, monkeypatch):
    from qtpy.QtWidgets import QMessageBox

    monkeypatch.setattr(QMessageBox, "question", lambda *_: QMessageBox.StandardButton.Yes)
    page.table.select("scan_3")
    page.remove.click()
    background.finish()
    assert desk.records.case("scan_3") is None


def test_a_name_that_is_being_typed_survives_other_changes(page, desk, background):
    from qtpy.QtWidgets import QLineEdit

    name = page.classes._rows.findChildren(QLineEdit)[-1]
    name.setText("half a na")
    desk.hold_out("scan_1")
    background.finish()
    assert "half a na" in [line.text() for line in page.classes._rows.findChildren(QLineEdit)]


def test_a_refused_change_of_classes_goes_back(page, desk, background, messages):
    page.classes._replace(1, name="box")
    background.finish()
    assert "same name" in messages()[-1][1]
    assert [item.name for item in page.classes._shown] == ["box", "rim"]
