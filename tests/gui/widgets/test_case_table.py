from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QModelIndex, Qt

from napari_semiseg.engine.study import Case, CaseState, parse_classes
from napari_semiseg.engine.study.overview import CaseOverview, Marked
from napari_semiseg.engine.study.scans.checks import ScanFinding, ScanTrouble
from napari_semiseg.engine.volumes import Geometry, ScanSource
from napari_semiseg.gui.widgets.case_columns import millilitres, natural_order
from napari_semiseg.gui.widgets.case_table import CaseTable
from napari_semiseg.gui.widgets.thumbnails import REMARK_ROLE, Thumbnails

MANY = 500
LONGEST_MILLISECONDS = 50
CLASSES = parse_classes("1=liver,2=tumour")
STATES = (CaseState.LABELLED, CaseState.UNLABELLED, CaseState.PREDICTED)
GONE = ScanFinding(ScanTrouble.FILE_MISSING, "a.nii is no longer there: put it back.")


def made_up_case(tmp_path, number, state=CaseState.UNLABELLED):
    name = f"case_{number}"
    return Case(
        identifier=number,
        name=name,
        source=ScanSource(name, (tmp_path / f"{name}.nii.gz",), "file"),
        geometry=Geometry((40, 50, 60), np.eye(4), None),
        channels=1,
        modality=None,
        content_hash=f"{number:064d}",
        state=state,
        has_label=state is CaseState.LABELLED,
        label_saved_at=f"2026-01-01T00:00:{number % 60:02d}+00:00",
        label_origin=None,
        label_hash=None,
        label_is_empty=False,
        label_version=None,
        previous_label_version=None,
        previous_label_hash=None,
        hidden_state=state,
    )


def made_up(tmp_path, count):
    cases = [made_up_case(tmp_path, number, STATES[number % 3]) for number in range(count)]
    overviews = {
        case.name: CaseOverview(
            case.name,
            np.full((64, 48), case.identifier % 256, np.uint8),
            marked=Marked(
                "001-ua-mt", {1: float(-case.identifier % 97)}, case.identifier % 10 / 10
            ),
        )
        for case in cases
    }
    return cases, overviews


@pytest.fixture
def table(qtbot, tmp_path):
    table = CaseTable("Scans", detailed=True)
    qtbot.addWidget(table)
    table.set_classes(CLASSES)
    cases, overviews = made_up(tmp_path, 12)
    table.set_cases(cases, overviews=overviews)
    return table


def column(table, title):
    return [item.title for item in table.cases.columns].index(title)


def texts(table, title):
    place = column(table, title)
    return [table.cases.index(row, place).data() for row in range(table.cases.rowCount())]


class TestColumns:
    def test_each_class_has_its_volume_in_millilitres(self, table):
        assert texts(table, "liver")[1] == "96.0 mL"
        assert texts(table, "tumour")[1] == "0.00 mL"
        assert millilitres(1234.6) == "1235 mL"

    def test_volumes_of_a_prediction_are_slanted(self, table):
        cell = table.cases.index(0, column(table, "liver"))
        assert cell.data(Qt.ItemDataRole.FontRole).italic()
        assert "prediction of 001-ua-mt" in cell.data(Qt.ItemDataRole.ToolTipRole)

    def test_what_nobody_knows_is_empty_and_trust_hides_until_it_is_known(self, table, tmp_path):
        cases = [made_up_case(tmp_path, 1)]
        table.set_cases(cases)
        assert texts(table, "Unsure") == texts(table, "liver") == [""]
        assert table.isColumnHidden(column(table, "Trust"))
        table.set_cases(cases, trust={"case_1": 0.87})
        assert texts(table, "Trust") == ["87 %"]
        assert not table.isColumnHidden(column(table, "Trust"))

    def test_what_is_wrong_stands_under_the_name(self, table):
        found = CaseOverview("case_3", findings=(GONE,))
        table.cases.set_overviews({"case_3": found})
        cell = table.cases.index(table.cases.row_of("case_3"), 0)
        assert cell.data(REMARK_ROLE) == "⚠ file not found"
        assert GONE.sentence in cell.data(Qt.ItemDataRole.ToolTipRole)
        assert "file not found" in cell.data(Qt.ItemDataRole.AccessibleTextRole)

    def test_a_note_stands_beside_the_state(self, table):
        note = ScanFinding(ScanTrouble.OBLIQUE, "It is oblique.")
        table.cases.set_overviews({"case_3": CaseOverview("case_3", findings=(note,))})
        assert table.cases.index(3, 0).data(REMARK_ROLE) == "labelled · oblique"


