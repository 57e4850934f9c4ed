from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_semiseg.engine.methods.registry import available_methods
from napari_semiseg.gui.train.method_chooser import KEY, MethodChooser


@pytest.fixture
def chooser(qtbot):
    made = MethodChooser()
    qtbot.addWidget(made)
    made.offer(available_methods(), "ua-mt")
    made.resize(340, 600)
    made.show()
    return made


def keys_of(chooser):
    return [row.data(0, KEY) for row in chooser._rows()]


def test_it_is_folded_and_tells_what_is_chosen(chooser):
    assert chooser.key == "ua-mt"
    assert chooser.list.isHidden()
    assert chooser.title.text() == "Uncertainty-aware mean teacher (UA-MT)"
    assert "2019" in chooser.cost.text()
    assert "about 2.5 × a supervised step" in chooser.cost.text()


def test_it_offers_every_method(chooser):
    assert set(keys_of(chooser)) == set(available_methods())


def test_walking_with_the_keys_chooses_and_return_folds(chooser, qtbot):
    heard = []
    chooser.changed.connect(lambda: heard.append(chooser.key))
    chooser.change.click()
    assert not chooser.list.isHidden()
    qtbot.keyClicks(chooser.search, "border")
    qtbot.keyClick(chooser.search, Qt.Key.Key_Down)
    while chooser.key != "sassnet":
        qtbot.keyClick(chooser.tree, Qt.Key.Key_Down)
        assert len(heard) < 40
    assert heard[-1] == "sassnet"
    assert "MICCAI 2020" in chooser.details.text()
    assert "Distance as the network learns it" in chooser.details.text()
    qtbot.keyClick(chooser.tree, Qt.Key.Key_Return)
    assert chooser.list.isHidden()
    assert chooser.key == "sassnet"


def test_headings_cannot_be_chosen(chooser):
    for index in range(chooser.tree.topLevelItemCount()):
        heading = chooser.tree.topLevelItem(index)
        assert not heading.flags() & Qt.ItemFlag.ItemIsSelectable
        assert heading.toolTip(0)


def test_a_search_without_a_hit_says_so_and_keeps_the_choice(chooser):
    chooser.expand()
    chooser.search.setText("no such method")
    assert not chooser.nothing.isHidden()
    assert chooser.tree.isHidden()
    assert chooser.key == "ua-mt"
    chooser.search.clear()
    assert chooser.tree.currentItem().data(0, KEY) == "ua-mt"


def test_the_oracle_is_marked(chooser):
    chooser.choose("oracle-size")
    assert chooser.summary.text().startswith("For comparisons only")


def test_choosing_what_is_not_offered_changes_nothing(chooser):
    chooser.choose("no such method")
    assert chooser.key == "ua-mt"


def test_the_choice_survives_a_new_offer(chooser):
    chooser.choose("dtc")
    chooser.offer(available_methods(), "ua-mt")
    assert chooser.key == "dtc"
