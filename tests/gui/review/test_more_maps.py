from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_semiseg.engine.methods.contract import NativeMap
from napari_semiseg.gui.review.more_maps import MoreMaps

MAPS = {
    "second": NativeMap("second", "Teacher & student", "classes", "classes"),
    "kept": NativeMap("kept", "Share of training in which the teacher was believed", "share"),
}


@pytest.fixture
def more(qtbot):
    made = MoreMaps()
    qtbot.addWidget(made)
    return made


def actions(more):
    return {action.text(): action for action in more.menu().actions()}


def test_it_lists_the_maps_by_title_with_what_they_show(more):
    more.offer(MAPS, (), None)
    assert list(actions(more)) == ["Teacher && student", MAPS["kept"].title]
    for action in actions(more).values():
        assert action.isCheckable()
        assert not action.isChecked()
        assert action.toolTip().endswith(".")


def test_choosing_a_map_is_told_and_offering_it_again_is_not(more):
    told = []
    more.chosen.connect(lambda kind, shown: told.append((kind, shown)))
    more.offer(MAPS, (), None)
    actions(more)[MAPS["kept"].title].trigger()
    assert told == [("kept", True)]
    more.offer(MAPS, {"kept"}, None)
    assert actions(more)[MAPS["kept"].title].isChecked()
    assert "(1 on)" in more.text()
    actions(more)[MAPS["kept"].title].trigger()
    assert told == [("kept", True), ("kept", False)]


def test_it_says_why_there_are_none(more):
    more.offer({}, {"kept"}, "The method has none.")
    assert not more.isEnabled()
    assert more.toolTip() == "The method has none."
    assert "on)" not in more.text()
    more.offer(MAPS, (), None)
    assert more.isEnabled()


def test_the_menu_is_driven_by_keyboard(more, qtbot):
    told = []
    more.chosen.connect(lambda kind, shown: told.append((kind, shown)))
    more.offer(MAPS, (), None)
    assert more.focusPolicy() & Qt.FocusPolicy.TabFocus
    menu = more.menu()
    menu.popup(more.mapToGlobal(more.rect().bottomLeft()))
    qtbot.keyClick(menu, Qt.Key.Key_Down)
    qtbot.keyClick(menu, Qt.Key.Key_Down)
    qtbot.keyClick(menu, Qt.Key.Key_Return)
    assert told == [("kept", True)]
