"""A comparison as files: nothing is lost, and both say that they are for research only."""

import csv
import io

import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation.comparison_files import (
    NOTICE,
    ComparedRun,
    comparison_csv,
    comparison_markdown,
    write_tables,
)
from napari_semiseg.engine.evaluation.metrics import CaseMetrics
from tests.engine.evaluation.figures import class_metrics

NAMES = {1: "anterior", 2: "posterior"}


@pytest.fixture
def runs():
    found = class_metrics(dice=0.8, hd95=2.0, asd=0.5, volume_ml=1.5, reference_volume_ml=2.0)
    missed = class_metrics(dice=0.0, volume_ml=0.0)
    metrics = {"first": CaseMetrics({1: found, 2: found}), "second": CaseMetrics({1: missed})}
    return [ComparedRun("001-ua-mt", "UA-MT", metrics, "UA-MT helped: +0.03.")]


def test_every_figure_is_in_the_csv_and_undefined_ones_are_empty(runs):
    rows = list(csv.DictReader(io.StringIO(comparison_csv(runs, NAMES))))
    assert [(row["scan"], row["structure"]) for row in rows] == [
        ("first", "anterior"),
        ("first", "posterior"),
        ("second", "anterior"),
    ]
    assert float(rows[0]["volume_error_percent"]) == pytest.approx(25)
    assert rows[2]["hd95_mm"] == ""
    assert all(row["notice"] == NOTICE for row in rows)


def test_the_markdown_has_a_column_a_class_the_verdicts_and_the_notice(runs):
    text = comparison_markdown("Two scans.", runs, NAMES, ["One note."], "## More")
    header, _, row = (line for line in text.splitlines() if line.startswith("|"))
    assert "Dice anterior | Dice posterior | mean Dice | HD95, mm | ASD, mm" in header
    assert row.startswith("| 001-ua-mt | UA-MT | 0.400 | 0.800 | 0.600 | 2.00 | 0.50 |")
    assert header.count("|") == row.count("|")
    for part in ("Two scans.", "- UA-MT helped: +0.03.", "- One note.", "## More", NOTICE):
        assert part in text


def test_both_files_lie_beside_each_other_whatever_suffix_was_typed(tmp_path):
    for name in ("table.csv", "table.md", "table"):
        written = write_tables(tmp_path / name, "markdown", "values")
        assert [path.name for path in written] == ["table.md", "table.csv"]
    assert (tmp_path / "table.csv").read_text() == "values"


def test_a_folder_that_is_not_there_is_told_in_a_sentence(tmp_path):
    with pytest.raises(StudyError, match="choose another folder"):
        write_tables(tmp_path / "nowhere" / "table.md", "", "")