class TestOrder:
    def test_names_sort_as_people_count(self, table):
        table.cases.sort(0)
        assert texts(table, "Scan")[1:3] == ["case_1", "case_2"]
        assert natural_order("case_2") < natural_order("case_10")

    def test_numbers_sort_by_value_and_unknown_ones_come_last(self, table):
        table.cases.set_overviews({"case_5": CaseOverview("case_5")})
        for order, first in ((Qt.SortOrder.DescendingOrder, "case_1"), (0, "case_0")):
            table.cases.sort(column(table, "liver"), Qt.SortOrder(order))
            assert texts(table, "Scan")[0] == first
            assert texts(table, "Scan")[-1] == "case_5"

    def test_a_press_on_the_header_sorts_and_the_selection_stays(self, table):
        table.select("case_7")
        table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        assert texts(table, "Scan")[0] == "case_11"
        assert table.selected_name() == "case_7"
        table.cases.sort(-1)
        assert texts(table, "Scan")[0] == "case_0"

    def test_the_neighbour_is_that_of_the_list_as_it_is_sorted(self, table):
        table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
        assert table.neighbour("case_7", 1) == "case_6"
        assert table.neighbour("case_0", 1) is None
        assert table.neighbour(None, 1) == "case_11"


class TestFilter:
    def test_a_filter_keeps_the_selection_where_it_is_still_shown(self, table, qtbot):
        table.select("case_1")
        table.set_filter("case_1")
        assert texts(table, "Scan") == ["case_1", "case_10", "case_11"]
        assert table.selected_name() == "case_1"
        with qtbot.waitSignal(table.selected):
            table.set_filter("case_2")
        assert table.selected_name() is None

    def test_rows_are_shown_by_what_they_are(self, table):
        table.cases.set_wanted(lambda row: row.case.state is CaseState.LABELLED)
        assert texts(table, "Scan") == ["case_0", "case_3", "case_6", "case_9"]
        table.cases.set_wanted(None)
        assert table.cases.rowCount() == 12


class TestManyCases:
    @pytest.fixture
    def many(self, qtbot, tmp_path):
        table = CaseTable("Scans", detailed=True)
        qtbot.addWidget(table)
        table.resize(700, 600)
        table.show()
        table.set_classes(CLASSES)
        cases, overviews = made_up(tmp_path, MANY)
        table.set_cases(cases)
        table.grab()
        return table, cases, overviews

    @staticmethod
    def fastest(action):
        """Return the milliseconds of the fastest of five times: other programs may interfere."""
        taken = []
        for _ in range(5):
            start = time.perf_counter()
            action()
            taken.append(1000 * (time.perf_counter() - start))
        return min(taken)

    def test_nothing_takes_longer_than_a_frame_or_two(self, many):
        table, cases, overviews = many
        orders = iter([Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder] * 3)
        texts = iter(["1", "2", "3", "4", "5"])
        labelled = [replace(case, state=CaseState.LABELLED) for case in cases]
        batch = dict(list(overviews.items())[:60])
        actions = {
            "show": lambda: (table.set_cases(cases, overviews=overviews), table.grab()),
            "records": lambda: (table.set_cases(labelled, overviews=overviews), table.grab()),
            "looked at": lambda: (table.cases.set_overviews(batch), table.grab()),
            "sort": lambda: (table.sortByColumn(0, next(orders)), table.grab()),
            "filter": lambda: (table.set_filter(next(texts)), table.grab()),
        }
        taken = {name: self.fastest(action) for name, action in actions.items()}
        assert max(taken.values()) < LONGEST_MILLISECONDS, taken

    def test_pictures_are_made_only_of_rows_in_sight(self, many, monkeypatch):
        table, cases, overviews = many
        made = []
        icon = Thumbnails.icon
        monkeypatch.setattr(
            Thumbnails,
            "icon",
            lambda self, name, picture: made.append(name) or icon(self, name, picture),
        )
        table.set_cases(cases, overviews=overviews)
        table.grab()
        assert 5 < len(set(made)) < 40


def test_a_flat_model_has_no_children(table):
    parent = table.cases.index(0, 0)
    assert table.cases.rowCount(parent) == table.cases.columnCount(parent) == 0
    assert table.cases.data(QModelIndex()) is None
