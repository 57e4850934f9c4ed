import pytest

from napari_semiseg.engine.errors import StudyError
from napari_semiseg.engine.evaluation.metrics import CaseMetrics
from napari_semiseg.engine.training.comparison import Measured
from napari_semiseg.engine.training.comparison_table import (
    BEGIN,
    END,
    markdown,
    markdown_table,
    rows_of,
    write_into,
)
from napari_semiseg.engine.training.settings import TrainingSettings
from tests.engine.evaluation.figures import class_metrics

NAMES = {1: "shell", 2: "core"}


def case(shell, core, hd95=2.0):
    classes = {
        value: class_metrics(dice=dice, hd95=hd95, asd=1.0)
        for value, dice in ((1, shell), (2, core))
    }
    return CaseMetrics(classes)


def run(method, seed, dice, **settings):
    chosen = TrainingSettings(method=method, seed=seed, **({"steps": 10} | settings))
    cases = {f"case {index}": case(value, value - 0.1) for index, value in enumerate(dice)}
    return Measured(chosen, f"{method}-{seed}", 10, 2.0, cases)


RUNS = [
    run("supervised", 0, [0.8, 0.8, 0.8, 0.8]),
    run("dtc", 0, [0.9, 0.9, 0.9, 0.9]),
    run("supervised", 1, [0.82, 0.82, 0.82, 0.82]),
    run("dtc", 1, [0.7, 0.7, 0.7, 0.7]),
]


def test_rows_are_means_over_seeds_and_cases():
    supervised, dtc = rows_of(RUNS)
    assert supervised.dice == pytest.approx(0.76)
    assert supervised.dice_by_class == pytest.approx({1: 0.81, 2: 0.71})
    assert supervised.difference is None
    assert (dtc.seeds, dtc.steps, dtc.step_seconds) == (2, 10, 0.2)
    assert dtc.spread == pytest.approx(0.2 / 2**0.5)
    assert dtc.difference.mean == pytest.approx(0.8 - 0.81)
    assert dtc.difference.cases == 4


def test_a_method_is_compared_with_its_twin_on_the_seeds_that_both_have():
    dtc = rows_of(RUNS[:3])[1]
    assert (dtc.seeds, dtc.difference.mean) == (1, pytest.approx(0.1))
    assert rows_of(RUNS[1:2])[0].difference is None


def test_presets_and_budgets_have_tables_of_their_own():
    runs = [*RUNS, run("supervised", 0, [0.5], steps=None, minutes=4)]
    runs.append(run("supervised", 0, [0.5], preset="paper"))
    text = markdown(runs, NAMES, "napari-semiseg compare STUDY", "About.")
    for heading in ("modern, 10 steps", "modern, 4 minutes", "paper, 10 steps"):
        assert text.count(f"### Preset {heading}") == 1
    assert "napari-semiseg compare STUDY" in text


def test_a_table_names_classes_and_units_and_aligns_its_columns():
    lines = markdown_table(rows_of(RUNS), NAMES).splitlines()
    assert "Dice shell" in lines[0]
    assert "HD95 mm" in lines[0]
    assert len({line.count("|") for line in lines}) == 1
    assert "**0.760** ± 0.014" in lines[2]


def test_a_method_far_behind_its_twin_points_to_the_notes():
    behind = [run("supervised", 0, [0.8] * 4), run("dtc", 0, [0.75] * 4)]
    assert "See the notes" in markdown(behind, NAMES, "", "")
    assert "See the notes" not in markdown(RUNS, NAMES, "", "")


def test_the_twin_of_a_method_with_a_network_of_its_own_is_told_apart():
    own = run("supervised", 0, [0.8], plan_overrides={"network.name": "enet"})
    assert [row.name for row in rows_of([RUNS[0], own])] == [
        "supervised",
        "supervised (network.name enet)",
    ]


def test_writing_again_replaces_the_tables_and_keeps_the_notes(tmp_path):
    path = tmp_path / "docs" / "comparison.md"
    write_into(path, "first")
    path.write_text(path.read_text() + "\n## Notes\n\nBy hand.\n")
    write_into(path, "second")
    text = path.read_text()
    assert "second" in text
    assert "first" not in text
    assert text.endswith("By hand.\n")
    assert text.count(BEGIN) == text.count(END) == 1


def test_a_file_without_marks_is_left_alone(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("Mine.")
    with pytest.raises(StudyError, match="no marks"):
        write_into(path, "tables")
    assert path.read_text() == "Mine."
